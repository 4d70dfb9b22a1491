/*
 * echo-client.c: answers of a server to echo-client(1), in each of its modes.
 *
 * The highest bit of the first byte is for UDP, the next one for the checksums of a
 * stream.
 */
#include "../../cmd/echo-client/client.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "script.h"
#include "unit.h"

static void
make(struct client *c, const struct pfk_addr *addr, const uint8_t *data)
{
	static const struct mode *const modes[] = {&protocol_mode, &stream_mode,
	    &poll_mode};
	static const char *const messages[] = {"hello", "", "two words",
	    "a third message that is longer than the others\n"};

	*c = (struct client){.o = {.mode = modes[data[0] % 3],
				 .host = "127.0.0.1",
				 .port = pfk_addr_port(addr),
				 .count = 1 + data[0] / 3 % 4,
				 .messages = messages,
				 .n_messages = 1 + data[1] % 4,
				 .nodelay = PFK_UNSET,
				 .syn_retries = PFK_UNSET,
				 .receive_buffer = PFK_UNSET,
				 .send_buffer = PFK_UNSET,
				 .connect_timeout_ns = PFK_SECOND_NS}};
	pfk_sockopts_init(&c->sockopts);
	c->connect = (struct pfk_connect_options){.host = c->o.host,
	    .port = (uint16_t)c->o.port,
	    .family = AF_INET,
	    .sockopts = &c->sockopts,
	    .timeout_ns = PFK_SECOND_NS};
}

/* As run_tcp does it, and the server's script in between. */
static void
run(struct client *c, struct fuzz_peer *peer, const uint8_t *data, size_t size)
{
	size_t i = 0;

	do {
		transfer_begin(c);
		c->o.mode->start(c);
		for (; i < size && !c->over; i++)
			script_step(peer, c->loop, data[i]);
		if (c->got > c->sent && c->status == 0)
			abort();
		pfk_timer_cancel(&c->watch);
		pfk_timer_cancel(&c->pace);
		pfk_timer_cancel(&c->grace);
		c->o.mode->stop(c);
		fuzz_turn(c->loop, 1);
		script_close(peer, true);
	} while (c->status == 0 && c->again && i < size);
	/* Status 0 and the end of the connection: all came back. */
	if (c->over && c->status == 0 && !c->again && !transfer_complete(c))
		abort();
}

/* A server of UDP in a thread, because run_udp has a loop of its own. */
struct udp_peer {
	int fd, stop;
	const uint8_t *script;
	size_t len;
	char last[64];
	size_t last_len;
};

static void
udp_answer(const struct udp_peer *p, const void *buf, size_t len,
    const struct pfk_addr *to)
{
	sendto(p->fd, buf, len, MSG_DONTWAIT, &to->sa, to->len);
}

/* False: it ends, and its port refuses. */
static bool
udp_step(struct udp_peer *p, char *buf, size_t len, const struct pfk_addr *to)
{
	static const char large[4096];
	uint8_t step = p->len > 0 ? p->script[0] : 0;

	if (p->len > 0) {
		p->script++;
		p->len--;
	}
	if (step % 8 == CHANGE && len > 0)
		buf[step / 8 % len] ^= 1;
	if (step % 8 == SURPLUS)
		udp_answer(p, large, (size_t)step * 16, to);
	else if (step % 8 == DROP)
		udp_answer(p, p->last, p->last_len, to);
	else if (step % 8 != WAIT)
		udp_answer(p, buf, len, to);
	if (step % 8 == REPEAT)
		udp_answer(p, buf, len, to);
	memcpy(p->last, buf, len);
	p->last_len = len;
	return step % 8 != END || step / 8 % 8 != 0;
}

static void *
udp_serve(void *arg)
{
	struct udp_peer *p = arg;
	struct pollfd ready[2] = {{.fd = p->fd, .events = POLLIN},
	    {.fd = p->stop, .events = POLLIN}};
	struct pfk_addr from;
	char buf[sizeof(p->last)];

	while (poll(ready, 2, -1) > 0 && ready[1].revents == 0) {
		ssize_t n;

		from.len = sizeof(from.in6);
		n = recvfrom(p->fd, buf, sizeof(buf), MSG_DONTWAIT, &from.sa,
		    &from.len);
		if (n >= 0 && !udp_step(p, buf, (size_t)n, &from))
			break;
	}
	close(p->fd);
	return NULL;
}

static void
run_datagrams(const uint8_t *data, size_t size)
{
	struct client c;
	struct pfk_addr addr;
	struct udp_peer peer = {.script = data + 2, .len = size - 2};
	pthread_t thread;
	int stop[2];

	peer.fd = unit_udp(&addr);
	if (pipe(stop) == -1)
		abort();
	peer.stop = stop[0];
	make(&c, &addr, data);
	c.o.udp = c.o.quiet = true;
	c.o.timeout_ns = 5 * PFK_MSEC_NS;
	if (pthread_create(&thread, NULL, udp_serve, &peer) != 0)
		abort();
	run_udp(&c);
	close(stop[1]);
	pthread_join(thread, NULL);
	close(stop[0]);
}

/* A byte of the script: so many bytes are sent, or come back, changed or not. */
static void
run_checksums(const uint8_t *data, size_t size)
{
	static unsigned char stream[1 << 20];
	struct verify v = {0};
	size_t sent = 0, got = 0;
	bool changed = false, good = true;

	for (size_t i = 0; i < size && good; i++) {
		size_t n = (size_t)(data[i] / 4) * (data[i] / 4) * 16;

		if (data[i] % 4 < 2) {
			n = n < sizeof(stream) - sent ? n
						      : sizeof(stream) - sent;
			memset(stream + sent, data[i] + (int)i, n);
			if (verify_sent(&v, stream + sent, n) == -1)
				abort();
			sent += n;
			continue;
		}
		n = n < sent - got ? n : sent - got;
		if (data[i] % 4 == 3 && n > 0) {
			stream[got + n / 2] ^= 1;
			changed = true;
		}
		good = verify_got(&v, stream + got, n);
		got += n;
	}
	if (good && got < sent)
		good = verify_got(&v, stream + got, sent - got);
	good = good && verify_end(&v);
	if (good == changed)
		abort();
	verify_free(&v);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client c;
	struct pfk_addr addr;
	struct fuzz_peer peer;

	if (size < 2 || size > 4096)
		return 0;
	pfk_log_set_level(PFK_ERROR);
	if ((data[0] & 0x80) != 0) {
		run_datagrams(data, size);
	} else if ((data[0] & 0x40) != 0) {
		run_checksums(data + 1, size - 1);
	} else {
		peer = (struct fuzz_peer){.listener = unit_listen(&addr)};
		make(&c, &addr, data);
		c.loop = pfk_loop_new(NULL);
		if (c.loop == NULL)
			abort();
		run(&c, &peer, data + 2, size - 2);
		pfk_loop_drain(c.loop, PFK_DRAIN_NOW);
		pfk_loop_run(c.loop);
		pfk_loop_free(c.loop);
		script_end(&peer);
	}
	return 0;
}

/*
 * echo-check.c: answers of a server to the messages of echo-check(1).
 *
 * Each byte of the input is a step: it answers rightly, cuts, changes, repeats or
 * drops messages, or ends the connection.
 */
#include "../../cmd/echo-check/check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "script.h"
#include "unit.h"

#define WINDOW 64
#define UDP_BYTES 2048

static struct flow *
make(struct check *c, const uint8_t *data)
{
	struct flow *f = calloc(1, sizeof(*f));

	*c = (struct check){.window = WINDOW, .sending = true};
	c->o.connections = 1;
	c->o.size = 16 + data[0] % 50;
	c->o.pipeline = 1 + data[1] % 8;
	c->o.once = (data[1] & 32) != 0;
	c->o.connect = (data[1] & 64) != 0;
	c->o.udp = (data[1] & 128) != 0;
	c->o.timeout_ns = PFK_SECOND_NS;
	c->loop = pfk_loop_new(NULL);
	c->buf = malloc((size_t)c->o.size);
	if (f == NULL || c->loop == NULL || c->buf == NULL)
		abort();
	f->check = c;
	f->numbers = calloc(WINDOW, sizeof(*f->numbers));
	f->part = malloc((size_t)c->o.size);
	if (f->numbers == NULL || f->part == NULL)
		abort();
	c->flows = f;
	return f;
}

/* Each message that was sent waits, came back, or is counted as a fault. */
static void
judge(const struct check *c)
{
	const struct stats *s = &c->stats;
	const struct flow *f = c->flows;

	if (s->sent >
	    s->echoed + stats_lost(s) + s->faults[FAULT_LATE] + f->waiting)
		abort();
	if (f->waiting > WINDOW || s->echoed > s->sent || f->oldest > f->next)
		abort();
}

static void
run_tcp(struct check *c, const uint8_t *data, size_t size)
{
	struct pfk_addr addr;
	struct fuzz_peer peer = {.listener = unit_listen(&addr)};
	char host[] = "127.0.0.1";

	c->o.host = host;
	c->o.port = pfk_addr_port(&addr);
	strlcpy(c->peer, host, sizeof(c->peer));
	tcp_pump(c->flows);
	for (size_t i = 0; i < size; i++) {
		script_step(&peer, c->loop, data[i]);
		if (c->flows->retry != NULL) {
			pfk_timer_cancel(&c->flows->retry);
			tcp_pump(c->flows);
		}
		judge(c);
	}
	c->sending = false;
	tcp_stalled(c->flows);
	tcp_close(c->flows);
	script_end(&peer);
}

/* A datagram is: a length of one byte, and an answer made of the message. */
static void
run_udp(struct check *c, const uint8_t *data, size_t size)
{
	static unsigned char answer[UDP_BYTES];
	struct flow *f = c->flows;

	while (size > 2) {
		size_t n = data[0];
		uint64_t number = f->next > data[1] ? f->next - data[1] : 0;

		if (flow_may_send(f))
			flow_sending(f);
		memset(answer, 0, sizeof(answer));
		if (c->o.size <= (int64_t)sizeof(answer))
			memcpy(answer, c->buf, (size_t)c->o.size);
		if ((data[2] & 1) != 0)
			memcpy(answer + 8, &number, sizeof(number));
		if ((data[2] & 2) != 0)
			answer[data[1] % 64] ^= data[2];
		flow_received(f, answer,
		    (data[2] & 4) != 0 ? n : (size_t)c->o.size);
		if ((data[2] & 8) != 0)
			flow_lost(f, FAULT_TIMEOUT);
		if ((data[2] & 16) != 0)
			flow_expire(f,
			    pfk_loop_now(c->loop) + 2 * PFK_SECOND_NS);
		judge(c);
		data += 3;
		size -= 3;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct check c;
	struct flow *f;

	if (size < 2 || size > 4096)
		return 0;
	pfk_log_set_level(PFK_ERROR);
	f = make(&c, data);
	if (c.o.udp)
		run_udp(&c, data + 2, size - 2);
	else
		run_tcp(&c, data + 2, size - 2);
	pfk_loop_drain(c.loop, PFK_DRAIN_NOW);
	pfk_loop_run(c.loop);
	pfk_loop_free(c.loop);
	free(f->numbers);
	free(f->part);
	free(f);
	free(c.buf);
	return 0;
}

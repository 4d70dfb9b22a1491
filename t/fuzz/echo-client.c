/*
 * echo-client.c: answers of a server to echo-client(1), in each of its modes.
 */
#include "../../cmd/echo-client/client.h"

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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client c;
	struct pfk_addr addr;
	struct fuzz_peer peer = {.listener = unit_listen(&addr)};

	if (size >= 2 && size <= 4096) {
		pfk_log_set_level(PFK_ERROR);
		make(&c, &addr, data);
		c.loop = pfk_loop_new(NULL);
		if (c.loop == NULL)
			abort();
		run(&c, &peer, data + 2, size - 2);
		pfk_loop_drain(c.loop, PFK_DRAIN_NOW);
		pfk_loop_run(c.loop);
		pfk_loop_free(c.loop);
	}
	script_end(&peer);
	return 0;
}

/*
 * handover.c: packets of a worker that gives connections, to the one that takes.
 */
#include "transport/handover.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "event/loop.h"
#include "fuzz.h"
#include "linger.h"
#include "process/channel.h"
#include "process/takeover.h"
#include "transport/input.h"
#include "transport/packet.h"
#include "transport/server.h"
#include "unit.h"

static struct pfk_transport *last;

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	last = tr;
	return tr;
}

static void *
resumed(struct pfk_transport *tr, void *arg, const void *buf, size_t len)
{
	(void)buf;
	(void)len;
	return made(tr, arg);
}

static void
received(void *self, const void *buf, size_t len)
{
	pfk_write(self, buf, len);
}

static ssize_t
hand_over(void *self, void *buf, size_t room)
{
	(void)self;
	(void)buf;
	(void)room;
	return 0;
}

static const struct pfk_protocol echo = {.connection_made = made,
    .data_received = received,
    .hand_over = hand_over,
    .connection_resumed = resumed};

static void
on_taken(void *arg)
{
	*(bool *)arg = true;
}

/* Fields that agree with each other and with the packet's length. */
static void
make_plausible(uint8_t *packet, size_t len)
{
	struct pfk__packet_header h;
	size_t rest = len - sizeof(h);

	if (len < sizeof(h))
		return;
	memcpy(&h, packet, sizeof(h));
	h.apart = 0;
	h.mode %= PFK__RECEIVE_UNTIL + 1;
	h.want = h.want % 1000 + 1;
	h.high |= h.low;
	h.left_len = (uint32_t)(h.left_len % (rest + 1));
	rest -= h.left_len;
	h.unsent_len = (uint32_t)(h.unsent_len % (rest + 1));
	h.state_len = (uint32_t)(rest - h.unsent_len);
	memcpy(packet, &h, sizeof(h));
}

/*
 * A byte that says how many descriptors come along, and the packet.  Where its
 * first bit is set, it is two packets; where its second last one is, plausible ones;
 * and where its last bit is not set, they are for the server that is there.
 */
static void
send_packets(int fd, uint8_t *data, size_t size, const struct pfk_addr *local,
    int connection)
{
	size_t half = data[0] % 2 == 1 ? (size - 1) / 2 : size - 1;
	const int fds[] = {connection, connection, connection};
	size_t n = data[0] / 2 % 4;

	for (size_t at = 1; at < size; at += half) {
		size_t len = size - at < half ? size - at : half;

		if (data[0] < 128 && len > sizeof(*local))
			memcpy(data + at, local, sizeof(*local));
		if ((data[0] & 64) != 0)
			make_plausible(data + at, len);
		linger_send(fd, data + at, len, fds, n);
		if (half == 0)
			break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[1 << 16];
	struct pfk_loop *l = pfk_loop_new(NULL);
	struct pfk_addr addr;
	struct pfk_server *s;
	bool taken = false;
	int listener = unit_listen(&addr), client = unit_connect(&addr), fds[2];
	int accepted = accept(listener, NULL, NULL);

	if (size < 1 || size > sizeof(bytes)) {
		pfk_loop_free(l);
		close(listener);
		close(client);
		close(accepted);
		return 0;
	}
	pfk_log_set_level(PFK_ERROR);
	fuzz_reset_at_close(client);
	if (l == NULL || pfk__channel_pair(fds) == -1)
		abort();
	s = pfk_serve(l, listener, &echo, NULL, NULL);
	if (s == NULL)
		abort();
	l->taken = on_taken;
	l->taken_arg = &taken;
	l->serving[PFK_TCP]->take(l, fds[1], false, PFK__KNOCK_VERSION);
	memcpy(bytes, data, size);
	send_packets(fds[0], bytes, size, &addr, accepted);
	close(accepted);
	close(fds[0]);
	for (int i = 0; i < 1000 && !taken; i++)
		fuzz_turn(l, 1);
	if (!taken)
		abort();
	pfk_loop_drain(l, PFK_DRAIN_NOW);
	pfk_loop_run(l);
	pfk_server_close(&s);
	pfk_loop_free(l);
	close(client);
	return 0;
}

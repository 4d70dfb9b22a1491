/*
 * The answers of hand_over: a state of any length, later, never, and the end of
 * the connection. Every case runs on each back-end.
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "handover.h"
#include "tap.h"
#include "unit.h"

/* So many looks at an answer find no memory. */
static int shortages;

/* For the library. */
ssize_t
recv(int fd, void *buf, size_t n, int flags)
{
	if ((flags & MSG_PEEK) != 0 && shortages > 0) {
		shortages--;
		errno = ENOMEM;
		return -1;
	}
	return syscall(SYS_recvfrom, fd, buf, n, flags, NULL, NULL);
}

/* A busy one is asked again by the next offer, another one never. */
static void
test_asked_again(ssize_t answer, const char *name)
{
	bool later = answer == PFK_LATER;
	int fd;

	handover_begin();
	fd = handover_client();
	ho.instead = answer;
	handover_hand();
	is_int(ho.n_resumed, 0, "%s: %s", ho.backend, name);
	is_int(ho.kept, 0, "%s: %s: no heir has failed", ho.backend, name);
	is_int(ho.kept_later, later, "%s: %s: to be asked again", ho.backend,
	    name);
	ho.instead = 0;
	handover_hand();
	is_int(ho.n_resumed, later, "%s: %s: at the next offer", ho.backend,
	    name);
	is_int(ho.kept_later, 0, "%s: %s: no more", ho.backend, name);
	close(fd);
	if (later)
		unit_run_until(ho.to, &ho.new.calls[RECORD_LOST], 1);
	else
		unit_run_until(ho.from, &ho.old.calls[RECORD_LOST], 1);
	handover_end(name);
}

static void (*how_to_end)(struct pfk_transport *tr);

static void
end_it(void)
{
	how_to_end(ho.old.conns[0].tr);
}

/* hand_over may close or abort; then there is nothing to hand over. */
static void
test_ends_inside(void (*how)(struct pfk_transport *tr), const char *name)
{
	char buf[8];
	int fd;

	handover_begin();
	fd = handover_client();
	how_to_end = how;
	ho.leaving = end_it;
	handover_hand();
	is_int(ho.n_resumed, 0, "%s: %s: it goes nowhere", ho.backend, name);
	ok(unit_read(fd, buf, 1) <= 0, "%s: %s: it ends", ho.backend, name);
	close(fd);
	unit_run_until(ho.from, &ho.old.calls[RECORD_LOST], 1);
	is_int(ho.old.conns[0].error, how == pfk_abort ? ECONNABORTED : 0,
	    "%s: %s: as agreed", ho.backend, name);
	handover_end(name);
}

/* The answer stays: the connection must not go on in both. */
static void
test_no_memory(void)
{
	int fd;

	handover_begin();
	fd = handover_client();
	shortages = 3;
	handover_hand();
	is_int(shortages, 0, "%s: answers without memory", ho.backend);
	is_int(ho.n_resumed, 1, "%s: it goes on there", ho.backend);
	is_int(ho.old.conns[0].error, PFK_HANDED_OVER, "%s: and only there",
	    ho.backend);
	close(fd);
	unit_run_until(ho.to, &ho.new.calls[RECORD_LOST], 1);
	handover_end("no memory");
}

/* A taker that leaves itself: another one may take the connection. */
static void
test_leaving_taker(void)
{
	int fd;

	handover_begin();
	fd = handover_client();
	pfk_loop_drain(ho.to, PFK_DRAIN_LEAVE);
	unit_settle(ho.to);
	handover_hand();
	is_int(ho.n_resumed, 0, "%s: the taker leaves", ho.backend);
	is_int(ho.kept, 1, "%s: and another one may have it", ho.backend);
	close(fd);
	unit_run_until(ho.from, &ho.old.calls[RECORD_LOST], 1);
	handover_end("a taker that leaves");
}

/* As long as a state can be, with many unsent bytes; and one byte too long. */
static void
test_large_state(size_t len, bool too_long)
{
	int fd;

	handover_begin();
	ho.written = 0;
	ho.unsent = 1u << 20;
	ho.old.at[RECORD_MADE] = handover_write;
	fd = handover_client();
	ho.state_len = len;
	if (too_long)
		ho.instead = (ssize_t)len;
	handover_hand();
	is_int(ho.n_resumed, too_long ? 0 : 1, "%s: a state of %zu bytes",
	    ho.backend, len);
	if (!too_long)
		is_int(ho.got_state, len, "%s: comes whole", ho.backend);
	close(fd);
	if (too_long)
		unit_run_until(ho.from, &ho.old.calls[RECORD_LOST], 1);
	else
		unit_run_until(ho.to, &ho.new.calls[RECORD_LOST], 1);
	handover_end("a large state");
}

int
main(void)
{
	for (int i = 0; unit_backends[i] != NULL; i++) {
		ho.backend = unit_backends[i];
		test_asked_again(PFK_LATER, "the protocol is busy");
		test_asked_again(PFK_NEVER, "the protocol does not want to");
		test_ends_inside(pfk_close, "close inside hand_over");
		test_ends_inside(pfk_abort, "abort inside hand_over");
		test_leaving_taker();
		test_no_memory();
		test_large_state(200000, false);
		test_large_state(1u << 20, false);
		test_large_state((1u << 20) + 1, true);
	}
	return done_testing();
}

/*
 * fuzz.h: a fuzz target, for libFuzzer, AFL++, and the replay of inputs.
 *
 * One input is one call; the target leaves nothing behind.  It aborts where an
 * invariant does not hold.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <prefork.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv);

/* The fuzzer has its own bound of time, which t/lib/tap.c would hide. */
__attribute__((weak)) int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	signal(SIGALRM, SIG_DFL);
	return 0;
}

/* No port stays in use after the connection. */
static inline void
fuzz_reset_at_close(int fd)
{
	struct linger l = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

/* Callbacks that are due in a loop, which keep it from waiting. */
struct fuzz_turns {
	struct pfk_loop *loop;
	int left;
};

static inline void
fuzz_on_turn(void *arg)
{
	struct fuzz_turns *t = arg;

	if (--t->left > 0)
		pfk_soon(t->loop, fuzz_on_turn, t);
	else
		pfk_loop_stop(t->loop);
}

static inline void
fuzz_turn(struct pfk_loop *l, int turns)
{
	/* One before the turn's events, one after them. */
	struct fuzz_turns t = {l, 2 * turns};

	pfk_soon(l, fuzz_on_turn, &t);
	/* A callback of the program's may stop the loop before. */
	while (t.left > 0)
		pfk_loop_run(l);
}

#endif

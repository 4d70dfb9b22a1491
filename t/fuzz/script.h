/*
 * script.h: a server that answers by a script, a byte for each step.
 */
#ifndef FUZZ_SCRIPT_H
#define FUZZ_SCRIPT_H

#include <prefork.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"

struct fuzz_peer {
	int listener;
	int fd; /* of the connection; 0: there is none */
	size_t len;
	char got[4096]; /* and not answered */
};

enum { ECHO, ECHO_ALL, CHANGE, REPEAT, DROP, SURPLUS, END, WAIT };

static inline void
script_close(struct fuzz_peer *p, bool reset)
{
	if (p->fd == 0)
		return;
	if (reset)
		fuzz_reset_at_close(p->fd);
	close(p->fd);
	p->fd = 0;
	p->len = 0;
}

static inline void
script_answer(struct fuzz_peer *p, size_t n, bool keep)
{
	n = n < p->len ? n : p->len;
	send(p->fd, p->got, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (keep)
		return;
	p->len -= n;
	memmove(p->got, p->got + n, p->len);
}

/* The three lowest bits are the step, those above them its number. */
static inline void
script_do(struct fuzz_peer *p, unsigned step, size_t n)
{
	switch (step) {
	case ECHO:
	case ECHO_ALL:
		script_answer(p, step == ECHO ? n + 1 : p->len, false);
		break;
	case CHANGE:
		if (n < p->len)
			p->got[n] ^= 1;
		break;
	case REPEAT:
		script_answer(p, n + 1, true);
		break;
	case DROP:
		n = n < p->len ? n : p->len;
		p->len -= n;
		memmove(p->got, p->got + n, p->len);
		break;
	case SURPLUS:
		send(p->fd, "pfkc 0123456789abcdefghijklmnopqr", n + 1,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		break;
	case END:
		if (n == 0)
			shutdown(p->fd, SHUT_WR);
		else
			script_close(p, n % 2 == 0);
		break;
	default:
		break;
	}
}

static inline void
script_step(struct fuzz_peer *p, struct pfk_loop *l, uint8_t byte)
{
	ssize_t n;

	fuzz_turn(l, 1);
	if (p->fd == 0) {
		n = accept4(p->listener, NULL, NULL, SOCK_NONBLOCK);
		p->fd = n > 0 ? (int)n : 0;
	}
	if (p->fd != 0) {
		n = recv(p->fd, p->got + p->len, sizeof(p->got) - p->len, 0);
		p->len += n > 0 ? (size_t)n : 0;
		script_do(p, byte % 8, byte / 8);
	}
	fuzz_turn(l, 2);
}

static inline void
script_end(struct fuzz_peer *p)
{
	script_close(p, true);
	close(p->listener);
}

#endif

/*
 * server.h: a server of contrib/examples/, whose clients send the input.
 *
 * The input is a sequence of pieces.  A piece's first byte has the client in its
 * two lowest bits, and above them the number of bytes that follow: 62 is all that
 * are left, and with 63 the client resets its connection.  At the end another
 * client asks the question, if there is one, and must get the answer, because the
 * server still serves.
 */
#ifndef FUZZ_SERVER_H
#define FUZZ_SERVER_H

#include <fcntl.h>
#include <prefork.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "event/ledger.h"
#include "event/loop.h"
#include "fuzz.h"
#include "unit.h"

#define FUZZ_CLIENTS 4

struct fuzz_server {
	const struct pfk_protocol *tcp; /* or */
	void (*stream)(struct pfk_stream *s, void *arg);
	struct pfk_loop **loop;        /* the server's variable, or NULL */
	const char *question, *answer; /* or NULL */
};

static inline int
fuzz_connect(const struct pfk_addr *addr)
{
	int fd = unit_connect(addr);

	fcntl(fd, F_SETFL, O_NONBLOCK);
	fuzz_reset_at_close(fd);
	return fd;
}

/* Append to text what has come, and keep it a string; or drop it. */
static inline void
fuzz_take(int fd, char *text, size_t size)
{
	static char dropped[1 << 16];
	ssize_t n;

	do {
		size_t len = text != NULL ? strlen(text) : 0;

		if (text != NULL && size - len > 1) {
			n = recv(fd, text + len, size - len - 1, 0);
			text[len + (n > 0 ? (size_t)n : 0)] = '\0';
		} else {
			n = recv(fd, dropped, sizeof(dropped), 0);
		}
	} while (n > 0);
}

static inline void
fuzz_pieces(struct pfk_loop *l, const struct pfk_addr *addr,
    const uint8_t *data, size_t size)
{
	int fds[FUZZ_CLIENTS] = {-1, -1, -1, -1};

	while (size > 0) {
		int *fd = &fds[data[0] % FUZZ_CLIENTS];
		size_t n = data[0] / FUZZ_CLIENTS;
		bool reset = n == 63;

		data++;
		size--;
		if (reset || n > size)
			n = reset ? 0 : size;
		else if (n == 62)
			n = size;
		if (reset && *fd != -1) {
			close(*fd);
			*fd = -1;
		} else if (*fd == -1) {
			*fd = fuzz_connect(addr);
		}
		if (!reset)
			send(*fd, data, n, MSG_NOSIGNAL);
		fuzz_turn(l, 2);
		if (*fd != -1)
			fuzz_take(*fd, NULL, 0);
		data += n;
		size -= n;
	}
	for (int i = 0; i < FUZZ_CLIENTS; i++) {
		if (fds[i] != -1)
			close(fds[i]);
	}
	fuzz_turn(l, 1);
}

static inline void
fuzz_ask(struct pfk_loop *l, const struct pfk_addr *addr,
    const struct fuzz_server *s)
{
	static char text[1 << 16];
	int fd = fuzz_connect(addr);
	size_t len = strlen(s->answer), n = 0;

	text[0] = '\0';
	send(fd, s->question, strlen(s->question), MSG_NOSIGNAL);
	for (int i = 0; i < 1000; i++) {
		fuzz_turn(l, 1);
		fuzz_take(fd, text, sizeof(text));
		n = strlen(text);
		if (n >= len && strcmp(text + n - len, s->answer) == 0)
			break;
	}
	if (n < len || strcmp(text + n - len, s->answer) != 0)
		abort();
	close(fd);
}

static inline void
fuzz_serve(const struct fuzz_server *s, const uint8_t *data, size_t size)
{
	struct pfk__ledger g;
	struct pfk_addr addr;
	struct pfk_server *server;
	struct pfk_loop *l;
	int listener = unit_listen(&addr);

	pfk_log_set_level(PFK_ERROR);
	if (pfk__ledger_open(&g, false) == -1)
		abort();
	l = pfk__loop_new_with(NULL, &g);
	if (l == NULL)
		abort();
	if (s->loop != NULL)
		*s->loop = l;
	server = s->tcp != NULL
	    ? pfk_serve(l, listener, s->tcp, NULL, NULL)
	    : pfk_stream_serve(l, listener, s->stream, NULL, NULL);
	if (server == NULL)
		abort();
	fuzz_pieces(l, &addr, data, size);
	if (s->question != NULL)
		fuzz_ask(l, &addr, s);
	pfk_loop_drain(l, PFK_DRAIN_NOW);
	pfk_loop_run(l);
	pfk_server_close(&server);
	pfk_loop_free(l);
	pfk__ledger_close(&g);
}

#endif

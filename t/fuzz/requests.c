/*
 * requests.c: requests of clients of the control socket.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "master.h"

static int
start_client(struct pfk__master *m, enum pfk__right right)
{
	struct pfk__client *c = calloc(1, sizeof(*c));
	int fds[2];

	if (c == NULL ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		fds) == -1)
		abort();
	*c = (struct pfk__client){.control = m->control,
	    .fd = fds[0],
	    .right = right,
	    .pid = getpid(),
	    .passed = -1};
	if (pfk__client_start(c) == -1)
		abort();
	return fds[1];
}

/* "OK", or "ERR", a status and a line; or nothing for a client that waits. */
static void
check_answer(int fd, bool waits)
{
	static char text[1 << 18];
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
	long status;
	char *end;

	text[n > 0 ? n : 0] = '\0';
	if (waits && text[0] == '\0')
		return;
	if (strncmp(text, "OK\n", 3) == 0)
		return;
	if (strncmp(text, "ERR ", 4) != 0)
		abort();
	status = strtol(text + 4, &end, 10);
	if (status < 1 || status > 78 || *end != ' ' ||
	    strchr(end, '\n') != text + strlen(text) - 1)
		abort();
}

/* The first byte has the client's rights and the state of the service. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pfk__master *m;
	int worker, fd;
	bool waits;

	if (size < 1)
		return 0;
	m = fuzz_master_new();
	fuzz_child_new(m, &worker);
	m->started = (data[0] & 4) != 0;
	m->stop = (data[0] & 8) != 0 ? PFK__STOP_GRACEFUL : PFK__STOP_NONE;
	if ((data[0] & 16) != 0) {
		m->places[0].serving = LIST_FIRST(&m->children);
		m->places[0].slot.state = PFK__SLOT_SERVING;
	}
	fd = start_client(m, PFK__RIGHT_KNOCK + data[0] % 3);
	send(fd, data + 1, (size - 1) / 2, MSG_NOSIGNAL);
	fuzz_turn(m->loop, 2);
	send(fd, data + 1 + (size - 1) / 2, size - 1 - (size - 1) / 2,
	    MSG_NOSIGNAL);
	fuzz_turn(m->loop, 2);
	waits = !TAILQ_EMPTY(&m->control->clients) &&
	    TAILQ_FIRST(&m->control->clients)->wish != PFK__WISH_NONE;
	if (!waits) {
		shutdown(fd, SHUT_WR);
		fuzz_turn(m->loop, 2);
	}
	check_answer(fd, waits);
	close(fd);
	fuzz_turn(m->loop, 2);
	if (!TAILQ_EMPTY(&m->control->clients))
		abort();
	close(worker);
	fuzz_master_free(m);
	return 0;
}

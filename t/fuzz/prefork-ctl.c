/*
 * prefork-ctl.c: answers of a control socket to prefork-ctl(8).
 */
#include "../../cmd/prefork-ctl/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "fuzz.h"

/* The first byte has the command and its options. */
static void
make(struct ctl *c, uint8_t byte)
{
	static const char *const words[] = {"status", "connections", "doctor",
	    "reload"};
	static char source[] = "source", slot[] = "slot";
	static char *const by[] = {NULL, source, slot, NULL};

	*c = (struct ctl){.timeout_ns = PFK_SECOND_NS,
	    .json = (byte & 4) != 0,
	    .by = by[byte / 8 % 4],
	    .top = byte / 32,
	    .words = {words[byte % 4]}};
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *null;
	FILE *out = stdout;
	struct ctl c;
	int fds[2], status;

	if (size < 1 || size > 65536 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == -1)
		return 0;
	if (null == NULL)
		null = fopen("/dev/null", "we");
	pfk_log_set_level(PFK_ERROR);
	make(&c, data[0]);
	send(fds[0], data + 1, size - 1, MSG_NOSIGNAL);
	shutdown(fds[0], SHUT_WR);
	stdout = null;
	status = talk(&c, fds[1], "1 status");
	stdout = out;
	if (status != EX_OK && status != 1 && status < EX__BASE)
		abort();
	close(fds[0]);
	close(fds[1]);
	return 0;
}

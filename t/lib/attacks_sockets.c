/*
 * attacks_sockets.c: descriptors that a hostile worker sends, and its sockets.
 */
#include "attacks.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "linger.h"
#include "process/worker.h"
#include "unit.h"

/* descriptors */

static void
hand(const int *fds, size_t n)
{
	struct pfk__message m = attack_message(PFK__MSG_KEPT);

	linger_send(attacker.worker->channel, &m, sizeof(m), fds, n);
}

static void
pass_lingering(void)
{
	int fd = linger_socket();

	for (int i = 0; i < 5; i++)
		hand(&fd, 1);
	fcntl(fd, F_SETFD, 0);
}

static void
pass_many(void)
{
	int fds[253];

	for (size_t i = 0; i < 253; i++)
		fds[i] = attacker.listener;
	hand(fds, 253);
}

static void
pass_queue(void)
{
	int fd = linger_socket(), inner[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, inner) == -1)
		return;
	linger_send(inner[0], "x", 1, &fd, 1);
	hand(&inner[1], 1);
}

static void
pass_others(void)
{
	int fds[] = {STDERR_FILENO, open("/dev/zero", O_RDONLY),
	    open("/", O_PATH)};

	for (size_t i = 0; i < 3; i++)
		hand(&fds[i], 1);
}

const struct attack socket_attacks[] = {
    {"descriptors that linger", pass_lingering},
    {"many descriptors", pass_many},
    {"a queue with such a descriptor", pass_queue},
    {"descriptors of other kinds", pass_others},
    {NULL, NULL},
};

/*
 * calls.c: find out whether a sandbox denies a call that every service needs.
 *
 * Layer: base.  seccomp(2).  Each call is made with arguments that it refuses
 * by another error, so that it has no effect.  Calls that fail at once in the
 * start, with a line that names them, are not tried here.
 */
#include "base/calls.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fds.h"

static bool
denied(ssize_t rc)
{
	return rc == -1 && pfk__is_denied(errno);
}

/* No descriptor; linters shall not know that these calls fail. */
static volatile const int nobody = -1;

static const char *
denied_socket_call(void)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	struct msghdr h = {0};
	int fds[2], type = 0;
	char byte = 0;

	if (denied(socketpair(AF_UNSPEC, SOCK_STREAM, 0, fds)))
		return "socketpair";
	if (denied(sendmsg(nobody, &h, MSG_NOSIGNAL)))
		return "sendmsg";
	if (denied(recvmsg(nobody, &h, 0)))
		return "recvmsg";
	if (denied(send(nobody, &byte, 1, MSG_NOSIGNAL)))
		return "sendto";
	if (denied(recv(nobody, &byte, 1, 0)))
		return "recvfrom";
	if (denied(getsockname(nobody, (struct sockaddr *)&name, &len)))
		return "getsockname";
	len = sizeof(type);
	if (denied(getsockopt(nobody, SOL_SOCKET, SO_TYPE, &type, &len)))
		return "getsockopt";
	return NULL;
}

const char *
pfk__calls_denied(void)
{
	struct sigaction now;
	sigset_t mask;

	if (denied(sigaction(SIGCHLD, NULL, &now)))
		return "rt_sigaction";
	if (denied(sigprocmask(SIG_BLOCK, NULL, &mask)))
		return "rt_sigprocmask";
	/* An address inside a page is none to unmap. */
	if (denied(munmap((void *)(uintptr_t)1, 1)))
		return "munmap";
	/* Then nothing tells of it but the exit status. */
	if (denied(write(nobody, "", 0)))
		return "write";
	/* No process is its own child. */
	if (denied(waitpid(getpid(), NULL, WNOHANG)))
		return "wait4";
	return denied_socket_call();
}

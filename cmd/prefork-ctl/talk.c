/*
 * talk.c: one request and its answer.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"

/* The status of a command that the service could not carry out. */
#define FAILED 1

/* Ten million connections; more is no answer of a service. */
#define ANSWER_MAX ((size_t)1 << 30)

static uint64_t
clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * PFK_SECOND_NS + (uint64_t)ts.tv_nsec;
}

/* The next bytes; 0 at the end; -1 with ETIMEDOUT or another errno. */
static ssize_t
receive(int fd, char *buf, size_t size, uint64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	for (;;) {
		uint64_t now = clock_now();
		int n;

		if (now >= deadline) {
			errno = ETIMEDOUT;
			return -1;
		}
		n = poll(&p, 1, (int)((deadline - now) / PFK_MSEC_NS) + 1);
		if (n == 1) {
			ssize_t got = recv(fd, buf, size, MSG_DONTWAIT);

			if (got >= 0 || (errno != EAGAIN && errno != EINTR))
				return got;
		} else if (n == -1 && errno != EINTR) {
			return -1;
		}
	}
}

/*
 * Read all of the answer, ended by a zero; *len is its length so far even on -1
 * with errno.
 */
static int
read_answer(int fd, uint64_t deadline, char **answer, size_t *len)
{
	size_t size = 0;
	ssize_t n;

	*answer = NULL;
	*len = 0;
	do {
		if (size - *len < 2) {
			char *larger = NULL;

			size = size > 0 ? 2 * size : 4096;
			errno = EMSGSIZE;
			if (size <= ANSWER_MAX)
				larger = realloc(*answer, size);
			if (larger == NULL)
				return -1;
			*answer = larger;
		}
		n = receive(fd, *answer + *len, size - *len - 1, deadline);
		/*
		 * It closed before it read all of our request, which resets the
		 * connection.
		 */
		if (n == -1 && errno == ECONNRESET && *len > 0)
			n = 0;
		*len += n > 0 ? (size_t)n : 0;
		(*answer)[*len] = '\0';
	} while (n > 0);
	return (int)n;
}

/* Only a warning is a failure. */
static int
doctor_status(const struct ctl *c, const char *text)
{
	bool warned = c->json
	    ? strstr(text, "{\"level\": \"warn\"") != NULL
	    : strncmp(text, "warn ", 5) == 0 || strstr(text, "\nwarn ") != NULL;

	return warned ? FAILED : EX_OK;
}

static int
print_text(const struct ctl *c, char *text, size_t len)
{
	int status = EX_OK;

	if (c->output != NULL)
		return output_replace(c, text, len);
	if (strcmp(c->words[0], "connections") == 0)
		status = connections_print(c, text);
	else
		fwrite(text, 1, len, stdout);
	/* Scripts get no byte from a good machine, and people an answer. */
	if (len == 0 && strcmp(c->words[0], "doctor") == 0 &&
	    isatty(STDOUT_FILENO))
		printf(
		    "no fault found: accept queues, buffers, limits, memory, "
		    "kernel parameters, settings\n");
	if (strcmp(c->words[0], "doctor") == 0)
		status = doctor_status(c, text);
	/* Beyond a buffer's size an earlier write may have failed. */
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	pfk_complain("cannot write: %s", strerror(errno));
	return EX_IOERR;
}

/* EX_OK: *text is the text after "OK".  Otherwise it has complained. */
static int
check_answer(char *answer, size_t len, char **text)
{
	char *end;
	long code;

	clean(answer, len);
	end = strchr(answer, '\n');

	if (end == NULL) {
		pfk_complain(len == 0
			? "the service closed the connection without an answer"
			: "the answer is cut");
		return EX_PROTOCOL;
	}
	*text = answer + 3;
	if (strncmp(answer, "OK\n", 3) == 0)
		return EX_OK;
	*end = '\0';
	if (strncmp(answer, "ERR ", 4) != 0) {
		pfk_complain("this is no control socket: it says '%.100s'",
		    answer);
		return EX_PROTOCOL;
	}
	code = strtol(answer + 4, text, 10);
	pfk_complain("%s", *text + (**text == ' '));
	return code == EX_USAGE || code == EX_NOPERM || code == EX_PROTOCOL
	    ? (int)code
	    : FAILED;
}

/* The process that listens at the other end, if it is stopped (proc(5)), or 0. */
static pid_t
find_stopped(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	char path[40], state = '?';
	FILE *f;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == -1)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)peer.pid);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = '?';
	fclose(f);
	return state == 'T' ? peer.pid : 0;
}

/* EX_OK: *answer is the answer, to be freed by the caller. */
static int
exchange(const struct ctl *c, int fd, const char *line, char **answer,
    size_t *len)
{
	uint64_t deadline = clock_now() + c->timeout_ns;
	char request[128];
	int n = snprintf(request, sizeof(request), "%s\n", line);
	pid_t stopped = find_stopped(fd);

	*answer = NULL;
	if (stopped > 0) {
		pfk_complain("the master (%d) is stopped; let it go on by "
			     "kill -CONT %d",
		    (int)stopped, (int)stopped);
		return EX_TEMPFAIL;
	}
	/* A fresh socket has room for a line. */
	if (send(fd, request, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) == -1 &&
	    errno != EPIPE) {
		pfk_complain("cannot send the command: %s", strerror(errno));
		return EX_UNAVAILABLE;
	}
	if (read_answer(fd, deadline, answer, len) == 0)
		return EX_OK;
	if (errno != ETIMEDOUT) {
		pfk_complain("cannot read the answer: %s", strerror(errno));
		return EX_UNAVAILABLE;
	}
	pfk_complain("no answer within %.9g s; the command may still be "
		     "carried out",
	    (double)c->timeout_ns / 1e9);
	return EX_TEMPFAIL;
}

int
talk(const struct ctl *c, int fd, const char *line)
{
	char *answer, *text;
	size_t len;
	int status = exchange(c, fd, line, &answer, &len);

	if (status == EX_OK)
		status = check_answer(answer, len, &text);
	if (status == EX_OK)
		status = print_text(c, text, len - 3);
	free(answer);
	return status;
}

int
talk_fetch(const struct ctl *c, int fd, const char *line, char **text)
{
	char *answer, *at = NULL;
	size_t len;
	int status = exchange(c, fd, line, &answer, &len);

	*text = NULL;
	if (status == EX_OK)
		status = check_answer(answer, len, &at);
	if (status == EX_OK && (*text = strdup(at)) == NULL) {
		pfk_complain("out of memory");
		status = EX_OSERR;
	}
	free(answer);
	return status;
}

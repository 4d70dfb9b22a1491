/*
 * udp_unix.c: a service of datagrams of AF_UNIX: answers, peers without a name, a
 * full queue, garbage, a reload and killed workers.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "service.h"
#include "tap.h"
#include "unit.h"

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

static char dir[] = "/tmp/prefork-unix-XXXXXX", path[64], lock[80], own[64];
static int bound;
struct pfk_datagram *endpoint; /* not static: it is no leak */
static struct shared {
	int deaths; /* still to come */
	int errors, last_error;
} * shared;

/* the service: it answers with the sender's path and the bytes */

static void
datagram_received(void *self, const struct pfk_packet *p)
{
	char buf[200];
	int n = snprintf(buf, sizeof(buf), "%s %d %.*s", p->path,
	    p->cred->pid == getppid() ? 0 : (int)p->cred->pid,
	    p->len < 20 ? (int)p->len : 20, (const char *)p->buf);
	struct pfk_addr copy = *p->from;

	if (p->len > 0 && *(const char *)p->buf == '!' && shared->deaths > 0) {
		shared->deaths--;
		raise(SIGKILL);
	}
	if (p->len > 0 && *(const char *)p->buf == 'c')
		pfk_sendto(self, buf, (size_t)n, &copy, NULL);
	else if (p->len > 0 && *(const char *)p->buf == 'p')
		pfk_unix_sendto(self, buf, (size_t)n, p->path);
	else if (p->len > 0 && *(const char *)p->buf == 'e')
		pfk_sendto(self, p->buf, p->len, p->from, NULL);
	else
		pfk_sendto(self, buf, (size_t)n, p->from, NULL);
}

static void
error_received(void *self, int error)
{
	(void)self;
	shared->last_error = error;
	shared->errors++;
}

static const struct pfk_datagram_protocol echo =
    {.datagram_received = datagram_received,
	.error_received = error_received,
	.survives = true};

static int
worker_init(struct pfk_worker *w, void *arg)
{
	(void)arg;
	endpoint = pfk_datagram_open(pfk_worker_loop(w), bound, &echo, NULL);
	return endpoint != NULL ? 0 : -1;
}

static const struct pfk_hooks hooks = {.worker_init = worker_init};

/* clients */

static void
be_patient(int fd)
{
	struct timeval patience = {.tv_sec = 10};

	fcntl(fd, F_SETFL, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

/* With a path, or "" for none. */
static int
client(const char *name)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX}, to = un;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	strlcpy(un.sun_path, name, sizeof(un.sun_path));
	strlcpy(to.sun_path, path, sizeof(to.sun_path));
	if (*name != '\0' && bind(fd, (struct sockaddr *)&un, sizeof(un)) == -1)
		skip_all("cannot bind");
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == -1)
		skip_all("cannot connect");
	be_patient(fd);
	return fd;
}

static const char *
answer(int fd, const char *bytes)
{
	static char buf[300];
	ssize_t n = send(fd, bytes, strlen(bytes), MSG_NOSIGNAL);

	if (n != -1)
		n = recv(fd, buf, sizeof(buf) - 1, 0);
	buf[n > 0 ? n : 0] = '\0';
	return n == -1 ? strerror(errno) : buf;
}

/* Wait until the service has had that error. */
static bool
has_error(int error)
{
	for (int i = 0; i < 1000; i++) {
		if (shared->errors > 0 && shared->last_error == error)
			return true;
		usleep(10000);
	}
	return false;
}

static void
expect_error(void)
{
	shared->errors = 0;
	__sync_synchronize();
}

static void
test_answers(int named)
{
	char expected[200];
	int fd;

	snprintf(expected, sizeof(expected), "%s %d abc", own, (int)getpid());
	is_str(answer(named, "abc"), expected, "a peer with a path");
	is_str(answer(named, "each"), "each", "an answer from the buffer");
	snprintf(expected, sizeof(expected), "%s %d path", own, (int)getpid());
	is_str(answer(named, "path"), expected, "an answer to a path");
	is_int(send(named, "", 0, 0), 0, "an empty one");
	snprintf(expected, sizeof(expected), "%s %d ", own, (int)getpid());
	recv(named, expected + 100, 99, 0);
	is_mem(expected + 100, expected, strlen(expected), "is answered");

	fd = pfk_unix_datagram(path);
	ok(fd != -1, "pfk_unix_datagram");
	be_patient(fd);
	is_int(answer(fd, "abc")[0], '@', "has an abstract name");
	is_str(answer(fd, "each"), "each", "and is answered");
	is_str(strrchr(answer(fd, "path"), ' '), " path", "by it, too");
	close(fd);
}

static bool
has_pidfd(pid_t pid)
{
	char name[320], target[80];
	struct dirent *e;
	bool found = false;
	ssize_t n;
	DIR *d;

	snprintf(name, sizeof(name), "/proc/%d/fd", (int)pid);
	d = opendir(name);
	while (d != NULL && (e = readdir(d)) != NULL) {
		snprintf(name, sizeof(name), "/proc/%d/fd/%s", (int)pid,
		    e->d_name);
		n = readlink(name, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		found = found || strstr(target, "pidfd") != NULL;
	}
	if (d != NULL)
		closedir(d);
	return found;
}

static void
send_descriptor(int named, const char *state)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.h = {.cmsg_len = CMSG_LEN(sizeof(int)),
			 .cmsg_level = SOL_SOCKET,
			 .cmsg_type = SCM_RIGHTS}};
	char bytes[100] = "each";
	struct iovec iov = {bytes, 4};
	struct msghdr h = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof(control)};
	struct pollfd end = {.events = POLLIN};
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) == -1)
		skip_all("no pipe");
	memcpy(CMSG_DATA(&control.h), &ends[1], sizeof(int));
	if (sendmsg(named, &h, 0) == 4)
		is_int(recv(named, bytes, 100, 0), 4, "%s: descriptors come",
		    state);
	else
		pass("%s: the kernel refuses descriptors", state);
	close(ends[1]);
	end.fd = ends[0];
	is_int(poll(&end, 1, 10000), 1, "%s: and are not kept", state);
	close(ends[0]);
}

/* Each worker has the socket, and so has a hostile one. */
static void
test_spoilt(int named)
{
	int on = 1, off = 0;

	send_descriptor(named, "as it was opened");
	setsockopt(bound, SOL_SOCKET, SO_PASSRIGHTS, &on, sizeof(on));
	setsockopt(bound, SOL_SOCKET, SO_PASSCRED, &off, sizeof(off));
	send_descriptor(named, "without identities");
	setsockopt(bound, SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(on));
	for (int i = 0; i < 64; i++)
		answer(named, "each");
	for (int i = 0; i < 2; i++)
		ok(!has_pidfd(service_worker(0, i)), "worker %d keeps no pidfd",
		    i);
	setsockopt(bound, SOL_SOCKET, SO_PASSPIDFD, &off, sizeof(off));
	setsockopt(bound, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	setsockopt(bound, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
}

/* Nothing of this may end or hold up the service. */
static void
test_garbage(int named)
{
	char *large = calloc(1, 100000);
	size_t at = service_log_size();
	int nameless = client("");

	expect_error();
	ok(send(nameless, "abc", 3, 0) == 3, "a peer without a name");
	ok(has_error(EDESTADDRREQ), "cannot be answered");
	expect_error();
	send(named, "copy", 4, 0);
	ok(service_wait(at, "a sender of AF_UNIX is answered while") != 0,
	    "a copy of an address is refused");
	ok(has_error(EINVAL), "with an error");
	expect_error();
	ok(send(named, large, 100000, 0) == 100000, "one over 64 KiB");
	ok(has_error(EMSGSIZE), "is dropped, and reported");
	is_str(answer(named, "each"), "each", "the service goes on");
	close(nameless);
	free(large);
}

/* A client that does not read costs its own answers alone. */
static void
test_full_queue(int named)
{
	char name[80];
	size_t at = service_log_size();
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd, n = 0;

	strlcpy(to.sun_path, path, sizeof(to.sun_path));
	snprintf(name, sizeof(name), "%s/slow", dir);
	fd = client(name);
	/* The kernel bounds the queue of one that is not connected. */
	is_int(connect(fd, &nobody, sizeof(nobody)), 0, "no peer");
	for (n = 0; n < 3000; n++)
		sendto(fd, "each", 4, 0, (struct sockaddr *)&to, sizeof(to));
	is_str(answer(named, "each"), "each", "others are answered");
	ok(service_wait(at, "because the queue of the receiver") != 0,
	    "the log tells the cause");
	is_int(recv(fd, name + 70, 9, 0), 4, "some answers have come");
	close(fd);
	unlink(name);
}

static void
test_deaths(int named)
{
	char expected[200];
	size_t at = service_log_size();

	snprintf(expected, sizeof(expected), "%s %d !", own, (int)getpid());
	shared->deaths = 1;
	is_str(answer(named, "!"), expected,
	    "a datagram in hand is answered by the successor");
	ok(service_wait(at, "killed by signal 9") != 0, "of a killed worker");
	is_int(shared->deaths, 0, "once");

	at = service_log_size();
	service_signal(SIGHUP);
	for (int i = 0; i < 300; i++) {
		if (strcmp(answer(named, "each"), "each") != 0) {
			fail("answer %d over the reload", i);
			return;
		}
	}
	ok(service_wait(at, "reloaded") != 0, "a reload");
	is_str(answer(named, "each"), "each", "loses nothing");
}

static void
test_paths(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int other = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), fd;

	strlcpy(un.sun_path, path, sizeof(un.sun_path));
	if (bind(other, (struct sockaddr *)&un, sizeof(un)) == -1)
		skip_all("no socket");
	ok(pfk_unix_bind(path, 0600) == -1 && errno == EADDRINUSE,
	    "another's socket is not replaced");
	ok(pfk_unix_listen(path, 0600, 1) == -1 && errno == EADDRINUSE,
	    "nor by a stream's");
	close(other);
	bound = pfk_unix_bind(path, 0600);
	ok(bound != -1, "one that is dead is");
	ok(pfk_unix_bind(path, 0600) == -1 && errno == EADDRINUSE,
	    "it is taken while we live");
	ok(pfk_unix_datagram("/nonexistent/x") == -1 && errno == ENOENT,
	    "nobody is there");
	fd = pfk_unix_bind("@prefork-unit-unix-datagram", 0);
	ok(fd != -1 || errno == EADDRINUSE, "an abstract name");
	if (fd != -1)
		close(fd);
}

int
main(void)
{
	int named;

	if (mkdtemp(dir) == NULL)
		skip_all("no directory");
	snprintf(path, sizeof(path), "%s/socket", dir);
	snprintf(lock, sizeof(lock), "%s.lock", path);
	snprintf(own, sizeof(own), "%s/client", dir);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	test_paths();
	service_start(&hooks, 2);
	service_wait(0, "ready: 2 workers");
	named = client(own);
	test_answers(named);
	test_garbage(named);
	test_spoilt(named);
	test_full_queue(named);
	test_deaths(named);
	is_int(service_end(SIGTERM), 0, "exit status");
	close(named);
	unlink(own);
	unlink(path);
	unlink(lock);
	rmdir(dir);
	return done_testing();
}

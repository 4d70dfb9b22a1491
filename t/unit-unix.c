/*
 * unix.c: listeners of AF_UNIX, in whose place others come, and connections to
 * them over reloads and killed workers.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/received.h"
#include "linger.h"
#include "service.h"
#include "tap.h"
#include "unit.h"

#define POISON '!'
/* SO_PASSRIGHTS: Debian's headers do not have it. */
#define PASSRIGHTS 83

static char dir[] = "/tmp/prefork-unix-XXXXXX", path[64], lock[80];
static int listener;
struct pfk_server *server; /* not static: it is no leak */

/* the service: echo, but for one byte */

static void *
made(struct pfk_transport *tr, void *arg)
{
	char name[PFK_ADDR_SIZE];
	struct ucred cred = {0};

	(void)arg;
	pfk_extra_info(tr, "SO_PEERCRED", &cred, sizeof(cred));
	pfk_log(PFK_INFO, "client %s of process %d",
	    pfk_addr_format(name, pfk_peername(tr)), (int)cred.pid);
	return tr;
}

static void
data_received(void *self, const void *buf, size_t len)
{
	if (*(const char *)buf == POISON)
		raise(SIGKILL);
	pfk_write(self, buf, len);
}

static ssize_t
hand_over(void *self, void *buf, size_t room)
{
	(void)self;
	(void)buf;
	(void)room;
	return 0;
}

static void *
resumed(struct pfk_transport *tr, void *arg, const void *buf, size_t len)
{
	(void)arg;
	(void)buf;
	(void)len;
	pfk_log(PFK_INFO, "resumed one");
	return tr;
}

static const struct pfk_protocol echo = {.connection_made = made,
    .data_received = data_received,
    .hand_over = hand_over,
    .connection_resumed = resumed,
    .survives = true};

static int
worker_init(struct pfk_worker *w, void *arg)
{
	(void)arg;
	server = pfk_serve(pfk_worker_loop(w), listener, &echo, NULL, NULL);
	return server != NULL ? 0 : -1;
}

static const struct pfk_hooks hooks = {.worker_init = worker_init};

/* the test */

static int
client(const char *to)
{
	struct timeval patience = {.tv_sec = 10};
	int fd = pfk_unix_connect(to);

	if (fd == -1)
		return -1;
	fcntl(fd, F_SETFL, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static int
listen_fails(const char *at)
{
	int fd = pfk_unix_listen(at, 0600, PFK_UNSET);

	if (fd == -1)
		return errno;
	close(fd);
	return 0;
}

/* A socket of somebody else's at the path. */
static int
other_socket(bool listens)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strlcpy(un.sun_path, path, sizeof(un.sun_path));
	if (bind(fd, (struct sockaddr *)&un, sizeof(un)) == -1 ||
	    (listens && listen(fd, 1) == -1))
		skip_all("no socket");
	return fd;
}

static void
test_paths(void)
{
	char longest[200];
	struct stat st;
	int fd;

	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	close(fd);
	is_int(listen_fails(path), EEXIST, "a file is not replaced");
	ok(access(lock, F_OK) == -1, "and no lock is left");
	unlink(path);
	fd = other_socket(true);
	is_int(listen_fails(path), EADDRINUSE, "nor is another server's");
	close(fd);
	errno = 0;
	ok(pfk_unix_connect(path) == -1 && errno == ECONNREFUSED,
	    "nobody listens there any more");
	listener = pfk_unix_listen(path, 0620, PFK_UNSET);
	ok(listener != -1, "such a socket is replaced");
	ok(stat(path, &st) == 0 && (st.st_mode & 07777) == 0620, "its mode");
	is_int(listen_fails(path), EADDRINUSE, "it is taken while we live");
	is_int(listen_fails(""), EINVAL, "no path");
	is_int(listen_fails("@"), EINVAL, "no name");
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	is_int(listen_fails(longest), ENAMETOOLONG, "too long a path");
	longest[104] = '\0';
	is_int(listen_fails(longest), ENAMETOOLONG,
	    "and one too long for "
	    "another beside it");
	is_int(listen_fails("/nonexistent/x"), ENOENT, "no such directory");
	fd = client(path);
	ok(fd != -1, "a client waits there");
	close(fd);
}

/* A kernel before 5.15 has none in this family. */
static void
test_urgent(void)
{
	static const char sent[] = "abcd";
	char answer[sizeof(sent)] = "";
	size_t n = 0;
	ssize_t rc = 1;
	int fd = client(path);

	if (send(fd, sent, 3, MSG_OOB) == -1) {
		ok(errno == EOPNOTSUPP, "there is no urgent data here");
		close(fd);
		return;
	}
	unit_write(fd, sent + 3, 1);
	while (n < 4 && rc > 0) {
		rc = recv(fd, answer + n, 4 - n, 0);
		n += rc > 0 ? (size_t)rc : 0;
	}
	is_str(answer, sent, "urgent data is data");
	close(fd);
}

/* One that close(2) would wait for.  A kernel before 6.16 passes it to the worker. */
static void
test_descriptor(void)
{
	int fd = client(path), lingering = linger_socket(), off = 0;

	if (setsockopt(fd, SOL_SOCKET, PASSRIGHTS, &off, sizeof(off)) == -1) {
		skip(2, "before Linux 6.16");
	} else {
		is_int(linger_send(fd, "d", 1, &lingering, 1), -1,
		    "a descriptor is refused");
		ok(service_echoes(fd, 'e'), "its sender is served");
	}
	pfk__close_received(lingering);
	close(fd);
}

static void
test_service(void)
{
	char text[64];
	pid_t worker;
	size_t at;
	int a, b, c;

	service_start(&hooks, 1);
	service_wait(0, "ready: 1 worker");
	a = client(path);
	ok(service_echoes(a, 'a'), "a client is served");
	snprintf(text, sizeof(text), "client unix of process %d",
	    (int)getpid());
	ok(service_wait(0, text) != 0, "and known: %s", text);
	b = client(path);
	ok(service_echoes(b, 'b'), "two are");

	at = service_log_size();
	service_signal(SIGHUP);
	ok(service_wait(at, "reloaded") != 0, "a reload");
	ok(service_wait(service_wait(at, "] resumed one"), "] resumed one") !=
		0,
	    "hands both over");
	ok(service_echoes(a, 'c') && service_echoes(b, 'd'), "they go on");

	/* The worker has dealt with the others before this one. */
	c = client(path);
	ok(service_echoes(c, 'x'), "a third one is served");
	worker = service_worker(at, 0);
	at = service_log_size();
	kill(worker, SIGKILL);
	ok(service_wait(at, "went on with ") != 0, "a worker is killed");
	ok(service_echoes(a, 'e') && service_echoes(b, 'f'),
	    "those that were idle go on");
	close(c);
	at = service_log_size();
	text[0] = POISON;
	unit_write(a, text, 1);
	ok(recv(a, text, 1, 0) <= 0, "one with bytes in hand ends");
	ok(service_wait(at, "went on with ") != 0, "with its worker");
	ok(service_echoes(b, 'g'), "the other goes on");
	close(a);
	a = client(path);
	ok(service_echoes(a, 'h'), "a new one is served");
	close(a);
	close(b);
	test_urgent();
	test_descriptor();
	is_int(service_end(SIGTERM), 0, "exit status");
}

static void
test_abstract(void)
{
	char name[80];
	int fd;

	snprintf(name, sizeof(name), "@%s", path);
	listener = pfk_unix_listen(name, 0, 5);
	ok(listener != -1, "an abstract name");
	is_int(listen_fails(name), EADDRINUSE, "it is taken");
	service_start(&hooks, 2);
	service_wait(0, "ready: 2 workers");
	fd = client(name);
	ok(service_echoes(fd, 'a'), "it is served");
	close(fd);
	is_int(service_end(SIGTERM), 0, "exit status");
	close(listener);
	is_int(listen_fails(name), 0, "it ends with its descriptors");
}

/* The events that the worker's epoll set waits for on the listener. */
static unsigned
events_of(pid_t worker)
{
	char at[64], line[200];
	struct dirent *e;
	unsigned found = 0;
	DIR *d;

	snprintf(at, sizeof(at), "/proc/%d/fdinfo", (int)worker);
	d = opendir(at);
	while (d != NULL && (e = readdir(d)) != NULL) {
		unsigned events;
		int fd, of;
		FILE *f;

		of = openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC);
		f = of != -1 ? fdopen(of, "r") : NULL;
		while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
			if (sscanf(line, "tfd: %d events: %x", &fd, &events) ==
				2 &&
			    fd == listener)
				found = events;
		}
		if (f != NULL)
			fclose(f);
	}
	if (d != NULL)
		closedir(d);
	return found;
}

/* A client wakes two workers and not all, and is served if one is stopped. */
static void
test_wakes(void)
{
	pid_t workers[3];
	int fd;

	service_start(&hooks, 3);
	service_wait(0, "ready: 3 workers");
	for (int i = 0; i < 3; i++)
		workers[i] = service_worker(0, i);
	is_int(events_of(workers[0]) & EPOLLEXCLUSIVE, 0,
	    "slot 0 is woken in any case");
	for (int i = 1; i < 3; i++)
		ok((events_of(workers[i]) & EPOLLEXCLUSIVE) != 0,
		    "slot %d only if it is chosen", i);
	for (int i = 0; i < 3; i++) {
		kill(workers[i], SIGSTOP);
		fd = client(path);
		ok(service_echoes(fd, 'a'), "served while slot %d is stopped",
		    i);
		close(fd);
		kill(workers[i], SIGCONT);
	}
	kill(workers[1], SIGKILL);
	service_wait(0, "killed by signal 9");
	fd = client(path);
	ok(service_echoes(fd, 'b'), "and after a death");
	close(fd);
	is_int(service_end(SIGTERM), 0, "exit status");
}

static int
main_init(struct pfk_worker *w, const struct pfk_setup *s)
{
	(void)s;
	return worker_init(w, NULL);
}

/* A service of pfk_main, which closes what it does not know. */
static void
test_main(const char *at)
{
	static const struct pfk_service services[] = {{.tcp = &echo}, {0}};
	static const struct pfk_program program = {.services = services,
	    .worker_init = main_init};
	static char words[7][12] = {"unix", "-w", "1", "-p", "0", "--control",
	    "off"};
	char *argv[8] = {NULL};
	int fd = -1, status, null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t pid = fork();

	for (int i = 0; i < 7; i++)
		argv[i] = words[i];
	if (pid == 0) {
		dup2(null, STDERR_FILENO);
		listener = pfk_unix_listen(at, 0600, PFK_UNSET);
		_exit(pfk_main(&program, 7, argv));
	}
	for (int i = 0; i < 1000 && fd == -1; i++) {
		usleep(10000);
		fd = client(at);
	}
	ok(service_echoes(fd, 'a'), "a program of pfk_main serves a path");
	is_int(listen_fails(at), EADDRINUSE, "and has its lock");
	close(fd);
	kill(pid, SIGTERM);
	waitpid(pid, &status, 0);
	is_int(status, 0, "it ends");
	fd = pfk_unix_listen(at, 0600, PFK_UNSET);
	ok(fd != -1, "and then the path is free");
	close(fd);
	close(null);
}

int
main(void)
{
	char other[80];

	if (mkdtemp(dir) == NULL || chdir(dir) == -1)
		skip_all("no directory");
	snprintf(path, sizeof(path), "%s/socket", dir);
	snprintf(lock, sizeof(lock), "%s.lock", path);
	test_paths();
	test_service();
	test_wakes();
	close(listener);
	test_abstract();
	snprintf(other, sizeof(other), "%s/other", dir);
	test_main(other);
	unlink(other);
	strlcat(other, ".lock", sizeof(other));
	unlink(other);
	unlink(path);
	unlink(lock);
	rmdir(dir);
	return done_testing();
}

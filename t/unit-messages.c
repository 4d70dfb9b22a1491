/*
 * A worker is killed at each point while it serves messages that come in pieces:
 * each is answered once, in order.  Then a reload hands the unconsumed bytes over.
 */
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service.h"
#include "tap.h"

#define POINTS_MAX 400

/* A line with a number, and that many bytes; each is answered by its sum. */
static const char *const pieces[] = {"3\nabc1\nx", "5\nhel", "lo2\nyz4", "\nw",
    "xyz0\n1\n", "q"};
static const char answers[] = "3:294\n1:120\n5:532\n2:243\n4:482\n0:0\n1:113\n";

static volatile uint64_t *die_at;
static struct pfk_sockopts options;
static struct pfk_listen want = {.kind = PFK_TCP, .options = &options};
struct pfk_server *server; /* not static: it is no leak */

/* the service */

static void *
connection_made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	return pfk_receive_until(tr, '\n', 16) == 0 ? tr : NULL;
}

static void
answer(struct pfk_transport *tr, const unsigned char *buf, size_t len)
{
	unsigned *count = pfk_block(tr), sum = 0;
	char text[64];

	for (size_t i = 0; i < len; i++)
		sum += buf[i];
	++*count;
	snprintf(text, sizeof(text), "%zu:", len);
	pfk_write(tr, text, strlen(text));
	snprintf(text, sizeof(text), "%u\n", sum);
	pfk_write(tr, text, strlen(text));
	pfk_receive_until(tr, '\n', 16);
}

static void
data_received(void *self, const void *buf, size_t len)
{
	struct pfk_transport *tr = self;
	unsigned *wants = (unsigned *)pfk_block(tr) + 1;

	if (*wants > 0) {
		answer(tr, buf, len);
		*wants = 0;
		return;
	}
	*wants = (unsigned)atoi(buf);
	if (*wants == 0)
		answer(tr, buf, 0);
	else
		pfk_receive_exactly(tr, *wants);
}

static ssize_t
hand_over(void *self, void *buf, size_t room)
{
	(void)room;
	memcpy(buf, pfk_block(self), 2 * sizeof(unsigned));
	return 2 * sizeof(unsigned);
}

static void *
connection_resumed(struct pfk_transport *tr, void *arg, const void *buf,
    size_t len)
{
	(void)arg;
	if (buf != pfk_block(tr))
		memcpy(pfk_block(tr), buf, len);
	return tr;
}

static const struct pfk_protocol sums = {.connection_made = connection_made,
    .data_received = data_received,
    .hand_over = hand_over,
    .connection_resumed = connection_resumed,
    .survives = true,
    .block_bytes = 2 * sizeof(unsigned)};

static int
worker_init(struct pfk_worker *w, void *arg)
{
	int fd;

	(void)arg;
	if (pfk_worker_listen(w, &want, 1, &fd) == -1)
		return -1;
	server = pfk_serve(pfk_worker_loop(w), fd, &sums, NULL, NULL);
	pfk_die_at(pfk_worker_loop(w), *die_at);
	return server != NULL ? 0 : -1;
}

static int
on_reload(struct pfk_master_config *config, void *arg)
{
	(void)config;
	(void)arg;
	*die_at = 0;
	return 0;
}

static const struct pfk_hooks hooks = {.worker_init = worker_init,
    .on_reload = on_reload};

/* the test */

/* Read until there are len bytes; false: there were not, or others. */
static bool
gets_answers(int fd, size_t from, size_t len)
{
	char buf[256] = "";
	size_t n = 0;

	while (n < len) {
		ssize_t got = recv(fd, buf + n, len - n, 0);

		if (got <= 0)
			break;
		n += (size_t)got;
	}
	return n == len && memcmp(buf, answers + from, len) == 0;
}

/* The length of the first n answers. */
static size_t
length_of(int n)
{
	const char *at = answers;

	while (n-- > 0)
		at = strchr(at, '\n') + 1;
	return (size_t)(at - answers);
}

/* False: the worker did not die. */
static bool
serve_at(uint64_t point)
{
	static const int whole[] = {1, 2, 3, 3, 5, 7};
	bool reloads = point == 0;
	size_t came = 0;
	uint16_t port;
	int fd, wrong = 0;

	*die_at = point;
	service_start(&hooks, 1);
	service_wait(0, "ready: 1 worker");
	port = service_port();
	fd = service_connect(port, 0);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		size_t now = length_of(whole[i]);
		size_t at = service_log_size();

		send(fd, pieces[i], strlen(pieces[i]), MSG_NOSIGNAL);
		wrong += !gets_answers(fd, came, now - came);
		came = now;
		if (!reloads)
			continue;
		service_signal(SIGHUP);
		service_wait(service_wait(at, "reloaded: 1 worker"),
		    "has ended");
	}
	shutdown(fd, SHUT_WR);
	wrong += recv(fd, &wrong, 1, 0) != 0;
	close(fd);
	is_int(service_end(SIGTERM), 0, "exit status");
	is_int(wrong, 0, "point %u: each message is answered once",
	    (unsigned)point);
	if (wrong != 0)
		diag("%s", service_log());
	return service_count("killed by signal 9") > 0;
}

/*
 * The successor finds the unconsumed bytes of each, in whatever order they were
 * active last.
 */
static void
serve_many(void)
{
	static const int order[] = {5, 2, 7, 0, 3, 6, 1, 4};
	int fds[8], good = 0;
	size_t at;
	uint16_t port;

	*die_at = 0;
	service_start(&hooks, 1);
	at = service_wait(0, "ready: 1 worker");
	port = service_port();
	for (int i = 0; i < 8; i++)
		fds[i] = service_connect(port, 0);
	for (int i = 0; i < 8; i++) {
		send(fds[order[i]], "3\nabc1\nx5\nhel", 13, MSG_NOSIGNAL);
		gets_answers(fds[order[i]], 0, length_of(2));
	}
	kill(service_worker(0, 0), SIGKILL);
	service_wait(at, "went on with 8 connections");
	for (int i = 0; i < 8; i++) {
		send(fds[i], "lo", 2, MSG_NOSIGNAL);
		good += gets_answers(fds[i], length_of(2),
		    length_of(3) - length_of(2));
		close(fds[i]);
	}
	is_int(good, 8, "each goes on with its own bytes");
	is_int(service_end(SIGTERM), 0, "exit status");
}

int
main(void)
{
	uint64_t point = 1;

	die_at = mmap(NULL, sizeof(*die_at), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (die_at == MAP_FAILED)
		skip_all("no shared memory");
	pfk_sockopts_init(&options);
	pfk_addr_parse(&want.addr, "127.0.0.1", 0);
	serve_many();
	serve_at(0);
	while (point < POINTS_MAX && serve_at(point))
		point++;
	ok(point > 20 && point < POINTS_MAX, "%u points", (unsigned)point);
	return done_testing();
}

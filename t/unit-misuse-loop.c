/*
 * unit-misuse-loop.c: a loop that is freed too early. It stays as it is, with all
 * that is on it, and one line names the mistake; but connections that are not there
 * yet end with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <prefork.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "unit.h"

#define LINE "misuse of libprefork: pfk_loop_free: the loop has servers"

static struct pfk_loop *loop;
static int lines, made, lost, received;

static void
on_line(void *arg, const char *line)
{
	(void)arg;
	lines += strstr(line, LINE) != NULL;
}

static void *
on_made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	made++;
	return tr;
}

static void
on_lost(void *self, int error)
{
	(void)self;
	(void)error;
	lost++;
}

static void
on_data(void *self, const void *buf, size_t len)
{
	(void)self;
	(void)buf;
	(void)len;
	received++;
}

static void
on_datagram(void *self, const struct pfk_packet *p)
{
	(void)self;
	(void)p;
	received++;
}

static const struct pfk_protocol protocol = {.connection_made = on_made,
    .data_received = on_data,
    .connection_lost = on_lost};
static const struct pfk_datagram_protocol datagrams =
    {.datagram_received = on_datagram, .connection_lost = on_lost};

static void
begin(void)
{
	loop = pfk_loop_new(NULL);
	lines = made = lost = received = 0;
}

static void
refuse(const char *name)
{
	errno = 0;
	pfk_loop_free(loop);
	ok(lines == 1 && errno == EBUSY, "%s: refused", name);
}

static void
end(int n, const char *name)
{
	pfk_loop_drain(loop, PFK_DRAIN_NOW);
	is_int(pfk_loop_run(loop), 0, "%s: it runs to its end", name);
	is_int(lost, n, "%s: all that was on it is lost", name);
	pfk_loop_free(loop);
	is_int(lines, 1, "%s: and then it is freed", name);
}

static void
test_server(void)
{
	struct pfk_addr bound;
	struct pfk_server *s;
	int client;

	begin();
	s = pfk_serve(loop, unit_listen(&bound), &protocol, NULL, NULL);
	refuse("a server");
	client = unit_connect(&bound);
	ok(unit_run_until(loop, &made, 1), "a server: it serves on");
	pfk_server_close(&s);
	lines = 0;
	refuse("a connection of a server that is closed");
	unit_write(client, "x", 1);
	ok(unit_run_until(loop, &received, 1), "its connection is read");
	end(1, "a server");
	close(client);
}

static void
test_connection(void)
{
	int fds[2];

	unit_pair(fds);
	begin();
	pfk_attach(loop, fds[0], &protocol, NULL);
	refuse("a connection of the program's");
	ok(unit_run_until(loop, &made, 1), "it begins");
	close(fds[1]);
	ok(unit_run_until(loop, &lost, 1), "and ends by itself");
	end(1, "a connection");
}

static void
test_endpoint(void)
{
	struct pfk_addr bound, from;
	struct pfk_datagram *d;
	int fd = unit_udp(&bound), client = unit_udp(&from);

	begin();
	fcntl(fd, F_SETFL, O_NONBLOCK);
	d = pfk_datagram_open(loop, fd, &datagrams, NULL);
	refuse("an endpoint");
	if (sendto(client, "x", 1, 0, &bound.sa, bound.len) == 1)
		ok(unit_run_until(loop, &received, 1), "it receives on");
	pfk_datagram_close(&d);
	lines = 0;
	refuse("an endpoint before its connection_lost");
	end(1, "an endpoint");
	close(client);
}

/* A child has no use for it, and may close its copy at any time. */
static void
test_child(void)
{
	struct pfk_addr bound;
	struct pfk_server *s;
	int status = -1;
	pid_t pid;

	begin();
	s = pfk_serve(loop, unit_listen(&bound), &protocol, NULL, NULL);
	pid = fork();
	if (pid == 0) {
		pfk_loop_free(loop);
		_exit(lines);
	}
	waitpid(pid, &status, 0);
	is_int(status, 0, "a child may free its copy");
	refuse("in the parent");
	pfk_server_close(&s);
	end(0, "a parent");
}

/* connections that are on their way */

static int ends;

static void
on_failed(void *arg, int error, const char *causes)
{
	(void)arg;
	(void)error;
	(void)causes;
	ends++;
}

static void
on_stop(void *arg)
{
	(void)arg;
	pfk_loop_stop(loop);
}

/* They end with the loop, and cancelling does nothing then. */
static void
test_connector(const char *host, bool begun, const char *name)
{
	struct pfk_addr bound;
	int listener = unit_listen(&bound), fds = unit_count_fds();
	struct pfk_connect_options o = {.host = host,
	    .port = pfk_addr_port(&bound)};
	struct pfk_connector *c;

	begin();
	ends = 0;
	c = pfk_connect(loop, &o, &protocol, NULL, on_failed);
	/* It has a socket then, and the loop has not waited yet. */
	pfk_soon(loop, on_stop, NULL);
	if (begun)
		pfk_loop_run(loop);
	pfk_loop_free(loop);
	is_int(unit_count_fds(), fds, "%s: no descriptor is left", name);
	is_int(unit_count_children(), 0, "%s: nor a child", name);
	pfk_connect_cancel(&c);
	ok(c == NULL && ends == 0 && made == 0, "%s: no callback", name);
	is_int(lines, 0, "%s: no line", name);
	close(listener);
}

int
main(void)
{
	pfk_log_to(on_line, NULL);
	test_server();
	test_connection();
	test_endpoint();
	test_child();
	test_connector("localhost", false, "a look-up");
	test_connector("127.0.0.1", false, "a connection to begin");
	test_connector("127.0.0.1", true, "a connection begun");
	return done_testing();
}

/*
 * unit-misuse-line.c: calls that have long refused a mistake, and that say so in
 * the log. A mistake that a peer can cause has no line.
 */
#include <errno.h>
#include <limits.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "misuse.h"
#include "service.h"
#include "tap.h"
#include "unit.h"

/* the base and the loop */

static int
keep(int fd)
{
	return pfk_keep_fd(fd, true) == -1 ? errno : 0;
}

static int
keep_standard(void)
{
	return keep(STDIN_FILENO);
}

static int
keep_closed(void)
{
	return keep(9999);
}

static void
on_signal(void *arg, int signo)
{
	(void)arg;
	(void)signo;
}

static int
add_signal(struct pfk_loop *l, int signo)
{
	return pfk_signal_add(l, signo, on_signal, NULL) == NULL ? errno : 0;
}

static int
signal_of_another_loop(void)
{
	add_signal(misuse_loop, SIGUSR1);
	return add_signal(pfk_loop_new(NULL), SIGUSR2);
}

static int
signal_kill(void)
{
	return add_signal(misuse_loop, SIGKILL);
}

static int
signal_none(void)
{
	return add_signal(misuse_loop, 1000);
}

static int
large_state(void)
{
	return pfk_loop_state(misuse_loop, (1 << 20) + 1) == NULL ? errno : 0;
}

static int
define(const char *name, const char *help)
{
	return pfk_metric_define(PFK_COUNTER, name, help) == -1 ? errno : 0;
}

static int
metric_name(void)
{
	return define("lines", "Lines.");
}

static int
metric_help(void)
{
	return define("chat_lines_total", "Lines.\nAnd words.");
}

/* sockets of AF_UNIX */

static int
unix_listen_nowhere(void)
{
	return pfk_unix_listen("", 0600, PFK_UNSET) == -1 ? errno : 0;
}

static int
unix_bind_nowhere(void)
{
	return pfk_unix_bind("@", 0600) == -1 ? errno : 0;
}

static int
unix_connect_nowhere(void)
{
	return pfk_unix_connect("") == -1 ? errno : 0;
}

static int
unix_datagram_nowhere(void)
{
	return pfk_unix_datagram("") == -1 ? errno : 0;
}

/* connections */

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	return tr;
}

static void *
resumed(struct pfk_transport *tr, void *arg, const void *buf, size_t len)
{
	(void)buf;
	(void)len;
	return made(tr, arg);
}

static const struct pfk_protocol protocol = {.connection_made = made};

static struct pfk_transport *
new_connection(struct pfk_loop *l)
{
	int fds[2];

	unit_pair(fds);
	return pfk_attach(l, fds[0], &protocol, NULL);
}

static int
limits_crossed(void)
{
	return pfk_set_write_limits(new_connection(misuse_loop), 2, 1) == -1
	    ? errno
	    : 0;
}

static int
limit_too_high(void)
{
	return pfk_set_write_limits(new_connection(misuse_loop), 0, SIZE_MAX) ==
		-1
	    ? errno
	    : 0;
}

static int
small_info(void)
{
	char c;

	return pfk_extra_info(new_connection(misuse_loop), "SO_RCVBUF", &c,
		   1) == -1
	    ? errno
	    : 0;
}

static int
join(struct pfk_transport *from, struct pfk_transport *to)
{
	return pfk_join(from, to) == -1 ? errno : 0;
}

static int
join_loops(void)
{
	return join(new_connection(misuse_loop),
	    new_connection(pfk_loop_new(NULL)));
}

static int
join_twice(void)
{
	struct pfk_transport *tr = new_connection(misuse_loop);

	unit_settle(misuse_loop);
	join(tr, tr);
	return join(tr, new_connection(misuse_loop));
}

static int
join_source(void)
{
	struct pfk_transport *to = new_connection(misuse_loop);
	struct pfk_transport *from = new_connection(misuse_loop);

	unit_settle(misuse_loop);
	join(from, to);
	return join(to, to);
}

static int
serve_block(size_t first, size_t bytes)
{
	static struct pfk_protocol blocks[2];
	struct pfk_addr bound;

	for (int i = 0; i < 2; i++)
		blocks[i] = (struct pfk_protocol){.connection_made = made,
		    .connection_resumed = resumed,
		    .survives = true,
		    .block_bytes = i == 0 ? first : bytes};
	pfk_serve(misuse_loop, unit_listen(&bound), &blocks[0], NULL, NULL);
	return pfk_serve(misuse_loop, unit_listen(&bound), &blocks[1], NULL,
		   NULL) == NULL
	    ? errno
	    : 0;
}

static int
block_too_large(void)
{
	return serve_block(64, PFK_BLOCK_MAX + 1);
}

static int
block_larger(void)
{
	return serve_block(64, 128);
}

/* streams */

/* One that is open, to a listener that accepts nothing. */
static struct pfk_stream *
new_stream(void)
{
	struct pfk_addr bound;
	struct pfk_connect_options o = {.host = "127.0.0.1"};
	struct pfk_stream *s;
	struct pfk_result r;

	unit_listen(&bound);
	o.port = pfk_addr_port(&bound);
	s = pfk_stream_open(misuse_loop, &o, NULL, NULL);
	if (s == NULL || pfk_run_until(misuse_loop, s, UINT64_MAX, &r) == -1)
		_exit(0);
	return s;
}

static void
on_result(void *arg, const struct pfk_result *r)
{
	(void)arg;
	(void)r;
}

static int
limit_of_0(void)
{
	return pfk_stream_set_limit(new_stream(), 0) == -1 ? errno : 0;
}

static int
drain_twice(void)
{
	struct pfk_stream *s = new_stream();

	pfk_stream_drain(s, on_result, NULL);
	return pfk_stream_drain(s, on_result, NULL) == -1 ? errno : 0;
}

static int
read_twice(void)
{
	struct pfk_stream *s = new_stream();

	pfk_read(s, 1, on_result, NULL);
	return pfk_read_until(s, '\n', on_result, NULL) == -1 ? errno : 0;
}

static int
read_nothing(void)
{
	return pfk_read_exactly(new_stream(), 0, on_result, NULL) == -1 ? errno
									: 0;
}

static int
two_without_callback(void)
{
	struct pfk_stream *s = new_stream();

	pfk_read(s, 1, NULL, NULL);
	return pfk_stream_drain(s, NULL, NULL) == -1 ? errno : 0;
}

static int
wait_for_nothing(void)
{
	struct pfk_result r;

	return pfk_run_until(misuse_loop, new_stream(), UINT64_MAX, &r) == -1
	    ? errno
	    : 0;
}

static struct pfk_stream *stream;
static int result;

static void
run_inside(void *arg)
{
	struct pfk_result r;

	(void)arg;
	result = pfk_run_until(misuse_loop, stream, UINT64_MAX, &r) == -1
	    ? errno
	    : 0;
	pfk_loop_stop(misuse_loop);
}

static int
wait_inside(void)
{
	stream = new_stream();
	pfk_read(stream, 1, NULL, NULL);
	pfk_soon(misuse_loop, run_inside, NULL);
	pfk_loop_run(misuse_loop);
	return result;
}

static const struct misuse rows[] = {
    {"keep a standard descriptor", keep_standard, EINVAL,
	"pfk_keep_fd: descriptor 0 is a standard one"},
    {"keep a closed descriptor", keep_closed, EBADF,
	"pfk_keep_fd: descriptor 9999 is not open"},
    {"signals of two loops", signal_of_another_loop, EBUSY,
	"pfk_signal_add: another loop"},
    {"catch SIGKILL", signal_kill, EINVAL,
	"pfk_signal_add: signal 9 cannot be caught"},
    {"catch no signal", signal_none, EINVAL,
	"pfk_signal_add: signal 1000 cannot be caught"},
    {"a large state", large_state, EINVAL,
	"pfk_loop_state: 1048577 bytes; it is 1048576 at most"},
    {"a metric with a wrong name", metric_name, EINVAL,
	"pfk_metric_define: lines is no name"},
    {"a metric with a wrong help", metric_help, EINVAL,
	"pfk_metric_define: the help of chat_lines_total is not one line"},
    {"listen nowhere", unix_listen_nowhere, EINVAL,
	"pfk_unix_listen: the path is empty"},
    {"bind nowhere", unix_bind_nowhere, EINVAL,
	"pfk_unix_bind: the path is empty"},
    {"connect nowhere", unix_connect_nowhere, EINVAL,
	"pfk_unix_connect: the path is empty"},
    {"connect datagrams nowhere", unix_datagram_nowhere, EINVAL,
	"pfk_unix_datagram: the path is empty"},
    {"a low mark above the high one", limits_crossed, EINVAL,
	"pfk_set_write_limits: low is 2 and high 1"},
    {"a high mark that is too high", limit_too_high, EINVAL,
	"pfk_set_write_limits: low is 0"},
    {"no room for an option", small_info, EINVAL,
	"pfk_extra_info: 1 bytes are too few for SO_RCVBUF"},
    {"join over loops", join_loops, EINVAL, "pfk_join: the transports"},
    {"join twice", join_twice, EBUSY, "pfk_join: `from` has a sink"},
    {"join to a joined one", join_source, EBUSY, "pfk_join: `to` has a source"},
    {"a block that is too large", block_too_large, EINVAL,
	"pfk_serve: block_bytes is 65537; it is 65536 at most"},
    {"a block larger than the first one's", block_larger, EINVAL,
	"pfk_serve: block_bytes is 128, and the loop's first server has"},
    {"a limit of 0", limit_of_0, EINVAL, "pfk_stream_set_limit: 0; it is 1"},
    {"drain twice", drain_twice, EBUSY, "pfk_stream_drain: one is pending"},
    {"read twice", read_twice, EBUSY, "pfk_read_until: one is pending"},
    {"read nothing", read_nothing, EINVAL, "pfk_read_exactly: 0 bytes"},
    {"two calls without a callback", two_without_callback, EBUSY,
	"pfk_stream_drain: another call without a callback"},
    {"wait for nothing", wait_for_nothing, EINVAL,
	"pfk_run_until: the stream has no call"},
    {"wait in a callback", wait_inside, EBUSY,
	"pfk_run_until: the loop runs already"},
};

/* values of peers */

static int lines;

static void
on_line(void *arg, const char *line)
{
	(void)arg;
	lines += strstr(line, "misuse of libprefork") != NULL;
}

static void
test_peers(void)
{
	struct pfk_loop *l = pfk_loop_new(NULL);
	struct pfk_zone *z = pfk_zone_open(NULL, 1 << 20);
	static const struct pfk_datagram_protocol none;
	struct pfk_datagram *d;
	char name[64];

	snprintf(name, sizeof(name), "@unit-misuse-line-%d", (int)getpid());
	d = pfk_datagram_open(l, pfk_unix_bind(name, 0600), &none, NULL);
	pfk_log_to(on_line, NULL);
	ok(pfk_zone_delete(z, "", 0) == -1 && errno == EINVAL, "an empty key");
	ok(pfk_unix_sendto(d, "x", 1, "") == -1 && errno == EINVAL,
	    "a peer without a name");
	is_int(lines, 0, "values of peers have no line");
	pfk_datagram_close(&d);
	pfk_loop_run(l);
	pfk_loop_free(l);
}

/* in a service */

static int
worker_init(struct pfk_worker *w, void *arg)
{
	(void)w;
	(void)arg;
	if (pfk_log_open("-") == -1 && errno == EBUSY &&
	    pfk_log_to(on_line, NULL) == -1 && errno == EBUSY)
		pfk_log(PFK_INFO, "both refused");
	return 0;
}

static void
test_service(void)
{
	const struct pfk_hooks hooks = {.worker_init = worker_init};

	service_start(&hooks, 1);
	ok(service_wait(0, "both refused") != 0, "the log is the service's");
	ok(service_wait(0, "pfk_log_open: call it before pfk_master_run") != 0,
	    "pfk_log_open has a line");
	ok(service_wait(0, "pfk_log_to: call it before pfk_master_run") != 0,
	    "pfk_log_to has a line");
	is_int(service_end(SIGTERM), 0, "end");
}

int
main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		misuse_try(&rows[i]);
	test_service();
	test_peers();
	return done_testing();
}

/*
 * connect.c, connect_udp.c: names with several addresses, and with none. Every
 * case runs on each back-end.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"
#include "unit.h"

static const char *backend;
static struct pfk_loop *loop;
static int fds_before;
static struct pfk_connector *connector;
static struct pfk_transport *transport;
static struct pfk_datagram *datagram;
static struct pfk_addr peer;
static int made, failures, lost, ticks, ends; /* ends: made or failed */
static int error;
static char causes[PFK_CAUSES_SIZE];
static char received[16];
static int received_len;

/*
 * The look-up's child is a fork of this: so this is the name service. A name
 * is its addresses with commas between them and ; for :, or a way to fail.
 */
int
getaddrinfo(const char *name, const char *service, const struct addrinfo *req,
    struct addrinfo **pai)
{
	static struct addrinfo infos[8];
	static struct pfk_addr addrs[8];
	char *text, *part, *rest;
	size_t n = 0;

	if (strcmp(name, "never") == 0)
		pause();
	if (strcmp(name, "dies") == 0)
		_exit(1);
	if (strcmp(name, "again") == 0)
		return EAI_AGAIN;
	if (strcmp(name, "system") == 0) {
		errno = EMFILE;
		return EAI_SYSTEM;
	}
	text = rest = strdup(name);
	for (char *c = text; *c != '\0'; c++)
		*c = *c == ';' ? ':' : *c;
	while ((part = strsep(&rest, ",")) != NULL && n < 8) {
		if (pfk_addr_parse(&addrs[n], part, (uint16_t)atoi(service)) ==
			-1 ||
		    (req->ai_family != AF_UNSPEC &&
			req->ai_family != addrs[n].sa.sa_family))
			continue;
		infos[n] = (struct addrinfo){.ai_addr = &addrs[n].sa,
		    .ai_addrlen = addrs[n].len};
		if (n > 0)
			infos[n - 1].ai_next = &infos[n];
		n++;
	}
	free(text);
	*pai = infos;
	return n > 0 ? 0 : EAI_NONAME;
}

static void
on_tick(void *arg)
{
	(void)arg;
	ticks++;
}

static void
on_failed(void *arg, int why, const char *text)
{
	*(int *)arg += 1;
	ends++;
	connector = NULL;
	error = why;
	strlcpy(causes, text, sizeof(causes));
}

static void *
tcp_made(struct pfk_transport *tr, void *arg)
{
	made++;
	ends++;
	connector = NULL;
	transport = tr;
	peer = *pfk_peername(tr);
	return arg;
}

static void
on_lost(void *self, int why)
{
	(void)self;
	(void)why;
	lost++;
	transport = NULL;
}

static void *
udp_made(struct pfk_datagram *d, void *arg)
{
	made++;
	ends++;
	connector = NULL;
	datagram = d;
	is_int(pfk_datagram_peername(d, &peer), 0, "%s: has a peer", backend);
	return arg;
}

static void
tcp_received(void *self, const void *buf, size_t len)
{
	size_t room = sizeof(received) - 1 - (size_t)received_len;

	(void)self;
	memcpy(received + received_len, buf, len < room ? len : room);
	received_len += (int)(len < room ? len : room);
}

static const struct pfk_protocol tcp_protocol = {.connection_made = tcp_made,
    .data_received = tcp_received,
    .connection_lost = on_lost};
static const struct pfk_datagram_protocol udp_protocol = {
    .connection_made = udp_made,
    .connection_lost = on_lost,
};

static void
begin(void)
{
	fds_before = unit_count_fds();
	made = failures = lost = ticks = ends = error = 0;
	causes[0] = '\0';
	loop = pfk_loop_new(backend);
}

static void
end(const char *name)
{
	pfk_connect_cancel(&connector);
	pfk_datagram_close(&datagram);
	if (transport != NULL)
		pfk_abort(transport);
	is_int(pfk_loop_run(loop), 0, "%s: %s: the loop ends", backend, name);
	is_int(lost, made, "%s: %s: connection_lost", backend, name);
	pfk_loop_free(loop);
	is_int(unit_count_fds(), fds_before, "%s: %s: no descriptor is left",
	    backend, name);
	is_int(unit_count_children(), 0, "%s: %s: nor a child", backend, name);
}

static struct pfk_connector *
start(bool udp, const struct pfk_connect_options *o)
{
	return udp
	    ? pfk_datagram_connect(loop, o, &udp_protocol, &failures, on_failed)
	    : pfk_connect(loop, o, &tcp_protocol, &failures, on_failed);
}

/* Connect to one of these, and wait until that has ended. */
static void
connect_to(bool udp, const struct pfk_connect_options *o)
{
	int before = ends;

	connector = start(udp, o);
	is_int(ends, before, "%s: not from inside the call", backend);
	unit_run_until(loop, &ends, before + 1);
	ok(connector == NULL, "%s: the handle is gone", backend);
}

static void
test_names(bool udp)
{
	struct pfk_addr addr;
	int fd = udp ? unit_udp(&addr) : unit_listen(&addr);
	const char *bad = udp ? "Permission denied; is it a broadcast address, "
				"or is there a firewall?"
			      : "Network is unreachable";
	struct pfk_connect_options o = {.host = "255.255.255.255,127.0.0.1",
	    .port = pfk_addr_port(&addr)};
	char expected[PFK_CAUSES_SIZE];

	begin();
	fds_before--;
	connect_to(udp, &o);
	is_int(made, 1, "%s: the second address is tried", backend);
	ok(pfk_addr_equal(&peer, &addr), "%s: and is the peer", backend);
	close(fd);
	end("names");

	begin();
	o.host = "255.255.255.255,255.255.255.255";
	o.port = 7;
	connect_to(udp, &o);
	is_int(failures, 1, "%s: none is left", backend);
	is_int(error, udp ? EACCES : ENETUNREACH, "%s: the first error",
	    backend);
	snprintf(expected, sizeof(expected),
	    "255.255.255.255:7: %s; 255.255.255.255:7: %s", bad, bad);
	is_str(causes, expected, "%s: and all of them", backend);
	end("all bad");
}

static void
test_families(bool udp)
{
	struct pfk_addr source;
	struct pfk_connect_options o = {.host = "127.0.0.1",
	    .port = 7,
	    .family = AF_INET6};

	begin();
	connect_to(udp, &o);
	is_int(error, PFK_ENOHOST, "%s: an address of the other family",
	    backend);
	o.host = "no address";
	o.family = AF_UNSPEC;
	connect_to(udp, &o);
	is_int(error, PFK_ENOHOST, "%s: no such name", backend);
	is_str(causes, "look-up: there is no such name", "%s: the cause",
	    backend);
	pfk_addr_parse(&source, "127.0.0.1", 0);
	o.source = &source;
	o.host = ";;1,;;2";
	connect_to(udp, &o);
	is_int(error, PFK_ENOHOST, "%s: no source for it", backend);
	is_str(causes, "look-up: no address of the source's family",
	    "%s: the cause", backend);
	o.host = "::1";
	connect_to(udp, &o);
	is_int(error, PFK_ENOHOST, "%s: nor for a numeric one", backend);
	is_int(failures, 4, "%s: each fails once", backend);
	end("families");
}

static void
test_look_up_fails(bool udp)
{
	static const struct {
		const char *host, *cause;
	} cases[] = {
	    {"dies",
		"look-up: the process for it has died, as when memory "
		"runs out"},
	    {"again",
		"look-up: no name server answers now; try again later, "
		"or see /etc/resolv.conf"},
	    {"system",
		"look-up: no descriptor is free in this process; "
		"raise RLIMIT_NOFILE (ulimit -n)"},
	    {"127.1",
		"look-up: it is not an IPv4 address; write four decimal "
		"numbers without leading zeros, as in 127.0.0.1"},
	};
	struct pfk_connect_options o = {.port = 7};

	begin();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		o.host = cases[i].host;
		connect_to(udp, &o);
		is_int(error, PFK_ENOHOST, "%s: %s", backend, o.host);
		is_str(causes, cases[i].cause, "%s: the cause", backend);
	}
	end("look-up fails");
}

/* The loop goes on while the name service does not answer. */
static void
test_look_up(bool udp)
{
	struct pfk_connect_options o = {.host = "never",
	    .port = 7,
	    .timeout_ns = 50 * PFK_MSEC_NS};

	begin();
	pfk_later(loop, 10 * PFK_MSEC_NS, on_tick, NULL);
	connect_to(udp, &o);
	is_int(ticks, 1, "%s: the loop goes on", backend);
	is_int(error, ETIMEDOUT, "%s: the time is up", backend);
	is_str(causes, "look-up: no name server answers; see /etc/resolv.conf",
	    "%s: the cause", backend);
	o.timeout_ns = 0;
	connector = start(udp, &o);
	unit_settle(loop);
	pfk_connect_cancel(&connector);
	unit_settle(loop);
	is_int(ends, 1, "%s: nothing comes once it is cancelled", backend);
	o.host = "127.0.0.1";
	connector = start(udp, &o);
	pfk_connect_cancel(&connector);
	unit_settle(loop);
	is_int(ends, 1, "%s: nor of a numeric one", backend);
	end("look-up");
}

static struct pfk_connector *stale;

static void
cancel_own(void *arg, int why, const char *text)
{
	(void)arg;
	(void)text;
	ends++;
	error = why;
	pfk_connect_cancel(&stale);
}

/* A handle of one that has ended cancels nothing, in its callback and later. */
static void
test_old_handle(void)
{
	struct pfk_connect_options o = {.host = "again", .port = 7};
	struct pfk_connector *copy;

	begin();
	copy = stale = pfk_connect(loop, &o, &tcp_protocol, NULL, cancel_own);
	ok(unit_run_until(loop, &ends, 1), "%s: it fails", backend);
	ok(stale == NULL, "%s: cancelled in its callback", backend);
	/* Perhaps in the same memory. */
	o.host = "never";
	o.timeout_ns = 50 * PFK_MSEC_NS;
	connector = start(false, &o);
	ok(connector != copy, "%s: another handle", backend);
	pfk_connect_cancel(&copy);
	ok(unit_run_until(loop, &ends, 2), "%s: the next one goes on", backend);
	is_int(error, ETIMEDOUT, "%s: until its time is up", backend);
	end("old handle");
}

/* Urgent data comes in its place, as by an accepted connection. */
static void
test_urgent(void)
{
	struct pfk_addr addr;
	int fd = unit_listen(&addr), accepted, value = -1;
	struct pfk_connect_options o = {.host = "127.0.0.1",
	    .port = pfk_addr_port(&addr)};

	begin();
	fds_before--;
	memset(received, 0, sizeof(received));
	received_len = 0;
	connect_to(false, &o);
	pfk_extra_info(transport, "TCP_NODELAY", &value, sizeof(value));
	is_int(value, 1, "%s: TCP_NODELAY, unless turned off", backend);
	accepted = accept(fd, NULL, NULL);
	is_int(send(accepted, "bulk!", 5, MSG_OOB), 5, "%s: urgent", backend);
	is_int(unit_write(accepted, "more", 4), 4, "%s: and more", backend);
	unit_run_until(loop, &received_len, 9);
	is_str(received, "bulk!more", "%s: all of it comes", backend);
	close(accepted);
	close(fd);
	end("urgent");
}

/* The first bytes, and an option of the connecting socket. */
static void
test_first(void)
{
	struct pfk_addr addr;
	int fd = unit_listen(&addr), accepted, value = 0;
	struct pfk_sockopts sockopts;
	struct pfk_connect_options o = {.host = "127.0.0.1",
	    .port = pfk_addr_port(&addr),
	    .sockopts = &sockopts,
	    .first = "first, ",
	    .first_len = 7};
	char text[16] = "";

	begin();
	fds_before--;
	pfk_sockopts_init(&sockopts);
	sockopts.syn_retries = 2;
	sockopts.nodelay = 0;
	connect_to(false, &o);
	pfk_extra_info(transport, "TCP_SYNCNT", &value, sizeof(value));
	is_int(value, 2, "%s: TCP_SYNCNT", backend);
	pfk_extra_info(transport, "TCP_NODELAY", &value, sizeof(value));
	is_int(value, 0, "%s: TCP_NODELAY, turned off", backend);
	pfk_write(transport, "then", 4);
	accepted = accept(fd, NULL, NULL);
	is_int(unit_read(accepted, text, 11), 11, "%s: all comes", backend);
	is_str(text, "first, then", "%s: in order", backend);
	close(accepted);
	close(fd);
	end("first");
}

static int
fill(const struct pfk_addr *to)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (connect(fd, &to->sa, to->len) == -1 && errno != EINPROGRESS)
		err(1, "connect");
	return fd;
}

/* A full accept queue does not answer: the next one starts after 250 ms. */
static void
test_black_hole(void)
{
	struct pfk_addr addr, other;
	struct pfk_connect_options o = {.timeout_ns = 5 * PFK_SECOND_NS};
	int fds[5], hole, fd = unit_listen(&addr);
	uint64_t start_ns;

	o.port = pfk_addr_port(&addr);
	hole = socket(AF_INET, SOCK_STREAM, 0);
	pfk_addr_parse(&other, "127.0.0.2", o.port);
	if (bind(hole, &other.sa, other.len) == -1 || listen(hole, 0) == -1)
		err(1, "listen");
	for (int i = 0; i < 5; i++)
		fds[i] = fill(&other);

	begin();
	o.host = "127.0.0.2,127.0.0.1";
	start_ns = pfk_loop_now(loop);
	connect_to(false, &o);
	ok(pfk_addr_equal(&peer, &addr), "%s: the answering address is taken",
	    backend);
	ok(pfk_loop_now(loop) - start_ns >= 250 * PFK_MSEC_NS,
	    "%s: the first has 250 ms", backend);
	end("black hole");

	close(fd);
	begin();
	o.host = "127.0.0.2,127.0.0.1";
	o.timeout_ns = 400 * PFK_MSEC_NS;
	connect_to(false, &o);
	is_int(error, ETIMEDOUT, "%s: one is still silent", backend);
	ok(strstr(causes, "127.0.0.1") != NULL &&
		strstr(causes, "127.0.0.2") != NULL &&
		strstr(causes, "refused") != NULL &&
		strstr(causes, "timed out") != NULL,
	    "%s: both causes are told: %s", backend, causes);
	end("silent and refused");
	for (int i = 0; i < 5; i++)
		close(fds[i]);
	close(hole);
}

int
main(void)
{
	for (int i = 0; unit_backends[i] != NULL; i++) {
		backend = unit_backends[i];
		for (int udp = 0; udp <= 1; udp++) {
			test_names(udp);
			test_families(udp);
			test_look_up(udp);
			test_look_up_fails(udp);
		}
		test_old_handle();
		test_first();
		test_urgent();
		test_black_hole();
	}
	return done_testing();
}

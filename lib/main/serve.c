/*
 * serve.c: a worker of the program: its listeners and limits, and its services.
 *
 * Layer: main.  A process has at most one worker, and so one `struct served`.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "main/daemon.h"
#include "main/program.h"
#include "net/addr.h"
#include "net/sockopts.h"

/* Listeners, channel, log, poller, pipes and so on: not for connections. */
#define RESERVED_FDS 64

static struct served {
	struct pfk_server **servers;
	struct pfk_datagram **datagrams;
	int *fds;
	size_t n;
} served;

static size_t
max_connections(const struct pfk__settings *s)
{
	struct rlimit r = {.rlim_cur = 1024};
	size_t reserved = RESERVED_FDS + s->setup.n_endpoints;

	if (s->max_connections > 0)
		return (size_t)s->max_connections;
	getrlimit(RLIMIT_NOFILE, &r);
	return r.rlim_cur > reserved ? r.rlim_cur - reserved : 1;
}

static void
log_clamped(void *arg, const char *name, int asked, int in_force,
    const char *sysctl)
{
	const struct pfk_endpoint *e = arg;
	const char *kind = e->listen.kind == PFK_TCP ? "tcp" : "udp";

	if (in_force == PFK_UNSET)
		pfk_log(PFK_WARNING,
		    "%s: %s: asked for %d, but the socket's protocol lacks the "
		    "option; is it Multipath TCP?",
		    kind, name, asked);
	else
		pfk_log(PFK_WARNING, "%s: %s: asked for %d, in force %d%s%s",
		    kind, name, asked, in_force,
		    sysctl != NULL ? "; raise " : "",
		    sysctl != NULL ? sysctl : "");
}

/* Port 0 has become one; and options may be clamped. */
static void
note_listener(struct pfk_endpoint *e, int fd, bool report)
{
	struct pfk_addr a = {.len = sizeof(a.in6)};

	if (getsockname(fd, &a.sa, &a.len) == 0)
		pfk__addr_set_port(&e->listen.addr, pfk_addr_port(&a));
	if (report)
		pfk__sockopts_report(fd, e->listen.options, log_clamped, e);
}

static int
open_listeners(struct pfk_worker *w, struct pfk_setup *s)
{
	struct pfk_listen *want = calloc(s->n_endpoints, sizeof(*want));
	int rc = -1;

	if (want == NULL)
		return -1;
	for (size_t i = 0; i < s->n_endpoints; i++)
		want[i] = s->endpoints[i].listen;
	rc = pfk_worker_listen(w, want, s->n_endpoints, served.fds);
	/* All workers have the same: one says it. */
	for (size_t i = 0; rc == 0 && i < s->n_endpoints; i++) {
		if (served.fds[i] != -1)
			note_listener(&s->endpoints[i], served.fds[i],
			    pfk_worker_slot(w) == 0);
	}
	free(want);
	return rc;
}

static int
serve(struct pfk_loop *l, const struct pfk__settings *s, size_t i)
{
	const struct pfk_endpoint *e = &s->setup.endpoints[i];
	const struct pfk_service *v = &s->program->services[e->service];
	struct pfk_server_options o = {.idle_ns = s->idle_ns,
	    .quickack = s->quickack,
	    .nagle = !s->nodelay};
	void *config = s->setup.config;
	int fd = served.fds[i];

	if (e->listen.kind == PFK_UDP) {
		served.datagrams[i] = pfk_datagram_open(l, fd, v->udp, config);
		return served.datagrams[i] != NULL ? 0 : -1;
	}
	if (v->stream != NULL)
		served.servers[i] = pfk_stream_serve(l, fd, v->stream, config,
		    &o);
	else
		served.servers[i] = pfk_serve(l, fd, v->tcp, config, &o);
	return served.servers[i] != NULL ? 0 : -1;
}

static int
set_limits(struct pfk_loop *l, const struct pfk__settings *s,
    struct pfk_zone *zone)
{
	const struct pfk_limits limits = {.max_connections = max_connections(s),
	    .max_per_source = pfk__settings_per_source(s),
	    .exempt_loopback = s->max_per_source == PFK__PER_SOURCE_AUTO,
	    .zone = zone};

	return pfk_loop_limit(l, &limits);
}

static int
prepare(struct pfk_loop *l, const struct pfk__settings *s,
    struct pfk_zone *zone)
{
	size_t n = s->setup.n_endpoints;

	/* Arrays of pointers. NOLINTBEGIN(bugprone-sizeof-expression) */
	served.servers = calloc(n, sizeof(*served.servers));
	served.datagrams = calloc(n, sizeof(*served.datagrams));
	/* NOLINTEND(bugprone-sizeof-expression) */
	served.fds = calloc(n, sizeof(*served.fds));
	if (served.servers == NULL || served.datagrams == NULL ||
	    served.fds == NULL || set_limits(l, s, zone) == -1)
		return -1;
	served.n = n;
	return 0;
}

static int
cannot_serve(struct pfk_worker *w)
{
	return pfk_worker_fail(w, EX_OSERR, "cannot serve: %s",
	    strerror(errno));
}

int
pfk__serve_init(struct pfk_worker *w, void *arg)
{
	const struct pfk__main *m = arg;
	struct pfk__settings *s = m->settings;
	struct pfk_loop *l = pfk_worker_loop(w);
	int rc = 0;

	/*
	 * A daemon's worker writes to the log or to the master, not to a
	 * terminal.
	 */
	if (s->daemon)
		pfk__daemon_close_stdio(STDERR_FILENO);
	if (prepare(l, s, m->sources) == -1)
		return cannot_serve(w);
	if (open_listeners(w, &s->setup) == -1)
		return -1;
	if (m->program->worker_init != NULL)
		rc = m->program->worker_init(w, &s->setup);
	if (rc != 0)
		return rc;
	for (size_t i = 0; i < served.n; i++) {
		if (served.fds[i] != -1 && serve(l, s, i) == -1)
			return cannot_serve(w);
	}
	if (s->user != NULL &&
	    pfk_drop_privileges(s->user_name, s->uid, s->gid) == -1)
		return pfk_worker_fail(w, EX_NOPERM,
		    "cannot become user '%s': %s", s->user, strerror(errno));
	return 0;
}

void
pfk__serve_exit(struct pfk_worker *w, void *arg)
{
	const struct pfk__main *m = arg;

	for (size_t i = 0; i < served.n; i++) {
		pfk_server_close(&served.servers[i]);
		pfk_datagram_close(&served.datagrams[i]);
	}
	free(served.servers);
	free(served.datagrams);
	free(served.fds);
	if (m->program->worker_exit != NULL)
		m->program->worker_exit(w, &m->settings->setup);
}

void
pfk__serve_leaving(struct pfk_worker *w, enum pfk_drain why, uint64_t until_ns,
    void *arg)
{
	const struct pfk__main *m = arg;

	if (m->program->worker_leaving != NULL)
		m->program->worker_leaving(w, why, until_ns,
		    &m->settings->setup);
}

/*
 * doctor.c: find faults in a service's surroundings and settings.
 *
 * Layer: process.  It judges facts, and asks nobody.
 */
#include "process/doctor.h"

#include <prefork.h>
#include <stdarg.h>
#include <string.h>

#include "base/json.h"

#define MIB (1LL << 20)
/* Below these a service is short of something. */
#define QUEUE_MIN 128
#define SOMAXCONN_MIN 1024
#define SYN_BACKLOG_MIN 128
#define NOFILE_MIN 1024
#define WATCHES_MIN 65536
#define FILE_MAX_MIN 16384
#define UDP_BUFFER_MIN 65536
#define UDP_BUFFER_GOOD (1 << 20)

/* A finding with its cure: the next call of `cure` gives it. */
static struct pfk__finding *
add(struct pfk__findings *d, bool warning, const char *name)
{
	struct pfk__finding *f = &d->list[d->n];

	if (d->n < PFK__FINDINGS_MAX - 1)
		d->n++;
	*f = (struct pfk__finding){.warning = warning, .name = name};
	return f;
}

static void PFK_PRINTF(2, 3) say(struct pfk__finding *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
}

static void PFK_PRINTF(2, 3) cure(struct pfk__finding *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->cure, sizeof(f->cure), fmt, ap);
	va_end(ap);
}

/* A number that is known and too small. */
static bool
short_of(long long n, long long least)
{
	return n != PFK__UNKNOWN && n < least;
}

/* A sysctl that is too small: the usual finding. */
static void
want_sysctl(struct pfk__findings *d, const char *name, long long n,
    long long least, long long good, const char *why)
{
	struct pfk__finding *f;

	if (!short_of(n, least))
		return;
	f = add(d, true, strrchr(name, '.') + 1);
	say(f, "%s is %lld: %s", name, n, why);
	cure(f, "sysctl -w %s=%lld", name, good);
}

static void
judge_tcp(struct pfk__findings *d, const struct pfk__facts *s)
{
	struct pfk__finding *f;

	want_sysctl(d, "net.core.somaxconn", s->somaxconn, SOMAXCONN_MIN, 4096,
	    "it bounds each accept queue, and clients of a burst find it full");
	want_sysctl(d, "net.ipv4.tcp_max_syn_backlog", s->max_syn_backlog,
	    SYN_BACKLOG_MIN, 4096,
	    "handshakes under way beyond that are dropped");
	want_sysctl(d, "net.ipv4.tcp_syncookies", s->syncookies, 1, 1,
	    "a flood of SYNs keeps all clients out");
	want_sysctl(d, "net.ipv4.tcp_syn_retries", s->syn_retries, 2, 6,
	    "a connect fails where one packet is lost");
	if (short_of(s->queue, QUEUE_MIN) &&
	    !short_of(s->somaxconn, SOMAXCONN_MIN)) {
		f = add(d, true, "backlog");
		say(f,
		    "an accept queue holds %lld connections: clients of a "
		    "burst find it full",
		    s->queue);
		cure(f, "set backlog to 4096, and reload");
	}
	if (s->abort_on_overflow > 0) {
		f = add(d, true, "tcp_abort_on_overflow");
		say(f,
		    "net.ipv4.tcp_abort_on_overflow is 1: clients are reset "
		    "where they could wait a moment");
		cure(f, "sysctl -w net.ipv4.tcp_abort_on_overflow=0");
	}
	if (s->fastopen_queue > 0 && s->fastopen != PFK__UNKNOWN &&
	    (s->fastopen & 2) == 0) {
		f = add(d, true, "fastopen");
		say(f,
		    "TCP Fast Open is asked for, but net.ipv4.tcp_fastopen is "
		    "%lld, so that servers have none",
		    s->fastopen);
		cure(f, "sysctl -w net.ipv4.tcp_fastopen=3");
	}
}

static void
judge_network(struct pfk__findings *d, const struct pfk__facts *s)
{
	struct pfk__finding *f;

	if (s->conntrack > 0 && s->conntrack * 10 > s->conntrack_max * 9) {
		f = add(d, true, "conntrack");
		say(f,
		    "%lld of %lld places for tracked connections are taken: "
		    "packets of new clients will be dropped",
		    s->conntrack, s->conntrack_max);
		cure(f, "sysctl -w net.netfilter.nf_conntrack_max=%lld",
		    s->conntrack_max * 4);
	}
	if (s->listen_overflows > 0) {
		f = add(d, false, "overflows");
		say(f,
		    "accept queues of this machine were full %lld times since "
		    "the boot, perhaps of other programs",
		    s->listen_overflows);
		cure(f, "watch nstat -az TcpExtListenOverflows");
	}
}

static void
judge_udp(struct pfk__findings *d, const struct pfk__facts *s)
{
	struct pfk__finding *f;

	if (short_of(s->receive_buffer, UDP_BUFFER_GOOD)) {
		bool little = s->receive_buffer < UDP_BUFFER_MIN;

		f = add(d, little, "receive-buffer");
		say(f,
		    "a UDP receive buffer holds %lld bytes: datagrams that "
		    "come while a worker restarts are dropped",
		    s->receive_buffer);
		cure(f,
		    little ? "set receive-buffer to 8M, and reload"
			   : "sysctl -w net.core.rmem_max=8388608, and "
			     "restart");
	}
	if (short_of(s->send_buffer, UDP_BUFFER_MIN)) {
		f = add(d, true, "send-buffer");
		say(f,
		    "a UDP send buffer holds %lld bytes: answers of a burst "
		    "are dropped",
		    s->send_buffer);
		cure(f, "set send-buffer to 8M, and reload");
	}
	if (s->dropped > 0) {
		f = add(d, false, "dropped");
		say(f,
		    "%lld datagrams were dropped because a receive buffer was "
		    "full",
		    s->dropped);
		cure(f, "make receive-buffer larger or start more workers");
	}
}

static void
judge_limits(struct pfk__findings *d, const struct pfk__facts *s)
{
	long long processes = 4LL * s->workers + 8;
	struct pfk__finding *f;

	want_sysctl(d, "fs.epoll.max_user_watches", s->watches, WATCHES_MIN,
	    1 << 20, "connections beyond that are not noticed");
	want_sysctl(d, "fs.file-max", s->file_max, FILE_MAX_MIN, 1 << 20,
	    "all programs together can have no more descriptors");
	if (short_of(s->nofile, NOFILE_MIN)) {
		f = add(d, true, "nofile");
		say(f,
		    "a process may have %lld descriptors: that bounds its "
		    "connections",
		    s->nofile);
		cure(f,
		    "ulimit -n 65536, or LimitNOFILE=65536 of systemd, and "
		    "restart");
	}
	if (short_of(s->nproc, processes) || short_of(s->pids_max, processes)) {
		bool group = short_of(s->pids_max, processes);

		f = add(d, true, group ? "pids.max" : "nproc");
		say(f,
		    "there may be %lld processes, and a reload of %d workers "
		    "needs %lld",
		    group ? s->pids_max : s->nproc, s->workers, processes);
		cure(f,
		    group ? "TasksMax=infinity of systemd, and restart"
			  : "ulimit -u unlimited, and restart");
	}
}

static void
judge_memory(struct pfk__findings *d, const struct pfk__facts *s)
{
	long long memory = 64 * MIB + s->workers * 16 * MIB;
	struct pfk__finding *f;

	if (short_of(s->memory_max, memory)) {
		f = add(d, true, "memory.max");
		say(f,
		    "the control group may use %lld MiB, and %d workers may "
		    "need %lld",
		    s->memory_max / MIB, s->workers, memory / MIB);
		cure(f, "MemoryMax=%lldM of systemd", memory / MIB);
	}
	if (s->oom_group > 0) {
		f = add(d, true, "memory.oom.group");
		say(f,
		    "memory.oom.group is 1: where memory runs out, all "
		    "processes are killed in the place of one worker");
		cure(f, "OOMPolicy=continue of systemd, and restart");
	}
	if (s->oom_score_adj >= 500) {
		f = add(d, true, "oom_score_adj");
		say(f,
		    "oom_score_adj is %lld: where memory runs out, this "
		    "service is killed first",
		    s->oom_score_adj);
		cure(f, "OOMScoreAdjust=0 of systemd, and restart");
	}
	if (s->overcommit == 2) {
		f = add(d, true, "overcommit_memory");
		say(f,
		    "vm.overcommit_memory is 2: the room that workers reserve "
		    "and do not use counts, so that they may get less of it");
		cure(f, "sysctl -w vm.overcommit_memory=0");
	}
}

static void
judge_service(struct pfk__findings *d, const struct pfk__facts *s)
{
	static const struct {
		size_t offset;
		bool warning;
		const char *name, *text, *cure;
	} table[] = {
	    {offsetof(struct pfk__facts, as_root), true, "user",
		"workers run as root: a fault in one is a fault of the machine",
		"set user, and restart"},
	    {offsetof(struct pfk__facts, keeper_off), true, "keeper",
		"keepers are off: connections end when their worker dies",
		"set keeper to on, and reload"},
	    {offsetof(struct pfk__facts, hang_off), true, "worker-timeout",
		"worker-timeout is 0: a worker that hangs is never replaced",
		"set worker-timeout to 5, and reload"},
	    {offsetof(struct pfk__facts, orphans_off), false, "orphan-timeout",
		"orphan-timeout is 0: connections end when the master dies",
		"set orphan-timeout to 60, and reload"},
	    {offsetof(struct pfk__facts, outdated), true, "configuration",
		"the configuration file was written since it was read",
		"prefork-ctl reload"},
	    {offsetof(struct pfk__facts, reload_failed), true, "reload",
		"the last reload has failed: the configuration before it is in "
		"force",
		"prefork-ctl reload, which tells the cause"}};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct pfk__finding *f;

		if (!*((const bool *)(const void *)((const char *)s +
			table[i].offset)))
			continue;
		f = add(d, table[i].warning, table[i].name);
		say(f, "%s", table[i].text);
		cure(f, "%s", table[i].cure);
	}
}

static void
judge_sandbox(struct pfk__findings *d, const struct pfk__facts *s)
{
	struct pfk__finding *f;

	if (!s->sandbox_off && s->unconfined[0] == '\0')
		return;
	f = add(d, false, "sandbox");
	if (s->sandbox_off) {
		say(f,
		    "sandbox is off: a worker that an attacker took over may "
		    "do all that its user may");
		cure(f, "set sandbox to auto, and reload");
	} else {
		say(f, "workers are not confined in all ways: %s",
		    s->unconfined);
		cure(f,
		    "libseccomp2, a usual build, a kernel with seccomp and "
		    "landlock in its parameter lsm");
	}
}

static void
judge_workers(struct pfk__findings *d, const struct pfk__facts *s)
{
	struct pfk__finding *f;

	if (s->in_backoff > 0) {
		f = add(d, true, "backoff");
		say(f, "%d of %d workers keep%s dying: siblings serve instead",
		    s->in_backoff, s->workers, s->in_backoff == 1 ? "s" : "");
		cure(f, "prefork-ctl why");
	}
	if (s->workers > 4 * s->cpus) {
		f = add(d, false, "workers");
		say(f, "%d workers share %d CPUs: they wait for each other",
		    s->workers, s->cpus);
		cure(f, "set workers to auto, and reload");
	}
	if (s->any_v6 && s->bindv6only > 0) {
		f = add(d, false, "bindv6only");
		say(f,
		    "net.ipv6.bindv6only is 1: [::] is for IPv6 only, here as "
		    "always");
		cure(f, "bind 0.0.0.0, too, for IPv4");
	}
	if (s->port > 0 && s->port < 65536 && s->ports_low > 0 &&
	    s->port >= s->ports_low && s->port <= s->ports_high) {
		f = add(d, false, "port");
		say(f,
		    "port %lld is one of those that clients of this machine "
		    "get: at a restart it may be taken",
		    s->port);
		cure(f, "sysctl -w net.ipv4.ip_local_reserved_ports=%lld",
		    s->port);
	}
	if (!s->as_root && s->port > 0 && short_of(s->port, 1024) &&
	    s->unprivileged_port > s->port) {
		f = add(d, false, "ip_unprivileged_port_start");
		say(f,
		    "ports below %lld need a privilege: a reload can add none",
		    s->unprivileged_port);
		cure(f, "sysctl -w net.ipv4.ip_unprivileged_port_start=%lld",
		    s->port);
	}
}

void
pfk__doctor_judge(struct pfk__findings *d, const struct pfk__facts *f)
{
	d->n = 0;
	judge_service(d, f);
	judge_sandbox(d, f);
	judge_workers(d, f);
	judge_tcp(d, f);
	judge_udp(d, f);
	judge_network(d, f);
	judge_limits(d, f);
	judge_memory(d, f);
}

void
pfk__doctor_text(FILE *f, const struct pfk__findings *d)
{
	for (int i = 0; i < d->n; i++)
		fprintf(f, "%s %s: %s; cure: %s\n",
		    d->list[i].warning ? "warn" : "info", d->list[i].name,
		    d->list[i].text, d->list[i].cure);
}

void
pfk__doctor_json(FILE *f, const struct pfk__findings *d)
{
	struct pfk__json j = {.f = f};

	pfk__json_open(&j, NULL, '[');
	for (int i = 0; i < d->n; i++) {
		pfk__json_open(&j, NULL, '{');
		pfk__json_string(&j, "level",
		    d->list[i].warning ? "warn" : "info");
		pfk__json_string(&j, "name", d->list[i].name);
		pfk__json_string(&j, "text", d->list[i].text);
		pfk__json_string(&j, "cure", d->list[i].cure);
		pfk__json_close(&j, '}');
	}
	pfk__json_close(&j, ']');
	putc('\n', f);
}

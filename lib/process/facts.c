/*
 * facts.c: the limits and settings that a service depends on, as they are in
 * force.
 *
 * Layer: process.  proc(5), cgroups(7), getrlimit(2).
 */
#include "process/facts.h"
#include "net/addr.h"

#include <limits.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "process/control.h"
#include "process/history.h"
#include "process/master.h"
#include "process/report.h"
#include "sandbox/sandbox.h"

/* the system */

static const struct {
	const char *file;
	size_t offset;
} sysctls[] = {
    {"net/core/somaxconn", offsetof(struct pfk__facts, somaxconn)},
    {"net/ipv4/tcp_syncookies", offsetof(struct pfk__facts, syncookies)},
    {"net/ipv4/tcp_abort_on_overflow",
	offsetof(struct pfk__facts, abort_on_overflow)},
    {"net/ipv4/tcp_max_syn_backlog",
	offsetof(struct pfk__facts, max_syn_backlog)},
    {"net/ipv4/tcp_syn_retries", offsetof(struct pfk__facts, syn_retries)},
    {"net/ipv4/tcp_fastopen", offsetof(struct pfk__facts, fastopen)},
    {"net/ipv4/ip_unprivileged_port_start",
	offsetof(struct pfk__facts, unprivileged_port)},
    {"net/ipv4/ip_local_port_range", offsetof(struct pfk__facts, ports_low)},
    {"net/ipv6/bindv6only", offsetof(struct pfk__facts, bindv6only)},
    {"net/netfilter/nf_conntrack_count",
	offsetof(struct pfk__facts, conntrack)},
    {"net/netfilter/nf_conntrack_max",
	offsetof(struct pfk__facts, conntrack_max)},
    {"fs/epoll/max_user_watches", offsetof(struct pfk__facts, watches)},
    {"fs/file-max", offsetof(struct pfk__facts, file_max)},
    {"vm/overcommit_memory", offsetof(struct pfk__facts, overcommit)},
};

/* Up to two numbers of the file's first line. */
static void
read_numbers(const char *root, const char *path, long long *a, long long *b)
{
	char name[PATH_MAX], line[128];
	FILE *f;

	*a = *b = PFK__UNKNOWN;
	snprintf(name, sizeof(name), "%s%s", root, path);
	f = fopen(name, "re");
	if (f == NULL)
		return;
	if (fgets(line, sizeof(line), f) != NULL)
		sscanf(line, "%lld %lld", a, b);
	fclose(f);
}

static long long
read_cgroup(const char *root, const char *controller, const char *file)
{
	char list[PATH_MAX], mount[PATH_MAX], text[64];
	long long n;

	snprintf(list, sizeof(list), "%s/proc/self/cgroup", root);
	snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup", root);
	if (pfk__cgroup_read(list, mount, controller, file, text,
		sizeof(text)) == -1 ||
	    sscanf(text, "%lld", &n) != 1)
		return PFK__UNKNOWN;
	return n;
}

/*
 * netstat and snmp in /proc/net have two lines a protocol: "Udp: NAME NAME", and
 * "Udp: NUMBER NUMBER".
 */
static long long
read_counter(const char *root, const char *path, const char *protocol,
    const char *counter)
{
	char name[PATH_MAX], names[4096], values[4096], *n, *v, *word;
	long long found = PFK__UNKNOWN;
	FILE *f;

	snprintf(name, sizeof(name), "%s%s", root, path);
	f = fopen(name, "re");
	while (f != NULL && fgets(names, sizeof(names), f) != NULL &&
	    fgets(values, sizeof(values), f) != NULL) {
		if (strncmp(names, protocol, strlen(protocol)) != 0)
			continue;
		n = names;
		v = values;
		while ((word = strsep(&n, " \n")) != NULL && v != NULL) {
			const char *value = strsep(&v, " \n");

			if (strcmp(word, counter) == 0)
				found = strtoll(value, NULL, 10);
		}
	}
	if (f != NULL)
		fclose(f);
	return found;
}

static long long
limit_of(int resource)
{
	struct rlimit r;

	if (getrlimit((__rlimit_resource_t)resource, &r) == -1 ||
	    r.rlim_cur == RLIM_INFINITY || r.rlim_cur > LLONG_MAX)
		return PFK__UNKNOWN;
	return (long long)r.rlim_cur;
}

void
pfk__facts_of_system(struct pfk__facts *f, const char *root)
{
	char path[PATH_MAX];
	long long second;

	for (size_t i = 0; i < sizeof(sysctls) / sizeof(sysctls[0]); i++) {
		long long *a = (long long *)(void *)((char *)f +
		    sysctls[i].offset);

		snprintf(path, sizeof(path), "/proc/sys/%s", sysctls[i].file);
		read_numbers(root, path, a, &second);
		if (a == &f->ports_low)
			f->ports_high = second;
	}
	f->memory_max = read_cgroup(root, "memory", "memory.max");
	f->oom_group = read_cgroup(root, "memory", "memory.oom.group");
	f->pids_max = read_cgroup(root, "pids", "pids.max");
	read_numbers(root, "/proc/self/oom_score_adj", &f->oom_score_adj,
	    &second);
	f->listen_overflows = read_counter(root, "/proc/net/netstat",
	    "TcpExt:", "ListenOverflows");
	f->udp_overflows = read_counter(root, "/proc/net/snmp",
	    "Udp:", "RcvbufErrors");
	f->nofile = limit_of(RLIMIT_NOFILE);
	f->nproc = geteuid() != 0 ? limit_of(RLIMIT_NPROC) : PFK__UNKNOWN;
}

/* the service */

static void
least(long long *to, long long n)
{
	if (*to == PFK__UNKNOWN || n < *to)
		*to = n;
}

static void
look_at_tcp(struct pfk__facts *f, const struct pfk__lent *l)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	int queue = 0;

	if (getsockopt(l->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
		least(&f->queue, info.tcpi_sacked);
	len = sizeof(queue);
	if (getsockopt(l->fd, IPPROTO_TCP, TCP_FASTOPEN, &queue, &len) == 0 &&
	    queue > f->fastopen_queue)
		f->fastopen_queue = queue;
	if (l->bound.sa.sa_family == AF_INET6 && pfk__addr_is_any(&l->bound))
		f->any_v6 = true;
}

/* The kernel reports twice the size that was asked for. */
static void
look_at_udp(struct pfk__facts *f, const struct pfk__lent *l)
{
	socklen_t len = sizeof(int);
	int n;

	if (getsockopt(l->fd, SOL_SOCKET, SO_RCVBUF, &n, &len) == 0)
		least(&f->receive_buffer, n / 2);
	if (getsockopt(l->fd, SOL_SOCKET, SO_SNDBUF, &n, &len) == 0)
		least(&f->send_buffer, n / 2);
}

static void
look_at_listeners(struct pfk__facts *f, const struct pfk__master *m)
{
	const struct pfk__lent *l = pfk__custody_first_of_all(&m->custody);

	f->queue = f->receive_buffer = f->send_buffer = f->port = PFK__UNKNOWN;
	f->fastopen_queue = PFK__UNKNOWN;
	f->any_v6 = false;
	for (; l != NULL; l = pfk__custody_next_of_all(l)) {
		least(&f->port, pfk_addr_port(&l->bound));
		if (l->kind == PFK_TCP)
			look_at_tcp(f, l);
		else
			look_at_udp(f, l);
	}
}

static void
look_at_slots(struct pfk__facts *f, const struct pfk__master *m)
{
	struct pfk__stats s;

	f->in_backoff = 0;
	f->dropped = 0;
	for (int i = 0; i < m->places_top; i++) {
		if (i < m->workers &&
		    m->places[i].slot.state == PFK__SLOT_BACKOFF)
			f->in_backoff++;
		pfk__history_sum(m, i, &s);
		f->dropped += (long long)
				  s.counts[PFK__COUNT_DROPPED_RECEIVE_BUFFER];
	}
}

static void
look_at_sandbox(struct pfk__facts *f, enum pfk_sandbox wish)
{
	const char *why;

	f->sandbox_off = wish == PFK_SANDBOX_OFF;
	f->unconfined[0] = '\0';
	if (f->sandbox_off)
		return;
	if (!pfk__sandbox_possible(&why))
		strlcpy(f->unconfined, why, sizeof(f->unconfined));
	else
		pfk__sandbox_describe_missing(pfk__sandbox_offer(),
		    f->unconfined, sizeof(f->unconfined));
}

void
pfk__facts_of_service(struct pfk__facts *f, const struct pfk__master *m)
{
	const struct pfk__reload_note *r = &m->control->reload;

	look_at_listeners(f, m);
	look_at_slots(f, m);
	look_at_sandbox(f, m->config.sandbox);
	f->workers = m->workers;
	f->cpus = pfk_cpus();
	f->as_root = geteuid() == 0 && m->config.worker_user == 0;
	f->keeper_off = m->config.no_keeper;
	f->hang_off = m->config.hang_ns == 0;
	f->orphans_off = m->config.orphan_ns == 0;
	f->outdated = pfk__report_is_outdated(m);
	f->reload_failed = r->begun > 0 && !r->running && r->status != EX_OK;
}

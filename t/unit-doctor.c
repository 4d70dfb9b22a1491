/*
 * doctor.c, facts.c: each misconfiguration is found, one by one, and a good
 * machine has none.
 */
#include "process/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tap.h"
#include "tree.h"

static const char *dir;

/* As a stock Debian 12 has it. */
static const struct {
	const char *file, *good;
	/* The fault, and its name. */
	const char *bad, *name;
} files[] = {{"proc/sys/net/core/somaxconn", "4096", "128", "somaxconn"},
    {"proc/sys/net/ipv4/tcp_syncookies", "1", "0", "tcp_syncookies"},
    {"proc/sys/net/ipv4/tcp_abort_on_overflow", "0", "1",
	"tcp_abort_on_overflow"},
    {"proc/sys/net/ipv4/tcp_max_syn_backlog", "256", "64",
	"tcp_max_syn_backlog"},
    {"proc/sys/net/ipv4/tcp_syn_retries", "6", "1", "tcp_syn_retries"},
    {"proc/sys/net/ipv4/tcp_fastopen", "3", "1", "fastopen"},
    {"proc/sys/net/ipv4/ip_local_port_range", "32768 60999", "1024 65535",
	"port"},
    {"proc/sys/net/ipv6/bindv6only", "0", "1", "bindv6only"},
    {"proc/sys/net/netfilter/nf_conntrack_count", "100", "249000", "conntrack"},
    {"proc/sys/net/netfilter/nf_conntrack_max", "262144", NULL, NULL},
    {"proc/sys/fs/epoll/max_user_watches", "3000000", "100",
	"max_user_watches"},
    {"proc/sys/fs/file-max", "9223372036854775807", "1000", "file-max"},
    {"proc/sys/vm/overcommit_memory", "0", "2", "overcommit_memory"},
    {"proc/self/cgroup", "0::/a", NULL, NULL},
    {"proc/self/oom_score_adj", "0", "900", "oom_score_adj"},
    {"sys/fs/cgroup/a/memory.max", "max", "16777216", "memory.max"},
    {"sys/fs/cgroup/a/memory.oom.group", "0", "1", "memory.oom.group"},
    {"sys/fs/cgroup/a/pids.max", "max", "10", "pids.max"},
    {"proc/net/netstat",
	"TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 7 0 9\n",
	"TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 7 8 9\n",
	"overflows"},
    {"proc/net/snmp", "Udp: InDatagrams RcvbufErrors\nUdp: 5 6\n", NULL, NULL}};

static struct pfk__facts facts;
static struct pfk__findings found;

static void
healthy(void)
{
	facts = (struct pfk__facts){.queue = 4096,
	    .receive_buffer = 8388608,
	    .send_buffer = 8388608,
	    .fastopen_queue = 16,
	    .port = 8888,
	    .any_v6 = true,
	    .workers = 4,
	    .cpus = 4};
	pfk__facts_of_system(&facts, dir);
	facts.nofile = 65536;
	facts.nproc = PFK__UNKNOWN;
}

static void
finds(const char *name)
{
	pfk__doctor_judge(&found, &facts);
	is_int(found.n, 1, "one finding: %s", name);
	if (found.n == 0)
		return;
	is_str(found.list[0].name, name, "which is %s", name);
	ok(found.list[0].text[0] != '\0' && found.list[0].cure[0] != '\0',
	    "with its text and cure");
}

static void
of_system(void)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (files[i].bad == NULL)
			continue;
		tree_put(files[i].file, files[i].bad);
		healthy();
		finds(files[i].name);
		tree_put(files[i].file, files[i].good);
	}
	is_int(facts.udp_overflows, 6, "a counter of /proc/net/snmp");
}

#define FIND(field, value, name) \
	do { \
		healthy(); \
		facts.field = (value); \
		finds(name); \
	} while (0)

static void
of_service(void)
{
	FIND(queue, 16, "backlog");
	FIND(receive_buffer, 4096, "receive-buffer");
	is_int(found.list[0].warning, true, "too small");
	FIND(receive_buffer, 212992, "receive-buffer");
	is_int(found.list[0].warning, false, "or only not large");
	FIND(send_buffer, 4096, "send-buffer");
	FIND(dropped, 3, "dropped");
	FIND(nofile, 256, "nofile");
	FIND(nproc, 20, "nproc");
	FIND(in_backoff, 1, "backoff");
	FIND(workers, 17, "workers");
	FIND(as_root, true, "user");
	FIND(keeper_off, true, "keeper");
	FIND(hang_off, true, "worker-timeout");
	FIND(orphans_off, true, "orphan-timeout");
	FIND(sandbox_off, true, "sandbox");
	healthy();
	strlcpy(facts.unconfined, "no kernel has it", sizeof(facts.unconfined));
	finds("sandbox");
	ok(strstr(found.list[0].text, facts.unconfined) != NULL,
	    "with the missing part");
	FIND(outdated, true, "configuration");
	FIND(reload_failed, true, "reload");
	healthy();
	facts.port = 80;
	facts.unprivileged_port = 1024;
	finds("ip_unprivileged_port_start");
}

/* Everything at once, and nothing known. */
static void
extremes(void)
{
	char *text = NULL;
	size_t size;
	FILE *f;

	memset(&facts, 0xff, sizeof(facts));
	facts = (struct pfk__facts){.queue = 1,
	    .workers = 1000,
	    .cpus = 1,
	    .as_root = true,
	    .keeper_off = true,
	    .hang_off = true,
	    .outdated = true,
	    .in_backoff = 3,
	    .dropped = 1,
	    .oom_group = 1,
	    .fastopen_queue = 1,
	    .listen_overflows = 1,
	    .conntrack = 1};
	pfk__doctor_judge(&found, &facts);
	ok(found.n > 15 && found.n < PFK__FINDINGS_MAX, "many at once");
	f = open_memstream(&text, &size);
	pfk__doctor_text(f, &found);
	pfk__doctor_json(f, &found);
	fclose(f);
	ok(strstr(text, "warn backlog: ") != NULL || strstr(text, "somaxconn"),
	    "as text");
	ok(strstr(text, "{\"level\": \"warn\", \"name\": \"user\"") != NULL,
	    "as JSON");
	free(text);
	facts = (struct pfk__facts){.workers = 1, .cpus = 1};
	pfk__facts_of_system(&facts, "/nowhere");
	facts.queue = facts.receive_buffer = facts.send_buffer = PFK__UNKNOWN;
	facts.nofile = facts.nproc = facts.fastopen_queue = PFK__UNKNOWN;
	pfk__doctor_judge(&found, &facts);
	is_int(found.n, 0, "nothing is known, and nothing is said");
	tree_remove();
}

int
main(void)
{
	dir = tree_make();
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		tree_put(files[i].file, files[i].good);
	healthy();
	pfk__doctor_judge(&found, &facts);
	is_int(found.n, 0, "a good machine has no finding");
	for (int i = 0; i < found.n; i++)
		diag("%s: %s", found.list[i].name, found.list[i].text);
	of_system();
	of_service();
	extremes();
	return done_testing();
}

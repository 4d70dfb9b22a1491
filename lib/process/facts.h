/*
 * facts.h: the limits and settings that a service depends on, as they are in force.
 */
#ifndef PFK_PROCESS_FACTS_H
#define PFK_PROCESS_FACTS_H

#include <stdbool.h>

struct pfk__master;

/* A number that the system does not tell. */
#define PFK__UNKNOWN (-1LL)

struct pfk__facts {
	/* sysctl(8) */
	long long somaxconn, syncookies, abort_on_overflow, max_syn_backlog;
	long long syn_retries, fastopen, unprivileged_port, bindv6only;
	long long watches, file_max, overcommit, ports_low, ports_high;
	long long conntrack, conntrack_max;
	/* Of the control group; "max" is unknown. */
	long long memory_max, oom_group, pids_max;
	/* Of the master. */
	long long oom_score_adj, nofile, nproc;
	/* Counted by the kernel since the boot, for all programs. */
	long long listen_overflows, udp_overflows;
	/* Of the listeners; unknown where there is none. */
	long long queue, receive_buffer, send_buffer; /* the least */
	long long fastopen_queue, port;               /* the least; of slot 0 */
	bool any_v6;
	/* Of the service. */
	int workers, cpus, in_backoff;
	bool as_root, keeper_off, hang_off, orphans_off;
	bool outdated, reload_failed;
	long long dropped; /* datagrams, because a receive buffer was full */
	bool sandbox_off;
	char unconfined[160]; /* the cause; "": all parts, or it is off */
};

/* Read those of the system; root is "", or a directory for tests. */
void pfk__facts_of_system(struct pfk__facts *f, const char *root);

/* Those of the service, from its sockets and its master. */
void pfk__facts_of_service(struct pfk__facts *f, const struct pfk__master *m);

#endif

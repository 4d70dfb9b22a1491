/*
 * system.c: the kernel's own limits, for the log: tcp(7), ip-sysctl.txt.
 */
#include <netinet/tcp.h>
#include <stdio.h>

#include "client.h"

/* The last number of a file in /proc/sys/net/ipv4, or -1. */
static long
sysctl_number(const char *name)
{
	char path[128];
	long value = -1, n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	f = fopen(path, "re");
	if (f == NULL)
		return -1;
	while (fscanf(f, "%ld", &n) == 1)
		value = n;
	fclose(f);
	return value;
}

/*
 * A SYN is sent again `retries` times, after 1, 2, 4 ... seconds; newer kernels
 * send some more of them a second apart before that.
 */
void
log_connect_limits(const struct options *o)
{
	bool own = o->syn_retries != PFK_UNSET;
	long retries = own ? o->syn_retries : sysctl_number("tcp_syn_retries");
	long linear = sysctl_number("tcp_syn_linear_timeouts");
	char more[80] = "";

	if (linear > 0)
		snprintf(more, sizeof(more),
		    ", and %ld s for tcp_syn_linear_timeouts", linear);
	if (retries < 0 || retries > 62)
		return;
	pfk_log(PFK_INFO,
	    "connect timeout %g s; the kernel's own is %llu s "
	    "(%s %ld)%s",
	    (double)o->connect_timeout_ns / 1e9, (1ull << (retries + 1)) - 1,
	    own ? "TCP_SYNCNT" : "tcp_syn_retries", retries, more);
}

void
log_buffer(const char *name, int value, const char *sysctl)
{
	pfk_log(PFK_INFO, "%s: %d, by itself at most %ld (%s)", name, value,
	    sysctl_number(sysctl), sysctl);
}

void
log_opening(const struct options *o, int syn_retries,
    const struct tcp_info *info)
{
	if (o->syn_retries != PFK_UNSET)
		pfk_log(PFK_INFO, "TCP_SYNCNT: %d", syn_retries);
	if (o->fastopen)
		pfk_log(PFK_INFO, "data with the SYN: %s",
		    info->tcpi_options & TCPI_OPT_SYN_DATA ? "taken"
							   : "not taken");
}

void
log_transport(const struct options *o, const struct pfk_transport *tr)
{
	struct tcp_info info = {0};
	int syn_retries = 0;

	pfk_extra_info(tr, "TCP_SYNCNT", &syn_retries, sizeof(syn_retries));
	pfk_extra_info(tr, "tcp_info", &info, sizeof(info));
	log_opening(o, syn_retries, &info);
}

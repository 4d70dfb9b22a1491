/*
 * system.c: the kernel's own limits, for the log: tcp(7), ip-sysctl.txt.
 */
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
 * A SYN is sent again after 1, 2, 4 ... seconds, so many times; newer kernels
 * send some more of them a second apart before that.
 */
void
log_connect_limits(uint64_t timeout_ns)
{
	long retries = sysctl_number("tcp_syn_retries");
	long linear = sysctl_number("tcp_syn_linear_timeouts");
	char more[80] = "";

	if (linear > 0)
		snprintf(more, sizeof(more),
		    ", and %ld s for tcp_syn_linear_timeouts", linear);
	if (retries < 0 || retries > 62)
		return;
	pfk_log(PFK_INFO,
	    "connect timeout %g s; the kernel's own is %llu s "
	    "(tcp_syn_retries %ld)%s",
	    (double)timeout_ns / 1e9, (1ull << (retries + 1)) - 1, retries,
	    more);
}

void
log_buffer(const char *name, int value, const char *sysctl)
{
	pfk_log(PFK_INFO, "%s: %d, by itself at most %ld (%s)", name, value,
	    sysctl_number(sysctl), sysctl);
}

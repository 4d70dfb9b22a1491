/*
 * tentative.c: addresses that the machine has, and cannot use yet.
 *
 * Layer: net.
 */
#include "net/tentative.h"

#include <linux/if_addr.h>
#include <stdio.h>
#include <string.h>

/* Address, interface, prefix length, scope, flags, all in hexadecimal, name. */
bool
pfk__tentative_line(const char *line, const struct in6_addr *a)
{
	char want[33];
	unsigned flags;

	for (size_t i = 0; i < sizeof(a->s6_addr); i++)
		snprintf(want + 2 * i, 3, "%02x", a->s6_addr[i]);
	return strncmp(line, want, 32) == 0 &&
	    sscanf(line + 32, "%*x %*x %*x %x", &flags) == 1 &&
	    (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) == IFA_F_TENTATIVE;
}

bool
pfk__addr_tentative(const struct pfk_addr *a)
{
	bool tentative = false;
	char line[120];
	FILE *f;

	if (a->sa.sa_family != AF_INET6)
		return false;
	f = fopen("/proc/net/if_inet6", "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		tentative = tentative ||
		    pfk__tentative_line(line, &a->in6.sin6_addr);
	if (f != NULL)
		fclose(f);
	return tentative;
}

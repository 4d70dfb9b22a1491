/*
 * addr.c: Internet addresses: parse, print, compare.
 *
 * Layer: net.  Nothing here allocates or resolves names.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <prefork.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/addr.h"

static int
bad(const char **errstr, const char *why)
{
	*errstr = why;
	errno = EINVAL;
	return -1;
}

static int
copy_host(char *host, const char *from, size_t len, const char **errstr)
{
	if (len == 0)
		return bad(errstr, "the host is missing");
	if (len >= PFK_HOST_SIZE)
		return bad(errstr, "the host is longer than 255 bytes");
	memcpy(host, from, len);
	host[len] = '\0';
	return 0;
}

int
pfk_host_split(const char *str, char *host, uint16_t *port, const char **errstr)
{
	const char *colon = strrchr(str, ':'), *number = NULL;
	const char *bracket = strchr(str, ']');
	int rc;

	*errstr = NULL;
	if (str[0] == '[') {
		if (bracket == NULL)
			return bad(errstr, "']' is missing");
		if (bracket[1] == ':')
			number = bracket + 2;
		else if (bracket[1] != '\0')
			return bad(errstr, "':PORT' must follow ']'");
		rc = copy_host(host, str + 1, (size_t)(bracket - str - 1),
		    errstr);
	} else if (colon != NULL && strchr(str, ':') == colon) {
		number = colon + 1;
		rc = copy_host(host, str, (size_t)(colon - str), errstr);
	} else {
		rc = copy_host(host, str, strlen(str), errstr);
	}
	if (rc == -1 || number == NULL)
		return rc;
	rc = (int)strtonum(number, 0, UINT16_MAX, errstr);
	if (*errstr != NULL || number[0] < '0' || number[0] > '9')
		return bad(errstr, "the port is not a number, 0 to 65535");
	*port = (uint16_t)rc;
	return 0;
}

/* The interface's index, by its name or its number; 0: there is none. */
static uint32_t
zone_index(const char *zone)
{
	uint32_t index = if_nametoindex(zone);
	const char *errstr = NULL;

	if (index == 0 && zone[0] >= '0' && zone[0] <= '9')
		index = (uint32_t)strtonum(zone, 1, UINT32_MAX, &errstr);
	return errstr == NULL ? index : 0;
}

/* A zone such as %eth0, which link-local addresses need. */
static int
parse_in6(struct sockaddr_in6 *in6, const char *host, const char **errstr)
{
	char text[PFK_HOST_SIZE], *zone;

	strlcpy(text, host, sizeof(text));
	zone = strchr(text, '%');
	if (zone != NULL)
		*zone++ = '\0';
	if (inet_pton(AF_INET6, text, &in6->sin6_addr) != 1)
		return bad(errstr, "it is not an IPv6 address");
	if (zone != NULL && (in6->sin6_scope_id = zone_index(zone)) == 0) {
		*errstr = "this machine has no interface of that name";
		errno = ENODEV;
		return -1;
	}
	return 0;
}

/* Labels that are numbers throughout: 127.1, 0x7f.1, 127.0.0.010, 8888. */
static bool
only_numbers(const char *host)
{
	while (*host != '\0') {
		bool hex = host[0] == '0' && (host[1] == 'x' || host[1] == 'X');
		size_t n = hex ? 2 + strspn(host + 2, "0123456789abcdefABCDEF")
			       : strspn(host, "0123456789");

		if (n == 0 || (host[n] != '.' && host[n] != '\0'))
			return false;
		host += n + (host[n] == '.');
	}
	return true;
}

const char *
pfk__addr_fault(const char *host)
{
	const char *errstr = NULL;
	struct sockaddr_in6 in6;

	errno = EINVAL;
	if (host[0] == '\0')
		return "the host is missing";
	if (strcmp(host, "*") == 0)
		return "* is every address; name one";
	if (strchr(host, ':') != NULL)
		parse_in6(&in6, host, &errstr);
	else if (only_numbers(host))
		errstr = "it is not an IPv4 address; write four decimal "
			 "numbers without leading zeros, as in 127.0.0.1";
	return errstr;
}

int
pfk_addr_parse(struct pfk_addr *a, const char *host, uint16_t port)
{
	const char *errstr;

	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, host, &a->in4.sin_addr) == 1) {
		a->len = sizeof(a->in4);
		a->in4.sin_family = AF_INET;
		a->in4.sin_port = htons(port);
		return 0;
	}
	if (parse_in6(&a->in6, host, &errstr) == 0) {
		a->len = sizeof(a->in6);
		a->in6.sin6_family = AF_INET6;
		a->in6.sin6_port = htons(port);
		pfk__addr_drop_zone(a);
		return 0;
	}
	errno = EINVAL;
	return -1;
}

static void
format_host(char *dst, size_t size, const struct pfk_addr *a)
{
	char zone[IF_NAMESIZE];
	size_t n;

	if (a->sa.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a->in4.sin_addr, dst, (socklen_t)size);
		return;
	}
	inet_ntop(AF_INET6, &a->in6.sin6_addr, dst, (socklen_t)size);
	n = strlen(dst);
	if (a->in6.sin6_scope_id == 0)
		return;
	if (if_indextoname(a->in6.sin6_scope_id, zone) != NULL)
		snprintf(dst + n, size - n, "%%%s", zone);
	else
		snprintf(dst + n, size - n, "%%%u", a->in6.sin6_scope_id);
}

static bool
is_inet(const struct pfk_addr *a)
{
	return a->sa.sa_family == AF_INET || a->sa.sa_family == AF_INET6;
}

/* The peer of a socket of AF_UNIX has no room for its path here, nor a port. */
static const char *
format_family(char *dst, const struct pfk_addr *a)
{
	if (a->sa.sa_family == AF_UNIX)
		strlcpy(dst, "unix", PFK_ADDR_SIZE);
	else
		snprintf(dst, PFK_ADDR_SIZE, "address family %u",
		    a->sa.sa_family);
	return dst;
}

const char *
pfk_addr_format(char *dst, const struct pfk_addr *a)
{
	bool v6 = a->sa.sa_family == AF_INET6;
	char host[PFK_ADDR_SIZE - 10];

	if (!is_inet(a))
		return format_family(dst, a);
	format_host(host, sizeof(host), a);
	snprintf(dst, PFK_ADDR_SIZE, v6 ? "[%s]:%u" : "%s:%u", host,
	    pfk_addr_port(a));
	return dst;
}

uint16_t
pfk_addr_port(const struct pfk_addr *a)
{
	if (!is_inet(a))
		return 0;
	return ntohs(
	    a->sa.sa_family == AF_INET6 ? a->in6.sin6_port : a->in4.sin_port);
}

void
pfk__addr_set_port(struct pfk_addr *a, uint16_t port)
{
	if (a->sa.sa_family == AF_INET6)
		a->in6.sin6_port = htons(port);
	else
		a->in4.sin_port = htons(port);
}

bool
pfk_addr_equal(const struct pfk_addr *a, const struct pfk_addr *b)
{
	if (!is_inet(a) || a->sa.sa_family != b->sa.sa_family ||
	    pfk_addr_port(a) != pfk_addr_port(b))
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
	return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr,
		   sizeof(a->in6.sin6_addr)) == 0 &&
	    a->in6.sin6_scope_id == b->in6.sin6_scope_id;
}

bool
pfk__addr_same(const struct pfk_addr *a, const struct pfk_addr *b)
{
	if (a->sa.sa_family == AF_UNIX && b->sa.sa_family == AF_UNIX)
		return memcmp(&a->in6, &b->in6, sizeof(a->in6)) == 0;
	return pfk_addr_equal(a, b);
}

bool
pfk__addr_is_any(const struct pfk_addr *a)
{
	if (a->sa.sa_family == AF_INET)
		return a->in4.sin_addr.s_addr == htonl(INADDR_ANY);
	return is_inet(a) && IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

bool
pfk__addr_lacks_zone(const struct pfk_addr *a)
{
	return a->sa.sa_family == AF_INET6 && a->in6.sin6_scope_id == 0 &&
	    (IN6_IS_ADDR_LINKLOCAL(&a->in6.sin6_addr) ||
		IN6_IS_ADDR_MC_LINKLOCAL(&a->in6.sin6_addr));
}

void
pfk__addr_drop_zone(struct pfk_addr *a)
{
	if (a->sa.sa_family == AF_INET6 &&
	    !IN6_IS_ADDR_LINKLOCAL(&a->in6.sin6_addr) &&
	    !IN6_IS_ADDR_MULTICAST(&a->in6.sin6_addr))
		a->in6.sin6_scope_id = 0;
}

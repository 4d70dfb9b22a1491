/*
 * resolve.c: names to addresses; no descriptor and no child is left.
 */
#include <errno.h>
#include <prefork.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "tap.h"
#include "unit.h"

#define BOUND_NS (10 * PFK_SECOND_NS)

static struct pfk_addr found[16];
static const char *errstr;

static int
resolve(const char *host, int family, uint64_t timeout_ns, int max)
{
	int fds = unit_count_fds(), n, saved_errno;

	errstr = "";
	errno = 0;
	n = pfk_resolve(host, 7, family, timeout_ns, found, max, &errstr);
	saved_errno = errno;
	is_int(unit_count_fds(), fds, "%.30s: no descriptor is left", host);
	is_int(waitpid(-1, NULL, WNOHANG), -1, "%.30s: no child is left", host);
	errno = saved_errno;
	return n;
}

static void
one(const char *host, int family, const char *text)
{
	char name[PFK_ADDR_SIZE];

	is_int(resolve(host, family, BOUND_NS, 16), 1, "%s: one address", host);
	is_str(pfk_addr_format(name, &found[0]), text, "%s: it", host);
}

static void
none(const char *host, int family)
{
	is_int(resolve(host, family, BOUND_NS, 16), -1, "%.30s: none", host);
	ok(errstr != NULL && errstr[0] != '\0' && errno != 0, "%.30s: %s", host,
	    errstr != NULL ? errstr : "no reason");
}

static void
none_because(const char *host, int family, int error, const char *why)
{
	none(host, family);
	is_int(errno, error, "%s: errno", host);
	ok(strstr(errstr, why) != NULL, "%s: why: %s", host, errstr);
}

/* inet_aton(3)'s forms, which getaddrinfo(3) takes, and * are no names. */
static void
test_not_numeric(void)
{
	static const char *const hosts[] = {"127.1", "127.0.0.010", "0x7f.1",
	    "0x7f.0.0.1", "017700000001", "2130706433", "8888", "1.2.3.4.5",
	    "256.1.1.1", "127.0.0.1.", "1."};

	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		none_because(hosts[i], AF_UNSPEC, EINVAL, "four decimal");
	none_because("*", AF_UNSPEC, EINVAL, "every address");
	none_because("", AF_UNSPEC, EINVAL, "missing");
	none_because("::g", AF_UNSPEC, EINVAL, "not an IPv6 address");
	none_because("fe80::1%none", AF_UNSPEC, ENODEV, "no interface");
	none_because("127.0.0.1", AF_INET6, ENOENT, "an IPv4 address");
	none_because("::1", AF_INET, ENOENT, "an IPv6 address");
	none_because("a.1.invalid", AF_UNSPEC, ENOENT, "no such name");
	one("fe80::1%1", AF_UNSPEC, "[fe80::1%lo]:7");
}

int
main(void)
{
	char longest[300];
	int n, loopback = 0;

	one("127.0.0.1", AF_UNSPEC, "127.0.0.1:7");
	one("::1", AF_UNSPEC, "[::1]:7");
	one("127.0.0.1", AF_INET, "127.0.0.1:7");
	is_int(resolve("127.0.0.1", AF_UNSPEC, 0, 16), 1,
	    "a number takes no time");
	none("127.0.0.1", AF_INET6);
	none("::1", AF_INET);

	n = resolve("localhost", AF_UNSPEC, BOUND_NS, 16);
	ok(n > 0, "localhost: %d addresses", n);
	for (int i = 0; i < n; i++) {
		char name[PFK_ADDR_SIZE];

		pfk_addr_format(name, &found[i]);
		loopback += strcmp(name, "127.0.0.1:7") == 0 ||
		    strcmp(name, "[::1]:7") == 0;
		for (int k = 0; k < i; k++) {
			if (pfk_addr_equal(&found[i], &found[k]))
				fail("localhost: %s twice", name);
		}
	}
	is_int(loopback, n, "localhost: all of them its own");
	is_int(resolve("localhost", AF_UNSPEC, BOUND_NS, 1), 1,
	    "localhost: no more than there is room for");

	none("no-such-name.invalid", AF_UNSPEC);
	test_not_numeric();
	none("a b", AF_UNSPEC);
	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	none(longest, AF_UNSPEC);

	is_int(resolve("127.0.0.1", AF_UNSPEC, BOUND_NS, 0), -1, "no room");
	is_int(errno, EINVAL, "no room: its errno");
	is_int(resolve("localhost", AF_UNSPEC, BOUND_NS, -1), -1, "less");
	is_int(errno, EINVAL, "less: its errno");
	none_because("127.0.0.1", 77, EINVAL, "address family 77 is asked");
	none_because("localhost", AF_UNIX, EINVAL, "address family 1 is");
	ok(resolve("localhost", AF_UNSPEC, UINT64_MAX, 16) > 0,
	    "time without a bound: %s", errstr);

	is_int(resolve("localhost", AF_UNSPEC, 0, 16), -1, "no time at all");
	ok(errstr != NULL, "has a reason: %s", errstr);
	return done_testing();
}

/*
 * addr.c: addresses as text.
 */
#include <errno.h>
#include <net/if.h>
#include <prefork.h>
#include <stdio.h>
#include <string.h>

#include "../cmd/shared/quote.h"
#include "tap.h"

#include "net/addr.h"

#define NO_PORT 4242 /* kept where the text has none */

static const struct {
	const char *text, *host;
	int port;
} good[] = {
    {"127.0.0.1", "127.0.0.1", NO_PORT},
    {"127.0.0.1:0", "127.0.0.1", 0},
    {"127.0.0.1:8888", "127.0.0.1", 8888},
    {"127.0.0.1:65535", "127.0.0.1", 65535},
    {"localhost", "localhost", NO_PORT},
    {"localhost:7", "localhost", 7},
    {"::1", "::1", NO_PORT},
    {"::", "::", NO_PORT},
    {"[::1]", "::1", NO_PORT},
    {"[::1]:8888", "::1", 8888},
    {"[::]:0", "::", 0},
    {"[fe80::1%eth0]:7", "fe80::1%eth0", 7},
    {"fe80::1%eth0", "fe80::1%eth0", NO_PORT},
    {"[127.0.0.1]:7", "127.0.0.1", 7},
    {"2001:db8::8888", "2001:db8::8888", NO_PORT},
};

static const char *const bad[] = {"", ":", ":7", "[]", "[]:7", "[::1", "[::1]7",
    "[::1]:", "[::1]x:7", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536",
    "127.0.0.1:-1", "127.0.0.1:+1", "127.0.0.1: 1", "127.0.0.1:1 ",
    "127.0.0.1:7x", "127.0.0.1:99999999999999999999", "[::1]:65536"};

static void
test_split(void)
{
	char host[PFK_HOST_SIZE], text[400];
	const char *errstr;
	uint16_t port;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		port = NO_PORT;
		is_int(pfk_host_split(good[i].text, host, &port, &errstr), 0,
		    "'%s'", good[i].text);
		is_str(host, good[i].host, "its host");
		is_int(port, good[i].port, "its port");
		is_str(errstr, NULL, "no complaint");
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		port = NO_PORT;
		errno = 0;
		is_int(pfk_host_split(bad[i], host, &port, &errstr), -1,
		    "'%s' is refused", bad[i]);
		ok(errstr != NULL && errno == EINVAL && port == NO_PORT,
		    "with a reason: %s", errstr != NULL ? errstr : "none");
	}
	memset(text, 'a', sizeof(text));
	text[255] = '\0';
	is_int(pfk_host_split(text, host, &port, &errstr), 0, "255 bytes");
	is_int(strlen(host), 255, "are kept");
	text[255] = 'a';
	text[256] = '\0';
	is_int(pfk_host_split(text, host, &port, &errstr), -1, "256 are not");
}

static const struct {
	const char *host;
	uint16_t port;
	const char *text, *python;
} addresses[] = {
    {"127.0.0.1", 8888, "127.0.0.1:8888", "('127.0.0.1', 8888)"},
    {"0.0.0.0", 0, "0.0.0.0:0", "('0.0.0.0', 0)"},
    {"255.255.255.255", 65535, "255.255.255.255:65535",
	"('255.255.255.255', 65535)"},
    {"::1", 8888, "[::1]:8888", "('::1', 8888, 0, 0)"},
    {"::", 0, "[::]:0", "('::', 0, 0, 0)"},
    {"2001:DB8:0:0:0:0:0:1", 7, "[2001:db8::1]:7", "('2001:db8::1', 7, 0, 0)"},
    {"::ffff:1.2.3.4", 7, "[::ffff:1.2.3.4]:7", "('::ffff:1.2.3.4', 7, 0, 0)"},
    {"1111:2222:3333:4444:5555:6666:7777:8888", 65535,
	"[1111:2222:3333:4444:5555:6666:7777:8888]:65535",
	"('1111:2222:3333:4444:5555:6666:7777:8888', 65535, 0, 0)"},
};

static const char *const names[] = {"", "localhost", "1.2.3", "1.2.3.4.5",
    "256.1.1.1", "1.2.3.4 ", "01.2.3.4x", ":::", "::g", "[::1]", "1::2::3",
    "::1%nosuchzone", "::1%", "%lo"};

static void
test_text(void)
{
	char dst[PFK_ADDR_SIZE];
	struct pfk_addr a;

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		is_int(pfk_addr_parse(&a, addresses[i].host, addresses[i].port),
		    0, "%s", addresses[i].host);
		is_str(pfk_addr_format(dst, &a), addresses[i].text, "printed");
		is_str(quote_addr(dst, &a), addresses[i].python,
		    "as Python prints it");
		is_int(pfk_addr_port(&a), addresses[i].port, "its port");
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		errno = 0;
		ok(pfk_addr_parse(&a, names[i], 7) == -1 && errno == EINVAL,
		    "'%s' is no address", names[i]);
	}
}

static void
test_zone(void)
{
	struct pfk_addr a, b;
	char dst[PFK_ADDR_SIZE], expected[PFK_ADDR_SIZE];
	unsigned lo = if_nametoindex("lo");

	if (lo == 0) {
		skip(11, "no interface lo");
		return;
	}
	is_int(pfk_addr_parse(&a, "fe80::1%lo", 7), 0, "a zone");
	is_int(a.in6.sin6_scope_id, lo, "is the interface");
	is_str(pfk_addr_format(dst, &a), "[fe80::1%lo]:7", "and is printed");
	snprintf(expected, sizeof(expected), "('fe80::1', 7, 0, %u)", lo);
	is_str(quote_addr(dst, &a), expected, "in Python's way");
	pfk_addr_parse(&b, "fe80::1", 7);
	ok(!pfk_addr_equal(&a, &b), "and makes another address");
	ok(!pfk__addr_lacks_zone(&a) && pfk__addr_lacks_zone(&b),
	    "and is needed there");
	pfk_addr_parse(&b, "169.254.0.1", 7);
	ok(!pfk__addr_lacks_zone(&b), "but not by IPv4");
	pfk_addr_parse(&b, "::1", 7);
	ok(!pfk__addr_lacks_zone(&b), "nor by ::1");
	pfk_addr_parse(&a, "::1%lo", 7);
	ok(pfk_addr_equal(&a, &b),
	    "and ignored for an address of each machine");
	pfk_addr_parse(&a, "ff02::1%lo", 7);
	is_int(a.in6.sin6_scope_id, lo, "but not for multicast");
	pfk_addr_parse(&a, "fe80::1%lo", 7);
	a.in6.sin6_scope_id = UINT32_MAX;
	is_str(pfk_addr_format(dst, &a), "[fe80::1%4294967295]:7",
	    "an unknown one is a number");
}

static void
test_compare(void)
{
	struct pfk_addr a, b;

	pfk_addr_parse(&a, "127.0.0.1", 7);
	pfk_addr_parse(&b, "127.0.0.1", 8);
	ok(!pfk_addr_equal(&a, &b), "ports differ");
	pfk__addr_set_port(&b, 7);
	ok(pfk_addr_equal(&a, &b), "set_port");
	ok(!pfk__addr_is_any(&a), "not any address");
	pfk_addr_parse(&b, "127.0.0.2", 7);
	ok(!pfk_addr_equal(&a, &b), "addresses differ");
	pfk_addr_parse(&b, "::ffff:127.0.0.1", 7);
	ok(!pfk_addr_equal(&a, &b), "families differ");
	pfk__addr_set_port(&b, 9);
	is_int(pfk_addr_port(&b), 9, "set_port, IPv6");
	pfk_addr_parse(&a, "0.0.0.0", 7);
	ok(pfk__addr_is_any(&a), "any IPv4 address");
	pfk_addr_parse(&a, "::", 7);
	ok(pfk__addr_is_any(&a), "any IPv6 address");
	pfk_addr_parse(&b, "::1", 7);
	ok(!pfk__addr_is_any(&b) && !pfk_addr_equal(&a, &b), "not that one");
}

/* The peers of a socket that is not the Internet's. */
static void
test_unix(void)
{
	struct pfk_addr a, b;
	char dst[PFK_ADDR_SIZE];

	memset(&a, '/', sizeof(a));
	a.len = sizeof(a.in6);
	a.sa.sa_family = AF_UNIX;
	b = a;
	is_str(pfk_addr_format(dst, &a), "unix", "AF_UNIX");
	is_str(quote_addr(dst, &a), "unix", "AF_UNIX for Python");
	is_int(pfk_addr_port(&a), 0, "AF_UNIX: no port");
	ok(!pfk_addr_equal(&a, &b), "AF_UNIX: which peer is not known");
	ok(!pfk__addr_is_any(&a), "AF_UNIX: not any address");
	a.sa.sa_family = AF_NETLINK;
	is_str(pfk_addr_format(dst, &a), "address family 16", "another family");
}

int
main(void)
{
	test_unix();
	test_split();
	test_text();
	test_zone();
	test_compare();
	return done_testing();
}

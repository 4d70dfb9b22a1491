/*
 * name.c: the names of services, which are files' names.
 */
#include "process/name.h"

#include <prefork.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"

#define MAX_BYTES 64

static const char *
name_of(const char *host, uint16_t port, enum pfk_kind kind)
{
	static char name[PFK_CONTROL_SIZE];
	struct pfk_listen l = {.kind = kind};
	struct pfk_master_config config = {.address = &l};

	if (pfk_addr_parse(&l.addr, host, port) == -1)
		return NULL;
	pfk__name_make(name, MAX_BYTES, &config);
	return name;
}

static const char *
given(const char *text, size_t max)
{
	static char name[PFK_CONTROL_SIZE];
	struct pfk_master_config config = {.name = text};

	pfk__name_make(name, max, &config);
	return name;
}

static void
from_addresses(void)
{
	char expected[80];

	is_str(name_of("127.0.0.1", 8888, PFK_TCP), "server-127.0.0.1-8888",
	    "IPv4");
	is_str(name_of("127.0.0.1", 8888, PFK_UDP), "server-udp-127.0.0.1-8888",
	    "UDP has a name of its own");
	is_str(name_of("::1", 7, PFK_TCP), "server-..1-7", "IPv6");
	is_str(name_of("0.0.0.0", 7, PFK_TCP), "server-any-7", "any");
	is_str(name_of("::", 7, PFK_TCP), "server-any6-7", "any of IPv6");
	is_str(name_of("2001:db8:1111:2222:3333:4444:5555:6666", 65535,
		   PFK_UDP),
	    "server-udp-2001.db8.1111.2222.3333.4444.5555.6666-65535",
	    "the longest address");
	snprintf(expected, sizeof(expected), "server-127.0.0.1-0-%d",
	    (int)getpid());
	is_str(name_of("127.0.0.1", 0, PFK_TCP), expected,
	    "an ephemeral port: with the pid");
	snprintf(expected, sizeof(expected), "server-%d", (int)getpid());
	is_str(given(NULL, MAX_BYTES), expected, "no address: with the pid");
}

static void
from_texts(void)
{
	char many[200], a[PFK_CONTROL_SIZE], b[PFK_CONTROL_SIZE];

	is_str(given("web-1.example", MAX_BYTES), "web-1.example", "a name");
	is_str(given("a/b:*\n", MAX_BYTES), "a_b___-53869c41",
	    "bytes that no file's name should have are escaped");
	strlcpy(a, given("a/b", MAX_BYTES), sizeof(a));
	strlcpy(b, given("a_b", MAX_BYTES), sizeof(b));
	ok(strcmp(a, b) != 0, "and stays different: %s, %s", a, b);
	ok(given("..", MAX_BYTES)[0] != '.' && given("", MAX_BYTES)[0] != '\0',
	    "no name is empty or begins with a dot");
	memset(many, 'x', sizeof(many));
	many[sizeof(many) - 1] = '\0';
	strlcpy(a, given(many, MAX_BYTES), sizeof(a));
	many[sizeof(many) - 2] = 'y';
	strlcpy(b, given(many, MAX_BYTES), sizeof(b));
	is_int(strlen(a), MAX_BYTES, "a long name is cut");
	ok(strcmp(a, b) != 0, "and the hash tells two apart");
	is_int(strlen(given(many, 24)), 24, "also where there is little room");
}

int
main(void)
{
	/* libbsd allocated the own name: losing it is a leak. */
	const char *own = getprogname();

	setprogname("server");
	from_addresses();
	from_texts();
	setprogname(own);
	return done_testing();
}

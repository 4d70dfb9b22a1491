/*
 * unit-sources.c: bounds by address and network.
 */
#include "transport/sources.h"

#include <errno.h>
#include <string.h>

#include "tap.h"

static struct pfk__sources sources;

static struct pfk_addr
from(const char *text)
{
	struct pfk_addr addr;

	if (pfk_addr_parse(&addr, text, 1) == -1)
		skip_all("cannot parse %s", text);
	return addr;
}

/* How many of n connections from there are admitted. */
static int
admit(const char *text, int n)
{
	struct pfk_addr addr = from(text);
	int admitted = 0;

	for (int i = 0; i < n; i++) {
		errno = 0;
		if (pfk__sources_admit(&sources, &addr) == 0)
			admitted++;
		else
			is_int(errno, EDQUOT, "%s: EDQUOT", text);
	}
	return admitted;
}

static void
release(const char *text, int n)
{
	struct pfk_addr addr = from(text);

	for (int i = 0; i < n; i++)
		pfk__sources_release(&sources, &addr);
}

static void
ipv4(void)
{
	is_int(admit("192.0.2.1", 5), 4, "an address");
	is_int(admit("192.0.2.2", 4), 4, "another one");
	is_int(admit("::ffff:192.0.2.1", 1), 0, "the first one, mapped");
	release("::ffff:192.0.2.1", 1);
	is_int(admit("192.0.2.1", 2), 1, "one has ended");
	release("192.0.2.1", 4);
	release("192.0.2.2", 4);
}

static void
ipv6(void)
{
	is_int(admit("2001:db8:1:100::1", 3), 3, "a /64");
	is_int(admit("2001:db8:1:100::2", 2), 1, "and it is full");
	is_int(admit("2001:db8:1:101::1", 5), 4, "its neighbour");
	is_int(admit("2001:db8:1:1ff::1", 1), 0, "the /56 is full");
	is_int(admit("2001:db8:1:200::1", 5), 4, "another /56");
	is_int(admit("2001:db8:1:300::1", 1), 0, "the /48 is full");
	is_int(admit("2001:db8:2:100::1", 4), 4, "another /48");
	release("2001:db8:1:101::1", 4);
	is_int(admit("2001:db8:1:300::1", 5), 4, "there is room again");
	release("2001:db8:1:300::1", 4);
	release("2001:db8:1:100::1", 4);
	release("2001:db8:1:200::1", 4);
	release("2001:db8:2:100::1", 4);
}

static void
loopback(void)
{
	static const char *const names[] = {"127.0.0.1", "127.1.2.3", "::1",
	    "::ffff:127.0.0.1"};

	is_int(admit("127.0.0.1", 5), 4, "loopback counts");
	release("127.0.0.1", 4);
	sources.exempt_loopback = true;
	for (int i = 0; i < 4; i++) {
		is_int(admit(names[i], 9), 9, "%s is exempt", names[i]);
		release(names[i], 9);
	}
	is_int(admit("::2", 5), 4, "::2 is not");
	release("::2", 4);
	is_int(admit("128.0.0.1", 5), 4, "nor is 128.0.0.1");
	release("128.0.0.1", 4);
	sources.exempt_loopback = false;
}

static void
readmits(void)
{
	struct pfk_addr addr = from("2001:db8::1");

	for (int i = 0; i < 6; i++)
		pfk__sources_readmit(&sources, &addr);
	is_int(admit("2001:db8::1", 1), 0, "six more than it may, by readmit");
	release("2001:db8::1", 2);
	is_int(admit("2001:db8::1", 1), 0, "they count");
	release("2001:db8::1", 4);
}

int
main(void)
{
	is_int(admit("192.0.2.1", 9), 9, "without a bound");
	ok(sources.tree == NULL, "nothing is counted");
	sources.max = SIZE_MAX / 2 + 1;
	is_int(admit("2001:db8::1", 9), 9, "a bound that no service reaches");
	release("2001:db8::1", 9);
	sources.max = 4;
	ipv4();
	ipv6();
	loopback();
	readmits();
	ok(sources.tree == NULL, "nothing is left");
	return done_testing();
}

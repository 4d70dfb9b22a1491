/*
 * tentative.c: lines of /proc/net/if_inet6.
 */
#include <arpa/inet.h>

#include "net/tentative.h"
#include "tap.h"

int
main(void)
{
	static const struct {
		const char *line;
		bool tentative;
	} rows[] = {
	    {"20010db8000000000000000000000005 02 40 00 c0     eth0\n", true},
	    {"20010db8000000000000000000000005 0a 40 00 40       d0\n", true},
	    {"20010db8000000000000000000000005 02 40 00 80     eth0\n", false},
	    /* Another machine has it: that will not change. */
	    {"20010db8000000000000000000000005 02 40 00 c8     eth0\n", false},
	    {"20010db8000000000000000000000006 02 40 00 c0     eth0\n", false},
	    {"20010db8000000000000000000000005\n", false},
	    {"", false},
	};
	struct pfk_addr a;

	is_int(pfk_addr_parse(&a, "2001:db8::5", 80), 0, "an address");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		is_int(pfk__tentative_line(rows[i].line, &a.in6.sin6_addr),
		    rows[i].tentative, "'%.50s'", rows[i].line);
	ok(!pfk__addr_tentative(&a), "the machine does not have it");
	pfk_addr_parse(&a, "127.0.0.1", 80);
	ok(!pfk__addr_tentative(&a), "IPv4 knows nothing of this");
	return done_testing();
}

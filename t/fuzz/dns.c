/*
 * dns.c: queries to a name server, as the example has it, and the zone's file.
 */
int example_main(int argc, char **argv);
#define main example_main
/* Its functions are static. */
/* NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "../../contrib/examples/dns.c"
#undef main

#include "server.h"

#define TEXT_BYTES 8192

static const char text[] =
    "$ORIGIN example.\n$TTL 300\n"
    "@ SOA ns.example. admin.example. 1 2 3 4 60\n@ NS ns\nns A 192.0.2.1\n"
    "ns AAAA 2001:db8::1\na CNAME b\nb CNAME c\nc A 192.0.2.2\n"
    "*.w TXT \"a wildcard\"\nsub NS ns.sub\nns.sub A 192.0.2.3\n";

static struct zone *
load(const char *from, size_t size, char *err)
{
	char copy[TEXT_BYTES + 1];

	memcpy(copy, from, size);
	copy[size] = '\0';
	return zone_parse(copy, "zone", err);
}

/* The answer begins with the query's number, and is no query itself. */
static void
ask(const uint8_t *data, size_t size, bool by_udp)
{
	size_t n = answer(zone, data, size, by_udp, out);

	if (n == 0)
		return;
	if (n < HEADER || n > (by_udp ? UDP_EDNS : TCP_BYTES) ||
	    memcmp(out, data, 2) != 0 || (out[2] & 0x80) == 0)
		abort();
}

/* The first byte is F for a file, T for clients of TCP, else the rest is a query. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_server server = {.tcp = &tcp};
	char err[PFK_ERROR_SIZE] = "";
	struct zone *z;

	if (size < 1)
		return 0;
	if (zone == NULL)
		zone = load(text, strlen(text), err);
	if (zone == NULL)
		abort();
	if (data[0] == 'T') {
		fuzz_serve(&server, data + 1, size - 1);
	} else if (data[0] != 'F') {
		ask(data + 1, size - 1, true);
		ask(data + 1, size - 1, false);
	} else if (size <= TEXT_BYTES && memchr(data, '\0', size) == NULL) {
		z = load((const char *)data + 1, size - 1, err);
		if ((z == NULL) != (err[0] != '\0'))
			abort();
		if (z != NULL)
			zone_free(z);
	}
	return 0;
}

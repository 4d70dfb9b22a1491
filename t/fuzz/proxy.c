/*
 * proxy.c: the header of the PROXY protocol that a client of the example sends.
 */
#include "../../contrib/examples/proxy_header.h"

#include <stdlib.h>

#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pfk_addr from = {.len = 0}, to = {.len = 0};
	char name[PFK_ADDR_SIZE];
	uint8_t again[HEADER_MAX];
	size_t rest, n;

	if (size < HEADER)
		return 0;
	rest = header_rest(data);
	if (rest == NO_HEADER || size < HEADER + rest ||
	    header_parse(data, HEADER + rest, &from, &to) == -1 ||
	    from.len == 0)
		return 0;
	pfk_addr_format(name, &from);
	pfk_addr_format(name, &to);
	/* The next proxy gets the same addresses. */
	n = header_format(again, &from, &to);
	if (n > HEADER + rest ||
	    memcmp(again + HEADER, data + HEADER, n - HEADER) != 0)
		abort();
	return 0;
}

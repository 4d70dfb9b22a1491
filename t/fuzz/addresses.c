/*
 * addresses.c: host and port, addresses and networks as text.
 */
#include <prefork.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "net/addr.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[512], host[PFK_HOST_SIZE], name[PFK_ADDR_SIZE];
	struct pfk_addr a, b;
	const char *errstr = NULL;
	uint16_t port = 0;

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (pfk_host_split(text, host, &port, &errstr) == 0 &&
	    strlen(host) >= sizeof(host))
		abort();
	if (pfk_addr_parse(&a, text, 7) == -1) {
		pfk__addr_fault(text);
		return 0;
	}
	/* Its text is that of the same address. */
	pfk_addr_format(name, &a);
	if (pfk_host_split(name, host, &port, &errstr) == -1 || port != 7 ||
	    pfk_addr_parse(&b, host, port) == -1 || a.len != b.len)
		abort();
	if (pfk__addr_lacks_zone(&a) != pfk__addr_lacks_zone(&b) ||
	    (!pfk__addr_lacks_zone(&a) && !pfk_addr_equal(&a, &b)))
		abort();
	return 0;
}

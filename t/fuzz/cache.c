/*
 * cache.c: the commands of memcached's text protocol, as the example has them.
 */
int example_main(int argc, char **argv);
#define main example_main
/* Its protocol is static. */
/* NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "../../contrib/examples/cache.c"
#undef main

#include "server.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_server server = {.tcp = &cache,
	    .question = "version\r\n",
	    .answer = "VERSION 1.0\r\n"};

	if (zone == NULL)
		zone = pfk_zone_open(NULL, 4 << 20);
	if (zone == NULL)
		abort();
	pfk_zone_clear(zone);
	fuzz_serve(&server, data, size);
	return 0;
}

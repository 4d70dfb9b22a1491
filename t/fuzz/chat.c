/*
 * chat.c: lines that go to all clients, as the example has them.
 */
int example_main(int argc, char **argv);
#define main example_main
/* Its protocol is static. */
/* NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "../../contrib/examples/chat.c"
#undef main

#include "server.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_server server = {.tcp = &chat,
	    .loop = &loop,
	    .question = "still here?\n",
	    .answer = " still here?\n"};

	if (room == NULL)
		room = pfk_zone_open(NULL, 16 << 20);
	pfk_zone_clear(room);
	pfk_zone_put(room, "said", 4, "0", 1, PFK_ZONE_NEW, NULL);
	fuzz_serve(&server, data, size);
	return 0;
}

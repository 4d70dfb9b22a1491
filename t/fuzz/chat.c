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

	fuzz_serve(&server, data, size);
	if (!LIST_EMPTY(&clients))
		abort();
	return 0;
}

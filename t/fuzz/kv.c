/*
 * kv.c: the lines SET, GET and DEL, as the example has them.
 */
int example_main(int argc, char **argv);
#define main example_main
/* Its protocol is static. */
/* NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "../../contrib/examples/kv.c"
#undef main

#include "server.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_server server = {.stream = begin,
	    .loop = &loop,
	    .question = "SET still here\nGET still\n",
	    .answer = "still=here\nstill=here\n"};

	free(store);
	store = NULL;
	store_len = 0;
	fuzz_serve(&server, data, size);
	return 0;
}

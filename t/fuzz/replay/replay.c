/*
 * replay.c: run a fuzz target without a fuzzer: each file that is named, and N
 * changes of each, which are the same each time.
 *
 *   target [-n N] FILE ...
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../fuzz.h"

#define INPUT_MAX 65536

static uint8_t input[INPUT_MAX], changed[INPUT_MAX];

/* An allocation of its own, so that a sanitizer sees a read beyond it. */
static void
run(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);

	if (copy == NULL)
		err(1, "malloc");
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static void
change(size_t size)
{
	size_t n = (size_t)rand() % (size + 1);

	memcpy(changed, input, size);
	for (int i = rand() % 4; i >= 0 && size > 0; i--)
		changed[(size_t)rand() % size] = (uint8_t)rand();
	/* Half of them are cut as well. */
	run(changed, rand() % 2 == 0 ? n : size);
}

int
main(int argc, char **argv)
{
	int ch, n = 0;

	while ((ch = getopt(argc, argv, "n:")) != -1) {
		if (ch != 'n')
			return 64;
		n = atoi(optarg);
	}
	srand(1);
	for (int i = optind; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		size_t size;

		if (f == NULL)
			err(66, "%s", argv[i]);
		size = fread(input, 1, sizeof(input), f);
		fclose(f);
		run(input, size);
		for (int k = 0; k < n; k++)
			change(size);
	}
	printf("%d inputs\n", (argc - optind) * (n + 1));
	return 0;
}

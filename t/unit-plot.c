/*
 * plot.c of echo-check: the rows of the distribution, from latencies that are given.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../cmd/echo-check/plot.c" /* for its struct: NOLINT */
#include "tap.h"

/* The pictures of so many latencies, which the caller frees. */
static char *
drawn(const uint64_t *latencies, size_t n)
{
	static struct plot p;
	struct stats s = {.echoed = n};
	char *text = calloc(1, 65536);
	FILE *file = tmpfile();
	int out = dup(STDOUT_FILENO);

	if (text == NULL || file == NULL || out == -1)
		abort();
	memset(&p, 0, sizeof(p));
	for (size_t i = 0; i < n; i++)
		plot_echoed(&p, i, latencies[i]);
	fflush(stdout);
	dup2(fileno(file), STDOUT_FILENO);
	plot_print(&p, &s);
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	close(out);
	rewind(file);
	if (fread(text, 1, 65535, file) == 0)
		text[0] = '\0';
	fclose(file);
	return text;
}

int
main(void)
{
	static const uint64_t latencies[] = {0, 1, 3, 4, 500, 1023, 1024, 5000};
	char *text = drawn(latencies, sizeof(latencies) / sizeof(latencies[0]));
	char *rows = strstr(text, "latency, ms\n"), *end;

	if (rows == NULL) {
		fail("there is no distribution");
		return done_testing();
	}
	rows += strlen("latency, ms\n");
	end = strstr(rows, "\ncourse");
	if (end != NULL)
		*end = '\0';
	is_str(rows,
	    "    0.000 - 0.002      87.50% "
	    "########################################\n"
	    "    0.002 - 0.004       0.00% \n"
	    "    0.004 - 0.008      12.50% ######\n",
	    "latencies that three decimals do not show have one row");
	free(text);
	return done_testing();
}

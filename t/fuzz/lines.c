/*
 * lines.c: the bytes that a worker writes to the log process.
 */
#include "logger/lines.h"

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static void
on_line(void *arg, const struct pfk__relayed *line)
{
	(void)arg;
	if (strlen(line->message) > PFK__RELAY_MAX || line->level < PFK_ERROR ||
	    line->level > PFK_DEBUG)
		abort();
}

/* In pieces, the first byte says how many bytes they have. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pfk__lines lines;
	size_t step = size > 0 ? (size_t)data[0] + 1 : 1;

	memset(&lines, 0, sizeof(lines));
	for (size_t at = 1; at < size; at += step)
		pfk__lines_feed(&lines, (const char *)data + at,
		    size - at < step ? size - at : step, on_line, NULL);
	pfk__lines_end(&lines, on_line, NULL);
	return 0;
}

/*
 * state.c: the state of a process.  Layer: base.
 */
#include "base/state.h"

#include <stdio.h>
#include <string.h>

char
pfk__process_state(pid_t pid)
{
	char path[40], text[512], state = '?', *end;
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return '?';
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	/* Its name may have brackets, too. */
	end = strrchr(text, ')');
	if (end != NULL)
		sscanf(end + 1, " %c", &state);
	return state;
}

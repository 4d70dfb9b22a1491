/*
 * state.c: the state of a process.  Layer: base.
 */
#include "base/state.h"

#include <errno.h>
#include <signal.h>
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

static FILE *
open_status(pid_t pid)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	return fopen(path, "re");
}

bool
pfk__process_ends(pid_t pid)
{
	unsigned long long pending;
	bool killed = false, memory = false;
	char line[256], state = '?';
	FILE *f;

	if (kill(pid, 0) == -1 && errno == ESRCH)
		return true;
	f = open_status(pid);
	if (f == NULL)
		return false;
	while (fgets(line, sizeof(line), f) != NULL) {
		sscanf(line, "State: %c", &state);
		memory = memory || strncmp(line, "VmSize:", 7) == 0;
		if (sscanf(line, "SigPnd: %llx", &pending) == 1 ||
		    sscanf(line, "ShdPnd: %llx", &pending) == 1)
			killed = killed || (pending >> (SIGKILL - 1) & 1) != 0;
	}
	fclose(f);
	/* It gives its memory back before its descriptors. */
	return killed || !memory || state == 'Z' || state == 'X';
}

uid_t
pfk__process_user(pid_t pid)
{
	unsigned uid = (unsigned)-1;
	char line[256];
	FILE *f = open_status(pid);

	if (f == NULL)
		return (uid_t)-1;
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "Uid: %*u %u", &uid) == 1)
			break;
	}
	fclose(f);
	return (uid_t)uid;
}

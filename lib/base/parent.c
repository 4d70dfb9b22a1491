/*
 * parent.c: read /proc/PID/stat, and die with the parent.
 *
 * Layer: base.
 */
#include "base/parent.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

pid_t
pfk__parent_of(pid_t pid)
{
	char path[40], text[512], *end;
	int parent = 0;
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return access("/proc/self/stat", R_OK) == 0 ? 0 : -1;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	/* The name in brackets may hold anything. */
	end = strrchr(text, ')');
	if (end == NULL || sscanf(end + 1, " %*c %d", &parent) != 1)
		return 0;
	return parent;
}

void
pfk__end_with(pid_t parent)
{
	pid_t now;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	now = getppid();
	/* 0: the parent is in another PID namespace. */
	if (now != parent && now != 0)
		_exit(1);
}

/*
 * tree.c: a temporary directory with files.
 */
#include "tree.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tap.h"

static char dir[] = "/tmp/prefork-tree-XXXXXX";

const char *
tree_make(void)
{
	if (mkdtemp(dir) == NULL)
		skip_all("no temporary directory");
	return dir;
}

void
tree_put(const char *name, const char *text)
{
	char path[200], *at;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	for (at = path + strlen(dir) + 1; (at = strchr(at, '/')) != NULL;
	     at++) {
		*at = '\0';
		mkdir(path, 0700);
		*at = '/';
	}
	f = fopen(path, "w");
	if (f == NULL || fputs(text, f) == EOF || fclose(f) != 0)
		exit(255);
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

void
tree_remove(void)
{
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

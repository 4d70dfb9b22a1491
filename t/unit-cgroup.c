/*
 * cgroup.c: values of a control group, of both versions, in a tree of files.
 */
#include "base/cgroup.h"

#include <stdio.h>

#include "tap.h"
#include "tree.h"

static const char *dir;

/* By the list of that name. */
static int
value(const char *list, const char *file, char *dst)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", dir, list);
	return pfk__cgroup_read(path, dir, "memory", file, dst, 64);
}

static uint64_t
kills(const char *list)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", dir, list);
	return pfk__cgroup_oom_kills(path, dir);
}

int
main(void)
{
	char text[64];

	dir = tree_make();
	tree_put("two", "0::/a/b\n");
	tree_put("a/b/memory.max", "4096\n");
	tree_put("a/b/memory.events", "low 0\noom 5\noom_kill 3\n");
	tree_put("one", "3:cpu,cpuacct:/x\n4:memory:/c\n1:name=systemd:/d\n");
	tree_put("memory/c/memory.max", "8192\n");
	tree_put("memory/c/memory.oom_control", "under_oom 0\noom_kill 2\n");
	tree_put("none", "3:cpu:/x\n");
	tree_put("garbage", "\n::\n0:\nx\n");
	is_int(value("two", "memory.max", text), 0, "version 2");
	is_str(text, "4096", "its value");
	is_int(value("one", "memory.max", text), 0, "version 1");
	is_str(text, "8192", "its value");
	is_int(value("two", "memory.high", text), -1, "no such file");
	is_int(value("none", "memory.max", text), -1, "no such controller");
	is_int(value("garbage", "memory.max", text), -1, "no list");
	is_int(value("missing", "memory.max", text), -1, "no file at all");
	is_int(kills("two"), 3, "processes killed, version 2");
	is_int(kills("one"), 2, "and 1");
	is_int(kills("none"), 0, "or unknown");
	tree_remove();
	return done_testing();
}

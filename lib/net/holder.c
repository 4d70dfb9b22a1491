/*
 * holder.c: who has this port?
 *
 * Layer: net.  proc(5): /proc/net/tcp and its kin give the socket's inode and
 * user, /proc/PID/fd the process, where this user may look.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/listener.h"

#define TCP_LISTEN_STATE 0x0a

/* The inode of a socket that has the port and listens; 0 for none. */
static unsigned long
find_inode(const char *table, unsigned port, bool tcp, unsigned *uid)
{
	char line[400];
	unsigned long inode = 0, found = 0;
	unsigned local, state;
	FILE *f = fopen(table, "re");

	if (f == NULL)
		return 0;
	while (found == 0 && fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line,
			"%*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x "
			"%*x:%*x %*x %u %*u %lu",
			&local, &state, uid, &inode) != 4)
			continue;
		if (local == port && (!tcp || state == TCP_LISTEN_STATE))
			found = inode;
	}
	fclose(f);
	return found;
}

static bool
has_socket(const char *pid, unsigned long inode)
{
	char path[300], want[40], got[40];
	struct dirent *e;
	bool found = false;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	snprintf(want, sizeof(want), "socket:[%lu]", inode);
	d = opendir(path);
	if (d == NULL)
		return false;
	while (!found && (e = readdir(d)) != NULL) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, got,
		    sizeof(got) - 1);

		if (n <= 0)
			continue;
		got[n] = '\0';
		found = strcmp(got, want) == 0;
	}
	closedir(d);
	return found;
}

/* The command line's first word, which also is a set process title. */
static void
describe(const char *pid, char *buf, size_t size)
{
	char path[300], title[80] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
	f = fopen(path, "re");
	if (f != NULL) {
		title[fread(title, 1, sizeof(title) - 1, f)] = '\0';
		fclose(f);
	}
	snprintf(buf, size, "process %s (%s)", pid,
	    title[0] != '\0' ? title : "?");
}

const char *
pfk__listener_holder(enum pfk_kind kind, const struct pfk_addr *addr, char *buf,
    size_t size)
{
	char table[32];
	unsigned uid = 0, port = pfk_addr_port(addr);
	unsigned long inode = 0;
	struct dirent *e;
	DIR *d;

	strlcpy(buf, "another process", size);
	for (int i = 0; i < 2 && inode == 0; i++) {
		bool v6 = (addr->sa.sa_family == AF_INET6) == (i == 0);

		snprintf(table, sizeof(table), "/proc/net/%s%s",
		    pfk__kind_name(kind), v6 ? "6" : "");
		inode = find_inode(table, port, kind == PFK_TCP, &uid);
	}
	d = inode != 0 ? opendir("/proc") : NULL;
	if (d == NULL)
		return buf;
	snprintf(buf, size, "a process of user %u", uid);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9' ||
		    !has_socket(e->d_name, inode))
			continue;
		describe(e->d_name, buf, size);
		break;
	}
	closedir(d);
	return buf;
}

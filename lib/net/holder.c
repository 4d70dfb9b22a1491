/*
 * holder.c: find the processes that hold an address.
 *
 * Layer: net.  proc(5): /proc/net/tcp and its kin give the socket's inode and
 * user, /proc/PID/fd the process, where this user may look.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/addr.h"
#include "net/listener.h"

#define TCP_LISTEN_STATE 0x0a
#define PID_SIZE 24

/*
 * Parse an address of proc(5): hexadecimal words in the machine's byte order.
 */
static bool
parse(struct pfk_addr *a, const char *hex, unsigned port)
{
	size_t words = strlen(hex) / 8;
	uint32_t word[4];

	for (size_t i = 0; i < words && i < 4; i++) {
		if (sscanf(hex + 8 * i, "%8" SCNx32, &word[i]) != 1)
			return false;
	}
	*a = (struct pfk_addr){.len = 0};
	if (words == 1) {
		a->in4.sin_family = AF_INET;
		memcpy(&a->in4.sin_addr, word, sizeof(a->in4.sin_addr));
	} else if (words == 4) {
		a->in6.sin6_family = AF_INET6;
		memcpy(&a->in6.sin6_addr, word, sizeof(a->in6.sin6_addr));
	} else {
		return false;
	}
	pfk__addr_set_port(a, (uint16_t)port);
	return true;
}

/* Whether a socket bound to `held` prevents a bind to `wanted`. */
static bool
meets(struct pfk_addr *held, const struct pfk_addr *wanted)
{
	const struct in6_addr *six = &held->in6.sin6_addr;

	if (pfk_addr_port(held) != pfk_addr_port(wanted))
		return false;
	if (held->sa.sa_family == wanted->sa.sa_family) {
		if (held->sa.sa_family == AF_INET6)
			held->in6.sin6_scope_id = wanted->in6.sin6_scope_id;
		return pfk__addr_is_any(held) || pfk__addr_is_any(wanted) ||
		    pfk_addr_equal(held, wanted);
	}
	/* An IPv6 socket may have IPv4 too; ours do not. */
	if (held->sa.sa_family != AF_INET6)
		return false;
	return IN6_IS_ADDR_UNSPECIFIED(six) ||
	    (IN6_IS_ADDR_V4MAPPED(six) &&
		(pfk__addr_is_any(wanted) ||
		    memcmp(six->s6_addr + 12, &wanted->in4.sin_addr, 4) == 0));
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

/*
 * The inode of a socket that is in the address's way, a listening one or, for
 * UDP and where only a connection has the port, any; 0 for none.  The process
 * `except` does not have it.
 */
static unsigned long
find_inode(const char *table, const struct pfk_addr *wanted, bool listening,
    const char *except, unsigned *uid)
{
	char line[400], hex[33];
	unsigned long inode = 0, found = 0;
	unsigned port, state;
	struct pfk_addr held;
	FILE *f = fopen(table, "re");

	if (f == NULL)
		return 0;
	while (found == 0 && fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line,
			"%*u: %32[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x "
			"%*x:%*x %*x %u %*u %lu",
			hex, &port, &state, uid, &inode) != 5)
			continue;
		if ((!listening || state == TCP_LISTEN_STATE) &&
		    parse(&held, hex, port) && meets(&held, wanted) &&
		    !has_socket(except, inode))
			found = inode;
	}
	fclose(f);
	return found;
}

/* The parent's pid, in the buffer of pid; false: it is not known. */
static bool
go_to_parent(char pid[PID_SIZE])
{
	char path[60], text[512];
	const char *end;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	/* The name before it may hold anything. */
	end = strrchr(text, ')');
	return end != NULL && sscanf(end + 1, " %*c %23[0-9]", pid) == 1;
}

/*
 * From any process that has the socket to the one that has started all others:
 * a master, and not one of its workers, although a worker may have a lower number.
 */
static void
go_to_eldest(char pid[PID_SIZE], unsigned long inode)
{
	char parent[PID_SIZE];

	strlcpy(parent, pid, sizeof(parent));
	while (go_to_parent(parent) && has_socket(parent, inode))
		strlcpy(pid, parent, PID_SIZE);
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

bool
pfk__listener_held(enum pfk_kind kind, const struct pfk_addr *addr,
    pid_t except, char *buf, size_t size)
{
	char table[32], pid[PID_SIZE], without[PID_SIZE];
	unsigned uid = 0;
	unsigned long inode = 0;
	struct dirent *e;
	DIR *d;

	strlcpy(buf, "another process", size);
	snprintf(without, sizeof(without), "%d", (int)except);
	/* Those that leave have connections of the port. */
	for (int i = 0; i < (except == 0 ? 4 : 2) && inode == 0; i++) {
		bool v6 = (addr->sa.sa_family == AF_INET6) == (i % 2 == 0);

		snprintf(table, sizeof(table), "/proc/net/%s%s",
		    pfk__kind_name(kind), v6 ? "6" : "");
		inode = find_inode(table, addr, kind == PFK_TCP && i < 2,
		    without, &uid);
	}
	d = inode != 0 ? opendir("/proc") : NULL;
	if (d == NULL)
		return inode != 0;
	snprintf(buf, size, "a process of user %u", uid);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9' ||
		    !has_socket(e->d_name, inode))
			continue;
		strlcpy(pid, e->d_name, sizeof(pid));
		go_to_eldest(pid, inode);
		describe(pid, buf, size);
		break;
	}
	closedir(d);
	return true;
}

const char *
pfk__listener_holder(enum pfk_kind kind, const struct pfk_addr *addr, char *buf,
    size_t size)
{
	pfk__listener_held(kind, addr, 0, buf, size);
	return buf;
}

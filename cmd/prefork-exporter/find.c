/*
 * find.c: the control sockets of the services.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "exporter.h"

#define SUFFIX ".sock"

static struct service known[SERVICES_MAX];
static int n_known;
static int channel = -1;

void
find_learn(const struct service *s)
{
	int i = 0;

	while (i < n_known && strcmp(known[i].path, s->path) != 0)
		i++;
	if (i < SERVICES_MAX)
		known[i] = *s;
	if (i == n_known && i < SERVICES_MAX)
		n_known++;
}

static bool
recall_name(struct service *s)
{
	for (int i = 0; i < n_known; i++) {
		if (strcmp(known[i].path, s->path) == 0) {
			strlcpy(s->name, known[i].name, sizeof(s->name));
			return true;
		}
	}
	return false;
}

void
find_by_channel(int fd)
{
	channel = fd;
}

/* The service answers at the other end of a pair of sockets: *fd is ours. */
static int
send_pair(int *fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {.iov_base = (char[]){0}, .iov_len = 1};
	struct msghdr h = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.buf,
	    .msg_controllen = sizeof(control.buf)};
	struct cmsghdr *cm = CMSG_FIRSTHDR(&h);
	int fds[2], rc, saved_errno;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
		fds) == -1)
		return -1;
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cm), &fds[1], sizeof(int));
	rc = (int)sendmsg(channel, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
	saved_errno = errno;
	close(fds[1]);
	*fd = fds[0];
	if (rc == 1)
		return 0;
	close(fds[0]);
	*fd = -1;
	errno = saved_errno;
	return -1;
}

void
find_connect(struct service *s)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	s->error = 0;
	s->fd = -1;
	if (channel != -1) {
		if (send_pair(&s->fd) == -1)
			s->error = errno;
		return;
	}
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	strlcpy(sun.sun_path, s->path, sizeof(sun.sun_path));
	if (s->fd != -1 &&
	    connect(s->fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return;
	s->error = errno;
	if (s->fd != -1)
		close(s->fd);
	s->fd = -1;
}

/* The name is the file's, until the service has told its own. */
static void
name_by_file(struct service *s)
{
	const char *file = strrchr(s->path, '/');
	size_t len;

	file = file != NULL ? file + 1 : s->path;
	len = strlen(file);
	if (len > strlen(SUFFIX) &&
	    strcmp(file + len - strlen(SUFFIX), SUFFIX) == 0)
		len -= strlen(SUFFIX);
	snprintf(s->name, sizeof(s->name), "%.*s", (int)len, file);
	for (char *at = s->name; *at != '\0'; at++) {
		if (*at == '"' || *at == '\\' || (unsigned char)*at < ' ')
			*at = '_';
	}
}

static void
add(struct service *list, int *n, const char *path, bool wanted)
{
	struct service *s = &list[*n];

	if (*n == SERVICES_MAX ||
	    strlcpy(s->path, path, sizeof(s->path)) >= sizeof(s->path))
		return;
	for (int i = 0; i < *n; i++) {
		if (strcmp(list[i].path, path) == 0)
			return;
	}
	if (recall_name(s))
		wanted = true;
	else
		name_by_file(s);
	find_connect(s);
	/* One that was killed long ago, or gone since the look. */
	if (!wanted && (s->error == ECONNREFUSED || s->error == ENOENT))
		return;
	(*n)++;
}

/* Root asks all services, another user those that are its own. */
static bool
is_ours(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    (geteuid() == 0 || st.st_uid == geteuid() ||
		access(path, W_OK) == 0);
}

static void
scan(const char *dir, struct service *list, int *n)
{
	char path[PFK_CONTROL_SIZE + 300];
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		size_t len = strlen(e->d_name);

		if (len <= strlen(SUFFIX) ||
		    strcmp(e->d_name + len - strlen(SUFFIX), SUFFIX) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (is_ours(path))
			add(list, n, path, false);
	}
	if (d != NULL)
		closedir(d);
}

int
find_services(const struct settings *s, struct service *list)
{
	char dir[PFK_CONTROL_SIZE];
	int n = 0;

	if (channel != -1)
		add(list, &n, "service", true);
	for (int i = 0; i < s->n_sockets; i++)
		add(list, &n, s->sockets[i], true);
	for (int i = 0;
	     n == 0 && s->n_sockets == 0 && pfk_control_directory(i, dir);
	     i++) {
		if (dir[0] != '\0')
			scan(dir, list, &n);
	}
	return n;
}

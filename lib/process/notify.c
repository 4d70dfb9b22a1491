/*
 * notify.c: tell the service manager how the service is.
 *
 * Layer: process.  sd_notify(3), systemd.service(5), unix(7).
 */
#include "process/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "process/area.h"
#include "process/control.h"
#include "process/master.h"
#include "process/orders.h"
#include "process/report.h"

#define STATUS_NS (10 * PFK_SECOND_NS)
#define EXTEND_NS (5 * PFK_SECOND_NS)

/* the socket */

/* A path, or the name of an abstract socket after "@". */
static int
connect_to(const char *name)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	size_t n = strlen(name);
	int fd;

	if ((name[0] != '/' && name[0] != '@') || n >= sizeof(sun.sun_path)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(sun.sun_path, name, n);
	if (name[0] == '@')
		sun.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd != -1 &&
	    connect(fd, (struct sockaddr *)&sun,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) ==
		-1) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static void PFK_PRINTF(2, 3)
    tell(const struct pfk__master *m, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	if (m->notify.fd <= 0)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/*
	 * If the manager has no room for the message, the next message repeats
	 * it.
	 */
	if (send(m->notify.fd, text, (size_t)n, MSG_NOSIGNAL) == -1)
		return;
}

int
pfk__notify_pass(const struct pfk__master *m, const char *text, int fd)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec v = {.iov_base = (void *)(uintptr_t)text,
	    .iov_len = strlen(text)};
	struct msghdr msg = {.msg_iov = &v, .msg_iovlen = 1};

	if (fd != -1) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control.room);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	return sendmsg(m->notify.fd, &msg, MSG_NOSIGNAL) == -1 ? -1 : 0;
}

/* the status */

static void
status_line(const struct pfk__master *m, char *dst, size_t size)
{
	const struct pfk__reload_note *r = &m->control->reload;
	unsigned long long connections = 0;
	const struct pfk__child *c;
	char age[32];
	int n;

	LIST_FOREACH(c, &m->children, link)
		connections += pfk__area_of(c->pulse.page)->stats.connections;
	n = snprintf(dst, size, "%d of %d workers serve, %llu connection%s",
	    pfk__report_serving(m), m->workers, connections,
	    connections == 1 ? "" : "s");
	if (pfk__orders_stopping(m))
		snprintf(dst + n, size - (size_t)n, ", stopping");
	else if (r->begun > 0 && !r->running)
		snprintf(dst + n, size - (size_t)n, ", reload %s ago: %s",
		    pfk__report_age(age, sizeof(age),
			pfk__report_since(m, r->at_ns)),
		    pfk__report_reload(r));
}

static void
on_tick(void *arg)
{
	struct pfk__master *m = arg;
	bool stopping = pfk__orders_stopping(m);
	char status[sizeof(m->notify.status)];

	status_line(m, status, sizeof(status));
	if (stopping)
		tell(m, "EXTEND_TIMEOUT_USEC=%llu\nSTATUS=%s",
		    (unsigned long long)(3 * EXTEND_NS / 1000), status);
	else if (strcmp(status, m->notify.status) != 0)
		tell(m, "STATUS=%s", status);
	strlcpy(m->notify.status, status, sizeof(m->notify.status));
	pfk_timer_set(&m->notify.tick, m->loop,
	    stopping ? EXTEND_NS : STATUS_NS, on_tick, m);
}

/* the watchdog */

static void
on_watchdog(void *arg)
{
	struct pfk__master *m = arg;

	tell(m, "WATCHDOG=1");
	pfk_timer_set(&m->notify.watchdog, m->loop, m->notify.watchdog_ns / 3,
	    on_watchdog, m);
}

static uint64_t
watchdog_ns(void)
{
	const char *text = getenv("WATCHDOG_USEC"),
		   *pid = getenv("WATCHDOG_PID");
	const char *errstr = NULL;
	long long usec;

	if (text == NULL || (pid != NULL && atoi(pid) != (int)getpid()))
		return 0;
	usec = strtonum(text, 1, INT64_MAX / 1000, &errstr);
	return errstr == NULL ? (uint64_t)usec * 1000 : 0;
}

/* events */

void
pfk__notify_open(struct pfk__master *m)
{
	const char *name = getenv("NOTIFY_SOCKET");

	if (name == NULL)
		return;
	m->notify.fd = connect_to(name);
	if (m->notify.fd == -1) {
		pfk_warn("cannot reach the service manager by NOTIFY_SOCKET=%s",
		    name);
		return;
	}
	m->notify.watchdog_ns = watchdog_ns();
	if (m->notify.watchdog_ns > 0)
		on_watchdog(m);
}

void
pfk__notify_close(struct pfk__master *m)
{
	pfk_timer_cancel(&m->notify.watchdog);
	pfk_timer_cancel(&m->notify.tick);
	if (m->notify.fd > 0)
		close(m->notify.fd);
	m->notify.fd = 0;
}

void
pfk__notify_ready(struct pfk__master *m)
{
	if (m->notify.fd <= 0 || pfk__orders_stopping(m))
		return;
	status_line(m, m->notify.status, sizeof(m->notify.status));
	tell(m, "READY=1\nMAINPID=%d\nSTATUS=%s", (int)getpid(),
	    m->notify.status);
	pfk_timer_set(&m->notify.tick, m->loop, STATUS_NS, on_tick, m);
}

void
pfk__notify_reloading(struct pfk__master *m)
{
	struct timespec ts;

	/* The moment itself: the turn's time may be before the request. */
	clock_gettime(CLOCK_MONOTONIC, &ts);
	tell(m, "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reloading",
	    (unsigned long long)ts.tv_sec * 1000000 +
		(unsigned long long)ts.tv_nsec / 1000);
	m->notify.status[0] = '\0';
}

void
pfk__notify_stopping(struct pfk__master *m)
{
	if (m->notify.fd <= 0)
		return;
	tell(m, "STOPPING=1\nSTATUS=stopping");
	on_tick(m);
}

/*
 * notify.c: the environment of a service manager, sd_notify(3): three lines, with
 * the values of NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "master.h"
#include "process/notify.h"

static const char *const names[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC",
    "WATCHDOG_PID"};

/* For a name that is "=": the manager listens there. */
static const char *
manager(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	static char name[40];
	static int fd = -1;

	if (fd != -1)
		return name;
	snprintf(name, sizeof(name), "@fuzz-notify-%d", (int)getpid());
	strlcpy(sun.sun_path + 1, name + 1, sizeof(sun.sun_path) - 1);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (bind(fd, (struct sockaddr *)&sun,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) +
		    strlen(name))) == -1)
		abort();
	return name;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pfk__master *m;
	char text[512], *rest = text;

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = strsep(&rest, "\n");

		unsetenv(names[i]);
		if (value != NULL)
			setenv(names[i],
			    strcmp(value, "=") == 0 ? manager() : value, 1);
	}
	m = fuzz_master_new();
	/* That the socket cannot be reached is logged as an error. */
	pfk_log_set_level(PFK_ERROR);
	m->started = true;
	pfk__notify_open(m);
	pfk__notify_ready(m);
	pfk__notify_reloading(m);
	fuzz_turn(m->loop, 1);
	pfk__notify_stopping(m);
	fuzz_master_free(m);
	return 0;
}

#include "echo.h"

struct pfk_server *echo_server; /* not static: it is no leak */

void *
echo_made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	return tr;
}

void
echo_received(void *self, const void *buf, size_t len)
{
	pfk_write(self, buf, len);
}

void *
echo_resumed(struct pfk_transport *tr, void *arg, const void *buf, size_t len)
{
	(void)arg;
	(void)buf;
	(void)len;
	return tr;
}

int
echo_serve(struct pfk_worker *w, const struct pfk_listen *want,
    const struct pfk_protocol *protocol)
{
	int fd;

	if (pfk_worker_listen(w, want, 1, &fd) == -1)
		return -1;
	echo_server = pfk_serve(pfk_worker_loop(w), fd, protocol, NULL, NULL);
	return echo_server != NULL ? 0 : -1;
}

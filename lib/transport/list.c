/*
 * list.c: list the connections of a loop's servers.
 *
 * Layer: transport.  The kernel counts bytes and idle time of each socket, so
 * nothing has to be counted here while it serves.
 */
#include "transport/list.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "event/connections.h"
#include "transport/server.h"

#define BATCH 64

struct list {
	int fd;
	int n; /* of the connections so far */
	int error;
	struct pfk__connection rows[BATCH];
};

static void
flush(struct list *list, int rows)
{
	size_t len = (size_t)rows * sizeof(list->rows[0]);
	int first = list->n - rows;

	if (rows == 0 || list->error != 0)
		return;
	errno = ENOSPC;
	if (pwrite(list->fd, list->rows, len,
		first * (off_t)sizeof(list->rows[0])) != (ssize_t)len)
		list->error = errno;
}

static void
describe(const struct pfk_transport *tr, struct pfk__connection *row)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);
	uint32_t idle_ms;

	*row = (struct pfk__connection){.peer = tr->peer,
	    .since_ns = pfk__tcp_since(tr)};
	if (getsockopt(tr->io.fd, IPPROTO_TCP, TCP_INFO, &info, &len) == -1)
		return;
	idle_ms = info.tcpi_last_data_recv < info.tcpi_last_data_sent
	    ? info.tcpi_last_data_recv
	    : info.tcpi_last_data_sent;
	row->idle_ns = idle_ms * PFK_MSEC_NS;
	row->received = info.tcpi_bytes_received;
	row->sent = info.tcpi_bytes_acked;
}

int
pfk__tcp_list(struct pfk_loop *l, int fd)
{
	struct list *list = calloc(1, sizeof(*list));
	const struct pfk_transport *tr;
	struct pfk_server *s = NULL;
	int rows = 0, n;

	if (list == NULL)
		return -1;
	list->fd = fd;
	while ((s = pfk__server_next(l, s)) != NULL) {
		TAILQ_FOREACH(tr, &s->roster.transports, link) {
			if (list->n++ >= PFK__CONNECTIONS_MAX)
				continue;
			describe(tr, &list->rows[rows++]);
			if (rows == BATCH) {
				flush(list, rows);
				rows = 0;
			}
		}
	}
	if (list->n <= PFK__CONNECTIONS_MAX)
		flush(list, rows);
	n = list->error == 0 ? list->n : -1;
	errno = list->error;
	free(list);
	return n;
}

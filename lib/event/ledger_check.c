/*
 * ledger_check.c: whether the ledger agrees with the kernel.
 *
 * Layer: event.  proc(5): /proc/PID/fdinfo.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "event/loop.h"

/* Each record names an open descriptor. */
static void
check_descriptors(const struct pfk_loop *l)
{
	const struct pfk__ledger *g = l->ledger;

	for (int fd = 0; fd < g->size && fd <= g->head->top; fd++) {
		/* A sandbox may deny the call. */
		assert(g->records[fd].entry == PFK__ENTRY_NONE ||
		    fcntl(fd, F_GETFD) != -1 || errno != EBADF);
	}
}

/* Each chunk in use has one owner, which is there. */
static void
check_chunks(const struct pfk__ledger *g)
{
	for (uint32_t i = 0; i < g->head->chunks_top; i++) {
		const struct pfk__chunk *c = &g->chunks[i];
		const struct pfk__record *r = pfk__record(g, c->fd - 1);

		if (c->fd == 0)
			continue;
		assert(r != NULL && r->entry != PFK__ENTRY_NONE);
		assert(r->generation == c->generation);
		assert(c->len <= PFK__CHUNK_BYTES);
	}
}

static unsigned
interest(uint32_t events)
{
	return (events & EPOLLIN ? PFK_READ : 0u) |
	    (events & EPOLLOUT ? PFK_WRITE : 0u);
}

/*
 * Entries of other generations are of sockets that went to another process: the
 * loop drops their events.
 */
static size_t
check_watched(const struct pfk_loop *l, int fd, uint32_t events, uint64_t data)
{
	const struct pfk_io *io;
	uint32_t generation = (uint32_t)(data >> 32);

	if (fd < 0 || fd >= l->table_size)
		return 0;
	io = l->table[fd].io;
	if (io == NULL || generation != l->table[fd].generation)
		return 0;
	assert((int)(uint32_t)data == fd);
	assert(io->armed == PFK__ARMED_UNKNOWN ||
	    interest(events) == (io->armed & (PFK_READ | PFK_WRITE)));
	return io->armed != 0 && io->armed != PFK__ARMED_UNKNOWN;
}

/* The epoll set has exactly the interest that the loop believes it to have. */
static void
check_epoll(const struct pfk_loop *l)
{
	char path[64], line[200];
	size_t armed = 0, watched = 0;
	uint64_t data;
	uint32_t events;
	FILE *file;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d",
	    l->ledger->head->poll_fd);
	file = fopen(path, "re");
	if (file == NULL)
		return;
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "tfd: %d events: %" SCNx32 " data: %" SCNx64,
			&fd, &events, &data) == 3)
			watched += check_watched(l, fd, events, data);
	}
	fclose(file);
	for (fd = 0; fd < l->table_size; fd++) {
		const struct pfk_io *io = l->table[fd].io;

		armed += io != NULL && io->armed != 0 &&
		    io->armed != PFK__ARMED_UNKNOWN;
	}
	assert(watched == armed);
}

void
pfk__ledger_check(const struct pfk_loop *l)
{
	int saved_errno = errno;

	check_descriptors(l);
	check_chunks(l->ledger);
	if (l->poller == &pfk__poller_epoll)
		check_epoll(l);
	errno = saved_errno;
}

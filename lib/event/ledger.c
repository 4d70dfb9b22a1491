/*
 * ledger.c: everything that a worker's successor must know, in one mapping.
 *
 * Layer: event.  mmap(2), close_range(2).
 */
#include "event/ledger.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/received.h"
#include "event/verdict.h"

#define RECORDS_MAX (1 << 20)
#define PAGE ((size_t)4096)
#define DEEDS_ROOM pages(PFK__DEEDS_MAX * sizeof(struct pfk__deed))
/* A descriptor without a record is at most so far above those that have one. */
#define SWEEP_BEYOND 64
/* So many free chunks keep their pages; the others give them back. */
#define WARM_CHUNKS 64
/* The least part of the room, as a power of two: 4 MiB of output, 4 of blocks. */
#define SCARCE_SHIFT 8

static size_t
pages(size_t n)
{
	return (n + PAGE - 1) / PAGE * PAGE;
}

static int
descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == -1 || r.rlim_cur > RECORDS_MAX)
		return RECORDS_MAX;
	return (int)r.rlim_cur;
}

/* Map room for as much as the system grants, from all down to a part of 256. */
static char *
map_room(struct pfk__ledger *g, size_t head_and_records, size_t *fixed)
{
	int flags = (g->shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS |
	    MAP_NORESERVE;
	char *map = MAP_FAILED;

	for (int shift = 0; map == MAP_FAILED && shift <= SCARCE_SHIFT;
	     shift += 2) {
		g->chunks_max = PFK__CHUNKS_MAX >> shift;
		g->blocks_room = PFK__BLOCKS_ROOM >> shift;
		*fixed = head_and_records +
		    pages(g->chunks_max * sizeof(*g->chunks));
		g->map_len = *fixed + PFK__BATCH_ROOM + PFK__SCRATCH_BYTES +
		    2 * PFK__STATE_MAX + DEEDS_ROOM +
		    g->chunks_max * PFK__CHUNK_BYTES + g->blocks_room;
		map = mmap(NULL, g->map_len, PROT_READ | PROT_WRITE, flags, -1,
		    0);
	}
	return map;
}

int
pfk__ledger_open(struct pfk__ledger *g, bool shared)
{
	int size = descriptors();
	size_t head = pages(sizeof(*g->head));
	size_t records = pages((size_t)size * sizeof(*g->records)), fixed;
	char *map;

	*g = (struct pfk__ledger){.shared = shared, .size = size, .free = -1};
	map = map_room(g, head + records, &fixed);
	if (map == MAP_FAILED)
		return -1;
	if (shared && g->chunks_max < PFK__CHUNKS_MAX)
		pfk_warn("memory is scarce (ulimit -v, or "
			 "vm.overcommit_memory 2): unsent output may take "
			 "%zu MiB instead of %zu",
		    g->chunks_max * PFK__CHUNK_BYTES >> 20,
		    PFK__CHUNKS_MAX * PFK__CHUNK_BYTES >> 20);
	/* A core dump of it would delay the restart, and tell no more. */
	madvise(map, g->map_len, MADV_DONTDUMP);
	g->map = map;
	g->head = (struct pfk__ledger_head *)(void *)map;
	g->records = (struct pfk__record *)(void *)(map + head);
	g->chunks = (struct pfk__chunk *)(void *)(map + head + records);
	g->batch = map + fixed;
	g->scratch = map + fixed + PFK__BATCH_ROOM;
	g->state = (char *)g->scratch + PFK__SCRATCH_BYTES;
	g->deeds = (struct pfk__deed *)(void *)(g->state + 2 * PFK__STATE_MAX);
	g->chunk_bytes = g->state + 2 * PFK__STATE_MAX + DEEDS_ROOM;
	g->blocks = g->chunk_bytes + g->chunks_max * PFK__CHUNK_BYTES;
	g->head->state_tx[1] = PFK__NO_TX;
	g->head->hand.fd = g->head->serving = -1;
	g->head->accepting = g->head->poll_fd = -1;
	return 0;
}

void
pfk__ledger_close(struct pfk__ledger *g)
{
	if (g->map == NULL)
		return;
	munmap(g->map, g->map_len);
	free(g->next);
	*g = (struct pfk__ledger){0};
}

void
pfk__ledger_note(struct pfk__ledger *g, int fd, enum pfk__entry entry)
{
	struct pfk__record *r = pfk__record(g, fd);

	if (r == NULL)
		return;
	if (fd > g->head->top)
		g->head->top = fd;
	pfk__in_order();
	r->entry = (uint8_t)entry;
	pfk__in_order();
}

void
pfk__ledger_end(struct pfk__ledger *g, int fd)
{
	if (g->deeds_waiting > 0)
		pfk__deeds_forget(g, fd);
	pfk__ledger_note(g, fd, PFK__ENTRY_DOOMED);
	close(fd);
	pfk__ledger_note(g, fd, PFK__ENTRY_NONE);
}

void
pfk__ledger_leave(struct pfk__ledger *g, int fd)
{
	/* One that nobody can reach. */
	int other = g->shared && pfk__record(g, fd) != NULL
	    ? socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
	    : -1;

	if (other == -1) {
		pfk__ledger_end(g, fd);
		return;
	}
	pfk__ledger_note(g, fd, PFK__ENTRY_LEFT);
	if (dup3(other, fd, O_CLOEXEC) == -1)
		pfk__ledger_end(g, fd);
	close(other);
}

bool
pfk__ledger_has_left(const struct pfk__ledger *g)
{
	for (int fd = 0; fd <= g->head->top && fd < g->size; fd++) {
		if (g->records[fd].entry == PFK__ENTRY_LEFT)
			return true;
	}
	return false;
}

/* Give back the pages that lie between the two addresses as a whole. */
static void
give_back(const struct pfk__ledger *g, const void *from, const void *to)
{
	size_t at = pages((size_t)((const char *)from - (char *)g->map));
	size_t end = (size_t)((const char *)to - (char *)g->map) / PAGE * PAGE;

	if (at < end)
		madvise((char *)g->map + at, end - at,
		    g->shared ? MADV_REMOVE : MADV_DONTNEED);
}

/* The records from `from` on, below `to`, are not in use. */
static void
give_back_records(struct pfk__ledger *g, int from, int to)
{
	for (int fd = from; fd < to; fd++) {
		uint32_t generation = g->records[fd].generation;

		if ((int32_t)(generation - g->head->generation) > 0)
			g->head->generation = generation;
	}
	pfk__in_order();
	give_back(g, &g->records[from], &g->records[to]);
	if (pfk__block(g, to, 0) != NULL)
		give_back(g, pfk__block(g, from, 0), pfk__block(g, to, 0));
}

void
pfk__ledger_trim(struct pfk__ledger *g)
{
	int end = g->head->top + 1, top = 0;

	for (int fd = 0, from = 0; fd <= end; fd++) {
		if (fd < end && g->records[fd].entry == PFK__ENTRY_NONE)
			continue;
		give_back_records(g, from, fd);
		from = fd + 1;
		if (fd < end)
			top = fd;
	}
	g->head->top = top;
}

/* versions */

struct pfk__version *
pfk__version(const struct pfk__ledger *g, struct pfk__record *r)
{
	struct pfk__version *v = r->stream.versions;
	uint64_t committed = g->head->committed;

	if (v[1].tx <= committed && (v[0].tx > committed || v[1].tx > v[0].tx))
		return &v[1];
	return &v[0];
}

struct pfk__version *
pfk__version_begin(const struct pfk__ledger *g, struct pfk__record *r)
{
	struct pfk__version *v = r->stream.versions;
	struct pfk__version *next = pfk__version(g, r) == v ? v + 1 : v;

	next->tx = PFK__NO_TX;
	pfk__in_order();
	return next;
}

void
pfk__version_end(struct pfk__version *v, uint64_t tx)
{
	pfk__in_order();
	v->tx = tx;
	pfk__in_order();
}

void *
pfk__block(const struct pfk__ledger *g, int fd, unsigned copy)
{
	size_t stride = 2 * (size_t)g->head->block_bytes;

	if (stride == 0 || ((size_t)fd + 1) * stride > g->blocks_room)
		return NULL;
	return g->blocks + (size_t)fd * stride +
	    (copy != 0 ? g->head->block_bytes : 0);
}

unsigned
pfk__state_copy(const struct pfk__ledger *g)
{
	const uint64_t *t = g->head->state_tx;
	uint64_t committed = g->head->committed;

	return t[1] <= committed && (t[0] > committed || t[1] > t[0]);
}

void
pfk__die(void)
{
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

/* chunks */

bool
pfk__chunks_have(struct pfk__ledger *g, size_t n)
{
	if (g->next == NULL)
		g->next = calloc(g->chunks_max, sizeof(*g->next));
	return g->next != NULL &&
	    (size_t)g->n_free + g->chunks_max - g->head->chunks_top >= n;
}

int
pfk__chunk_take(struct pfk__ledger *g)
{
	int i = g->free;

	assert(i != -1 || g->head->chunks_top < g->chunks_max);
	if (i == -1)
		return (int)g->head->chunks_top++;
	g->free = g->next[i];
	g->n_free--;
	return i;
}

void
pfk__chunk_give(struct pfk__ledger *g, int i)
{
	assert(i >= 0 && (unsigned)i < g->chunks_max && g->next != NULL);
	/* A free one of a predecessor's has no pages. */
	bool has_pages = g->chunks[i].fd != 0 || g->chunks[i].len != 0;

	g->chunks[i].fd = 0;
	pfk__in_order();
	g->chunks[i].len = 0;
	if (has_pages && g->n_free >= WARM_CHUNKS)
		madvise(pfk__chunk_data(g, i), PFK__CHUNK_BYTES,
		    g->shared ? MADV_REMOVE : MADV_DONTNEED);
	g->next[i] = g->free;
	g->free = i;
	g->n_free++;
}

/* a successor's start */

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) != -1;
}

/* A pipe is kept while a connection's record names it. */
static void
mark_pipes(struct pfk__ledger *g)
{
	for (int fd = 0; fd < g->size && fd <= g->head->top; fd++) {
		if (g->records[fd].entry == PFK__ENTRY_PIPE)
			g->records[fd].entry = PFK__ENTRY_NONE;
	}
	for (int fd = 0; fd < g->size && fd <= g->head->top; fd++) {
		const struct pfk__record *r = &g->records[fd];
		const int32_t ends[] = {r->stream.pipe_out, r->stream.pipe_in};

		for (int i = 0; i < 2 && r->entry == PFK__ENTRY_STREAM; i++) {
			struct pfk__record *end = pfk__record(g, ends[i]);

			if (ends[i] > STDERR_FILENO && end != NULL &&
			    end->entry == PFK__ENTRY_NONE)
				pfk__ledger_note(g, ends[i], PFK__ENTRY_PIPE);
		}
	}
}

void
pfk__ledger_mistrust(struct pfk__ledger *g)
{
	struct pfk__ledger_head *h = g->head;

	if (h->top < 0 || h->top >= g->size)
		h->top = g->size - 1;
	if (h->chunks_top > g->chunks_max)
		h->chunks_top = g->chunks_max;
	if (h->deeds > PFK__DEEDS_MAX)
		h->deeds = PFK__DEEDS_MAX;
	if (h->deed_begun > PFK__DEEDS_MAX)
		h->deed_begun = 0;
}

void
pfk__ledger_sweep(struct pfk__ledger *g, void (*found)(void *arg, int fd),
    void *arg)
{
	int end;

	pfk__ledger_mistrust(g);
	pfk__verdicts_settle(g);
	mark_pipes(g);
	end = g->head->top + SWEEP_BEYOND;
	if (end > g->size)
		end = g->size;
	for (int fd = STDERR_FILENO + 1; fd < end; fd++) {
		uint8_t entry = g->records[fd].entry;

		if (fd == g->head->poll_fd)
			continue;
		if (entry == PFK__ENTRY_NONE && is_open(fd))
			found(arg, fd);
		if (entry != PFK__ENTRY_DOOMED)
			continue;
		pfk__never_linger(fd);
		pfk__ledger_end(g, fd);
	}
	close_range((unsigned)end, ~0u, 0);
}

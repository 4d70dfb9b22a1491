/*
 * trim.c and ledger.c: memory that many descriptors took goes back to the
 * system when they have left, and nothing of those that stay is lost.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "event/loop.h"
#include "tap.h"
#include "unit.h"

#define MANY 2000
#define PAGE ((size_t)4096)

static struct pfk_io ios[MANY];
static int fds[MANY];

/* The pages of the ledger's records that take memory. */
static int
resident(const struct pfk__ledger *g)
{
	size_t len = ((char *)g->chunks - (char *)g->records) / PAGE;
	static unsigned char in_core[1 << 20];
	int n = 0;

	if (len > sizeof(in_core))
		len = sizeof(in_core);
	if (mincore(g->records, len * PAGE, in_core) == -1)
		return -1;
	for (size_t i = 0; i < len; i++)
		n += in_core[i] & 1;
	return n;
}

static void
on_ready(void *arg, unsigned ready)
{
	(void)arg;
	(void)ready;
}

static void
enter(struct pfk__ledger *g, int fd)
{
	struct pfk__record *r = pfk__record(g, fd);

	r->generation = (uint32_t)fd;
	memset(pfk__block(g, fd, 0), 'a' + fd % 26, g->head->block_bytes);
	pfk__ledger_note(g, fd, PFK__ENTRY_STREAM);
}

static bool
is_whole(const struct pfk__ledger *g, int fd)
{
	const struct pfk__record *r = pfk__record(g, fd);
	const char *block = pfk__block(g, fd, 0);

	return r->entry == PFK__ENTRY_STREAM && r->generation == (uint32_t)fd &&
	    block[0] == 'a' + fd % 26 &&
	    block[g->head->block_bytes - 1] == 'a' + fd % 26;
}

static void
test_ledger(bool shared)
{
	const char *kind = shared ? "shared" : "private";
	struct pfk__ledger g;
	int full, whole = 0;

	pfk__ledger_open(&g, shared);
	g.head->block_bytes = 64;
	for (int fd = 3; fd < MANY; fd++)
		enter(&g, fd);
	full = resident(&g);
	pfk__ledger_trim(&g);
	for (int fd = 3; fd < MANY; fd++)
		whole += is_whole(&g, fd);
	is_int(whole, MANY - 3, "%s: in use, all of it stays", kind);
	is_int(resident(&g), full, "%s: so it takes as much memory", kind);
	is_int(g.head->top, MANY - 1, "%s: up to the last record", kind);

	for (int fd = 3; fd < MANY; fd++) {
		if (fd % 500 != 0)
			pfk__ledger_note(&g, fd, PFK__ENTRY_NONE);
	}
	pfk__ledger_trim(&g);
	ok(is_whole(&g, 500) && is_whole(&g, 1000) && is_whole(&g, 1500),
	    "%s: those that stay are whole", kind);
	is_int(g.head->top, 1500, "%s: the top is the last one", kind);
	/* Each of the three lies in two pages at most, and one at each end. */
	ok(full > 64 && resident(&g) <= 8, "%s: %d of %d pages are left", kind,
	    resident(&g), full);
	is_int(g.head->generation, MANY - 1,
	    "%s: the latest generation is kept", kind);

	for (int fd = 500; fd < MANY; fd += 500)
		pfk__ledger_note(&g, fd, PFK__ENTRY_NONE);
	pfk__ledger_trim(&g);
	is_int(g.head->top, 0, "%s: none is left", kind);
	ok(resident(&g) <= 2, "%s: nor is memory but at the ends", kind);
	pfk__ledger_trim(&g);
	is_int(g.head->generation, MANY - 1, "%s: twice is as good", kind);
	pfk__ledger_close(&g);
}

/* the heap */

#if defined(__SANITIZE_ADDRESS__) || defined(__clang__)
#define OTHER_MALLOC true /* or perhaps so */
#else
#define OTHER_MALLOC false
#endif

#define BLOCKS 4000
#define BLOCK_BYTES 1000

static char *blocks[BLOCKS];

static void
fill_heap(void)
{
	for (int i = 0; i < BLOCKS; i++) {
		blocks[i] = malloc(BLOCK_BYTES);
		if (blocks[i] != NULL)
			memset(blocks[i], 'x', BLOCK_BYTES);
	}
}

/* The last block stays, so that free(3) alone cannot shrink the heap. */
static void
empty_heap(void)
{
	for (int i = 0; i < BLOCKS - 1; i++)
		free(blocks[i]);
}

/* The pages between the first and the last block that take memory, or -1. */
static int
heap_pages(void)
{
	static unsigned char in_core[4 * BLOCKS * BLOCK_BYTES / PAGE];
	uintptr_t from, to;
	int n = 0;

	if (OTHER_MALLOC)
		return -1;
	from = (uintptr_t)blocks[0] & ~(PAGE - 1);
	to = (uintptr_t)blocks[BLOCKS - 1] & ~(PAGE - 1);
	if (to <= from || (to - from) / PAGE > sizeof(in_core) ||
	    mincore((void *)from, to - from, in_core) == -1)
		return -1; /* another malloc: a sanitizer's, or Valgrind's */
	for (size_t i = 0; i < (to - from) / PAGE; i++)
		n += in_core[i] & 1;
	return n;
}

static void
leave(int from, int to)
{
	for (int i = from; i < to; i++) {
		struct pfk__ledger *g = ios[i].loop->ledger;

		pfk__io_stop(&ios[i]);
		pfk__ledger_end(g, fds[i]);
	}
}

/* The loop does it, once most have left, and an event counts as stale still. */
static void
test_loop(void)
{
	struct pfk__ledger g;
	struct pfk_loop *l;
	int event = eventfd(0, EFD_CLOEXEC), full, heap;
	uint32_t generation;

	pfk__ledger_open(&g, true);
	l = pfk__loop_new_with(NULL, &g);
	for (int i = 0; i < MANY; i++) {
		fds[i] = dup(event);
		pfk__io_start(l, &ios[i], fds[i], PFK_READ, on_ready, NULL);
		pfk__ledger_note(&g, fds[i], PFK__ENTRY_STREAM);
	}
	unit_settle(l);
	full = resident(&g);
	generation = g.records[fds[MANY / 2]].generation;
	fill_heap();
	heap = heap_pages();
	empty_heap();
	leave(MANY / 2, MANY);
	unit_settle(l);
	is_int(l->trim_at_ns, 0, "half has left: nothing is due");
	leave(MANY / 8, MANY / 2);
	unit_settle(l);
	ok(l->trim_at_ns > pfk_loop_now(l), "most have left: it is due later");
	is_int(resident(&g), full, "until then they may come back");
	l->trim_at_ns = 1;
	unit_settle(l);
	ok(resident(&g) < full / 4, "then there is less: %d of %d pages",
	    resident(&g), full);
	if (heap < BLOCKS * BLOCK_BYTES / (int)PAGE)
		skip(1, "malloc is not glibc's, or perhaps not");
	else
		ok(heap_pages() < heap / 4, "and of the heap: %d of %d pages",
		    heap_pages(), heap);
	free(blocks[BLOCKS - 1]);
	is_int(l->trim_at_ns, 0, "once");
	leave(0, MANY / 8);
	pfk_loop_free(l);

	/* As a successor, which has no memory of its own of that descriptor. */
	l = pfk__loop_new_with(NULL, &g);
	dup2(event, fds[MANY / 2]);
	pfk__io_start(l, &ios[0], fds[MANY / 2], PFK_READ, on_ready, NULL);
	ok(g.records[fds[MANY / 2]].generation > generation,
	    "a successor takes an event from before for stale");
	pfk__io_stop(&ios[0]);
	pfk_loop_free(l);
	pfk__ledger_close(&g);
	close(fds[MANY / 2]);
	close(event);
}

int
main(void)
{
	struct rlimit r;

	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	if (r.rlim_max < MANY + 64)
		skip_all("RLIMIT_NOFILE allows no %d descriptors", MANY);
	test_ledger(false);
	test_ledger(true);
	test_loop();
	return done_testing();
}

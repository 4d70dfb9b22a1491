/*
 * event/zone.c: items of a zone, and workers that are killed at each store of a
 * change: each change happens once, and the zone stays whole.
 */
#include <errno.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "echo.h"
#include "event/zone.h"
#include "service.h"
#include "tap.h"

#define MIB ((size_t)1 << 20)
#define POINTS_MAX 400

static struct pfk_zone *zone;

/* items */

static int
put(const char *key, const char *value, enum pfk_zone_when when,
    const struct pfk_zone_item *how)
{
	return pfk_zone_put(zone, key, strlen(key), value, strlen(value), when,
	    how);
}

static const char *
get(const char *key, struct pfk_zone_item *info)
{
	static char buf[64];
	struct pfk_zone_item it = {0};

	info = info != NULL ? info : &it;
	if (pfk_zone_get(zone, key, strlen(key), buf, sizeof(buf) - 1, info) ==
	    -1)
		return NULL;
	buf[info->len < sizeof(buf) ? info->len : sizeof(buf) - 1] = '\0';
	return buf;
}

static void
is_error(int rc, int error, const char *name)
{
	ok(rc == -1 && errno == error, "%s", name);
}

static void
test_items(void)
{
	struct pfk_zone_item first, second;
	struct pfk_zone_stats stats;

	zone = pfk_zone_open(NULL, MIB);
	is_str(get("k", NULL), NULL, "nothing");
	is_error(put("k", "v", PFK_ZONE_OLD, NULL), ENOENT, "replace nothing");
	is_int(put("k", "v", PFK_ZONE_NEW, NULL), 0, "add");
	is_error(put("k", "w", PFK_ZONE_NEW, NULL), EEXIST, "add again");
	is_str(get("k", &first), "v", "get");
	is_int(put("k", "w", PFK_ZONE_OLD, &(struct pfk_zone_item){.flags = 7}),
	    0, "replace");
	is_str(get("k", &second), "w", "its value");
	is_int(second.flags, 7, "its flags");
	ok(second.version != first.version, "another version");
	is_error(put("k", "x", PFK_ZONE_SAME, &first), ESTALE, "stale");
	is_int(put("k", "x", PFK_ZONE_SAME, &second), 0, "same version");
	is_int(pfk_zone_delete(zone, "k", 1), 0, "delete");
	is_error(pfk_zone_delete(zone, "k", 1), ENOENT, "delete again");
	is_error(put("", "v", PFK_ZONE_ALWAYS, NULL), EINVAL, "no key");
	put("a", "1", PFK_ZONE_ALWAYS, NULL);
	put("b", "2", PFK_ZONE_ALWAYS, NULL);
	pfk_zone_stats(zone, &stats);
	is_int(stats.items, 2, "two items");
	is_int(stats.bytes - stats.free_bytes, 2 * PFK__BLOCK_BYTES,
	    "in two blocks");
	pfk_zone_clear(zone);
	pfk_zone_stats(zone, &stats);
	ok(stats.items == 0 && stats.bytes == stats.free_bytes, "cleared");
}

static void
test_numbers(void)
{
	uint64_t n = 0;

	put("n", "5", PFK_ZONE_ALWAYS, NULL);
	is_int(pfk_zone_add(zone, "n", 1, 37, false, &n), 0, "add to a number");
	is_int(n, 42, "its new value");
	is_str(get("n", NULL), "42", "in decimal digits");
	pfk_zone_add(zone, "n", 1, 50, true, &n);
	is_str(get("n", NULL), "0", "not below 0");
	put("n", "18446744073709551615", PFK_ZONE_ALWAYS, NULL);
	pfk_zone_add(zone, "n", 1, 2, false, &n);
	is_int(n, 1, "it wraps");
	put("n", "4 x", PFK_ZONE_ALWAYS, NULL);
	is_error(pfk_zone_add(zone, "n", 1, 1, false, &n), EINVAL, "no number");
	is_error(pfk_zone_add(zone, "none", 4, 1, false, &n), ENOENT, "none");
}

static void
test_deadlines(void)
{
	struct pfk_zone_item it;

	put("d", "v", PFK_ZONE_ALWAYS, &(struct pfk_zone_item){.ttl_ns = 1});
	is_str(get("d", NULL), NULL, "expired");
	put("d", "v", PFK_ZONE_ALWAYS,
	    &(struct pfk_zone_item){.ttl_ns = 1000 * PFK_SECOND_NS});
	is_str(get("d", &it), "v", "not yet");
	ok(it.ttl_ns > 0 && it.ttl_ns <= 1000 * PFK_SECOND_NS, "its time");
	pfk_zone_touch(zone, "d", 1, 0);
	get("d", &it);
	is_int(it.ttl_ns, 0, "touched: for ever");
	pfk_zone_touch(zone, "d", 1, UINT64_MAX);
	ok(get("d", &it) != NULL && it.ttl_ns > UINT64_MAX / 2,
	    "the longest time is not over at once");
	is_error(pfk_zone_touch(zone, "none", 4, 0), ENOENT, "touch none");
}

/* shown values */

static struct {
	char bytes[20000];
	size_t len;
	int pieces, calls, error;
} shown;

static void
show(void *arg, const struct pfk_zone_item *it, const struct iovec *v, int n)
{
	(void)arg;
	shown.calls++;
	shown.len = it->len;
	shown.pieces = n;
	for (size_t at = 0; n > 0; at += v->iov_len, v++, n--)
		memcpy(shown.bytes + at, v->iov_base, v->iov_len);
}

static void
show_and_get(void *arg, const struct pfk_zone_item *it, const struct iovec *v,
    int n)
{
	(void)it;
	(void)v;
	(void)n;
	pfk_zone_clear(arg);
	shown.error = pfk_zone_get(arg, "k", 1, NULL, 0, NULL) == -1 ? errno
								     : 0;
}

static bool
shows(const char *key, const char *value, size_t len)
{
	shown.calls = 0;
	return pfk_zone_show(zone, key, strlen(key), show, NULL) == 0 &&
	    shown.calls == 1 && shown.len == len &&
	    memcmp(shown.bytes, value, len) == 0;
}

static void
test_shown(void)
{
	static char value[10000];

	pfk_zone_clear(zone);
	shown.calls = 0;
	is_error(pfk_zone_show(zone, "k", 1, show, NULL), ENOENT, "show none");
	is_int(shown.calls, 0, "no call");
	memset(value, 'v', sizeof(value));
	pfk_zone_put(zone, "k", 1, value, 5000, PFK_ZONE_ALWAYS, NULL);
	ok(shows("k", value, 5000), "show");
	is_int(shown.pieces, 1, "a value in one piece, where there is room");
	pfk_zone_put(zone, "l", 1, value, 5000, PFK_ZONE_ALWAYS, NULL);
	pfk_zone_delete(zone, "l", 1);
	pfk_zone_delete(zone, "k", 1);
	pfk_zone_put(zone, "k", 1, value, 10000, PFK_ZONE_ALWAYS, NULL);
	ok(shows("k", value, 10000) && shown.pieces == 1,
	    "in the room of two that lay side by side");
	put("empty", "", PFK_ZONE_ALWAYS, NULL);
	ok(shows("empty", "", 0), "show an empty value");
	pfk_zone_show(zone, "k", 1, show_and_get, zone);
	is_int(shown.error, EDEADLK, "a call on a zone inside of it");
	ok(shows("k", value, 10000), "and after it");
}

/* Free blocks lie apart: an item has a run for each. */
static void
test_pieces(void)
{
	static char value[20000];
	struct pfk_zone_stats before, after;
	char key[16];
	int wrong = 0, i;

	pfk_zone_clear(zone);
	pfk_zone_stats(zone, &before);
	for (i = 0; i < (int)zone->n_blocks; i++) {
		snprintf(key, sizeof(key), "key %d", i);
		put(key, "v", PFK_ZONE_ALWAYS, NULL);
	}
	for (i = 0; i < (int)zone->n_blocks; i += 2) {
		snprintf(key, sizeof(key), "key %d", i);
		pfk_zone_delete(zone, key, strlen(key));
	}
	memset(value, 'v', sizeof(value));
	for (i = 0; i < 10; i++) {
		snprintf(key, sizeof(key), "long %d", i);
		wrong += pfk_zone_put(zone, key, strlen(key), value,
			     sizeof(value) - (size_t)i, PFK_ZONE_ALWAYS,
			     NULL) != 0;
		wrong += !shows(key, value, sizeof(value) - (size_t)i);
	}
	is_int(wrong, 0, "values in many pieces");
	ok(shown.pieces > 64, "%d pieces", shown.pieces);
	pfk_zone_clear(zone);
	pfk_zone_stats(zone, &after);
	is_int((int64_t)after.free_bytes, (int64_t)before.free_bytes,
	    "all blocks are free again");
}

/* More than there is room for; one of them is read again and again. */
static void
test_eviction(void)
{
	static char value[5000], got[5000];
	struct pfk_zone_stats stats;
	char key[16];
	int wrong = 0;

	pfk_zone_clear(zone);
	put("kept", "v", PFK_ZONE_ALWAYS, NULL);
	for (int i = 0; i < 2000; i++) {
		size_t len = 1 + (size_t)i * 7919 % sizeof(value);

		snprintf(key, sizeof(key), "key %d", i);
		memset(value, i, sizeof(value));
		wrong += pfk_zone_put(zone, key, strlen(key), value, len,
			     PFK_ZONE_ALWAYS, NULL) != 0;
		wrong += pfk_zone_get(zone, key, strlen(key), got, sizeof(got),
			     NULL) != 0;
		wrong += memcmp(got, value, len) != 0;
		wrong += !shows(key, value, len);
		wrong += get("kept", NULL) == NULL;
	}
	is_int(wrong, 0, "2,000 items: each is there once it is put");
	pfk_zone_stats(zone, &stats);
	ok(stats.evicted > 100, "%ju were evicted", (uintmax_t)stats.evicted);
	is_error(pfk_zone_put(zone, "k", 1, value, MIB, PFK_ZONE_ALWAYS, NULL),
	    E2BIG, "too large");
}

/* Lengths for which a sum or a number of blocks overflows. */
static void
test_lengths(void)
{
	size_t lens[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - PFK__BLOCK_BYTES,
	    SIZE_MAX / 2, (size_t)UINT32_MAX + 1, (size_t)UINT32_MAX * 248};

	put("kept", "v", PFK_ZONE_ALWAYS, NULL);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		is_error(pfk_zone_put(zone, "k", 1, "v", lens[i],
			     PFK_ZONE_ALWAYS, NULL),
		    E2BIG, "a value of that length");
		is_error(pfk_zone_put(zone, "k", lens[i], "v", 1,
			     PFK_ZONE_ALWAYS, NULL),
		    EINVAL, "a key of that length");
	}
	is_str(get("kept", NULL), "v", "no other item was evicted for it");
}

/* Whether a descriptor, which a worker would have, can shorten the file. */
static bool
can_truncate(const char *path)
{
	struct stat st, it;
	bool can = false;

	if (stat(path, &st) == -1)
		return true;
	for (int fd = 3; fd < 64; fd++) {
		if (fstat(fd, &it) == 0 && it.st_ino == st.st_ino &&
		    it.st_dev == st.st_dev)
			can = can || ftruncate(fd, 0) == 0;
	}
	return can;
}

static void
test_file(void)
{
	char path[] = "/tmp/unit-zone-XXXXXX";
	int fd = mkstemp(path);

	close(fd);
	zone = pfk_zone_open(path, MIB);
	ok(zone != NULL, "a file");
	ok(!can_truncate(path), "workers cannot truncate it");
	put("k", "v", PFK_ZONE_ALWAYS, NULL);
	zone = pfk_zone_open(path, MIB);
	is_str(get("k", NULL), "v", "opened again");
	ok(pfk_zone_open(path, 2 * MIB) == NULL && errno == EEXIST,
	    "not with another size");
	chmod(path, 0644);
	ok(pfk_zone_open(path, MIB) == NULL && errno == EPERM,
	    "not if others may read it");
	unlink(path);
	ok(symlink("/dev/null", path) == 0 && pfk_zone_open(path, MIB) == NULL,
	    "no symbolic link");
	unlink(path);
}

/* kills */

static volatile uint64_t *die_at;
static struct pfk_sockopts options;
static struct pfk_listen want = {.kind = PFK_TCP, .options = &options};

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	pfk_receive_until(tr, '\n', 64);
	return tr;
}

static void *
resumed(struct pfk_transport *tr, void *arg, const void *buf, size_t len)
{
	(void)arg;
	(void)buf;
	(void)len;
	return tr;
}

/* Each line makes five changes, and its answer tells their results. */
static void
received(void *self, const void *buf, size_t len)
{
	uint64_t n = 0, m = 0;
	char text[64];
	int added, deleted;

	(void)buf;
	(void)len;
	pfk_zone_add(zone, "n", 1, 1, false, &n);
	added = put("new", "v", PFK_ZONE_NEW, NULL);
	pfk_zone_add(zone, "n", 1, 10, false, &m);
	put("long", "a value", PFK_ZONE_ALWAYS, NULL);
	deleted = pfk_zone_delete(zone, "new", 3);
	snprintf(text, sizeof(text), "%ju %d %ju %d\n", (uintmax_t)n, added,
	    (uintmax_t)m, deleted);
	pfk_write(self, text, strlen(text));
}

static const struct pfk_protocol protocol = {.connection_made = made,
    .data_received = received,
    .connection_resumed = resumed,
    .survives = true};

static int
worker_init(struct pfk_worker *w, void *arg)
{
	int rc = echo_serve(w, &want, &protocol);

	(void)arg;
	pfk_die_at(pfk_worker_loop(w), *die_at);
	return rc;
}

static const struct pfk_hooks hooks = {.worker_init = worker_init};

/* False: the worker did not die. */
static bool
kill_at(uint64_t point)
{
	const char *expected = "1 0 11 0\n12 0 22 0\n23 0 33 0\n";
	struct pfk_zone_stats stats;
	char buf[64] = "";
	size_t n = 0;
	uint16_t port;
	int fd;

	*die_at = point;
	pfk_zone_clear(zone);
	put("n", "0", PFK_ZONE_ALWAYS, NULL);
	service_start(&hooks, 1);
	service_wait(0, "ready: 1 worker");
	port = service_port();
	fd = service_connect(port, 0);
	send(fd, "\n\n", 2, MSG_NOSIGNAL);
	send(fd, "\n", 1, MSG_NOSIGNAL);
	while (n < strlen(expected)) {
		ssize_t got = recv(fd, buf + n, strlen(expected) - n, 0);

		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close(fd);
	is_str(buf, expected, "point %u: each change once", (unsigned)point);
	is_int(service_end(SIGTERM), 0, "exit status");
	pfk_zone_stats(zone, &stats);
	ok(stats.items == 2 &&
		stats.bytes - stats.free_bytes == 2 * PFK__BLOCK_BYTES,
	    "point %u: no block is lost", (unsigned)point);
	return service_count("killed by signal 9") > 0;
}

/* As a hostile worker, which has died with the lock: its zone is still a zone. */
static void
test_hostile(void)
{
	struct pfk_zone_stats before, after;
	struct pfk__zone_stripe *s;
	uint32_t n;

	zone = pfk_zone_open(NULL, MIB);
	s = zone->stripes;
	n = zone->n_buckets;
	pfk_zone_stats(zone, &before);
	zone->head->stripes = zone->head->blocks = zone->head->buckets = ~0u;
	for (uint32_t k = 0; k < n; k++)
		zone->buckets[k] = k % 2 == 0 ? ~0u : 1 + k;
	/* A round, by an item's blocks and by a bucket's items. */
	for (uint32_t b = 1; b <= zone->n_blocks; b++) {
		pfk__zone_block(zone, 0, b)->run =
		    (struct pfk__zone_run){b % 3 == 0 ? b : ~0u - b,
			b % 2 == 0 ? 1 : ~0u - b};
		pfk__zone_block(zone, 0, b)->link = b;
	}
	*s = (struct pfk__zone_stripe){.owner = 7 + 1,
	    .free = ~0u,
	    .n_free = ~0u,
	    .hand = ~0u};
	pfk__zones_release(7);
	pfk_zone_stats(zone, &after);
	is_int((int64_t)s->owner, 0, "the lock is given back");
	ok(after.items <= n && after.free_bytes <= before.free_bytes,
	    "a hostile worker's numbers are not believed");
	pfk_zone_clear(zone);
	pfk_zone_stats(zone, &after);
	is_int((int64_t)after.free_bytes, (int64_t)before.free_bytes,
	    "it can be cleared");
	is_int(put("key", "value", PFK_ZONE_ALWAYS, NULL), 0, "and used");
	is_str(get("key", NULL), "value", "again");
}

int
main(void)
{
	uint64_t point = 1;

	die_at = mmap(NULL, sizeof(*die_at), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (die_at == MAP_FAILED)
		skip_all("no shared memory");
	ok(pfk_zone_open(NULL, 1000) == NULL && errno == EINVAL, "too small");
	test_items();
	test_numbers();
	test_deadlines();
	test_shown();
	test_pieces();
	test_eviction();
	test_lengths();
	test_file();
	test_hostile();
	zone = pfk_zone_open(NULL, MIB);
	pfk_sockopts_init(&options);
	pfk_addr_parse(&want.addr, "127.0.0.1", 0);
	while (point < POINTS_MAX && kill_at(point))
		point++;
	ok(point > 100 && point < POINTS_MAX, "%u points", (unsigned)point);
	return done_testing();
}

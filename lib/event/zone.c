/*
 * zone.c: the calls on a zone's items.
 *
 * Layer: event.
 */
#include "event/zone.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/misuse.h"
#include "event/ledger.h"
#include "event/loop.h"

#define VECTORS 64

/* A key, and its place. */
struct place {
	const void *key;
	size_t len;
	uint64_t hash;
	uint32_t stripe;
};

static uint64_t
hash_of(uint64_t seed, const void *key, size_t len)
{
	const unsigned char *p = key;
	uint64_t h = seed ^ (len * UINT64_C(0x9e3779b97f4a7c15));

	for (size_t i = 0; i < len; i++) {
		h = (h ^ p[i]) * UINT64_C(0xff51afd7ed558ccd);
		h ^= h >> 29;
	}
	h *= UINT64_C(0xc4ceb9fe1a85ec53);
	return h ^ (h >> 33);
}

static int
locate(const struct pfk_zone *z, struct place *p, const void *key, size_t len)
{
	if (pfk__zone_is_shown(z))
		return -1;
	/* No line: a client may have sent the key. */
	if (len == 0 || len > PFK_ZONE_KEY_MAX) {
		errno = EINVAL;
		return -1;
	}
	*p = (struct place){key, len, hash_of(z->seed, key, len), 0};
	p->stripe = (uint32_t)(p->hash & 0xffff) % z->n_stripes;
	return 0;
}

static struct pfk__zone_item *
item_at(const struct pfk_zone *z, const struct place *p, const uint32_t *at)
{
	return pfk__zone_block(z, p->stripe, *at);
}

static bool
has_key(const struct pfk_zone *z, const struct place *p, uint32_t item)
{
	const struct pfk__zone_item *it = pfk__zone_block(z, p->stripe, item);
	char key[PFK_ZONE_KEY_MAX];

	if (it->hash != p->hash || it->key_len != p->len)
		return false;
	pfk__zone_copy(z, p->stripe, item, 0, key, p->len);
	return memcmp(key, p->key, p->len) == 0;
}

/* Where the item's number stands, or NULL; one that has expired is taken out. */
static uint32_t *
find(struct pfk_zone *z, const struct place *p)
{
	uint32_t *at = pfk__zone_bucket(z, p->stripe, p->hash);

	while (*at != 0 && !has_key(z, p, *at))
		at = &item_at(z, p, at)->link;
	if (*at == 0)
		return NULL;
	if (item_at(z, p, at)->deadline_ns != 0 &&
	    item_at(z, p, at)->deadline_ns <= pfk__clock_now()) {
		pfk__zone_unlink(z, p->stripe, at);
		return NULL;
	}
	item_at(z, p, at)->used = 1;
	return at;
}

static uint64_t
deadline(uint64_t ttl_ns)
{
	uint64_t now = pfk__clock_now();

	if (ttl_ns == 0)
		return 0;
	/* A time that no clock reaches is the latest. */
	return ttl_ns < UINT64_MAX - now ? now + ttl_ns : UINT64_MAX;
}

static int
result_of(const struct pfk__deed *d, uint64_t *result)
{
	if (result != NULL)
		*result = d->result;
	if (d->error == 0)
		return 0;
	errno = d->error;
	return -1;
}

static struct pfk__deed
deed_of(const struct pfk_zone *z, const struct place *p,
    enum pfk__deed_kind kind)
{
	return (struct pfk__deed){.hash = p->hash,
	    .kind = (int32_t)kind,
	    .zone = z->number,
	    .stripe = p->stripe};
}

/* The item takes its place by one store; an old one's blocks are freed. */
static void
swap_in(struct pfk_zone *z, const struct place *p, struct pfk__deed *d)
{
	struct pfk__zone_item *it = pfk__zone_block(z, p->stripe, d->item);
	uint32_t *at = find(z, p), *bucket, old = at != NULL ? *at : 0;

	bucket = pfk__zone_bucket(z, p->stripe, p->hash);
	it->link = at != NULL ? item_at(z, p, at)->link : *bucket;
	pfk__deed_begin(z, d);
	if (at == NULL)
		at = bucket;
	*at = d->item;
	if (d->kind != PFK__DEED_NONE)
		pfk__deed_end(z);
	z->stripes[p->stripe].items += old == 0;
	pfk__zone_free(z, p->stripe, old);
}

/* Nothing has changed, which is a result, too. */
static void
fail(struct pfk_zone *z, struct pfk__deed *d, int error)
{
	d->error = error;
	pfk__deed_begin(z, d);
	pfk__deed_end(z);
}

static int
check(struct pfk_zone *z, const struct place *p, enum pfk_zone_when when,
    uint64_t version)
{
	const uint32_t *at = find(z, p);

	if (at != NULL && when == PFK_ZONE_NEW)
		return EEXIST;
	if (at == NULL && (when == PFK_ZONE_OLD || when == PFK_ZONE_SAME))
		return ENOENT;
	if (at != NULL && when == PFK_ZONE_SAME &&
	    item_at(z, p, at)->version != version)
		return ESTALE;
	return 0;
}

static uint32_t
make(struct pfk_zone *z, const struct place *p, const void *value, size_t len,
    uint64_t deadline_ns, uint32_t flags)
{
	uint32_t item = pfk__zone_make(z, p->stripe, p->key, p->len, value,
	    len);
	struct pfk__zone_item *it;

	if (item == 0)
		return 0;
	it = pfk__zone_block(z, p->stripe, item);
	it->hash = p->hash;
	it->version = ++z->stripes[p->stripe].versions;
	it->deadline_ns = deadline_ns;
	it->flags = flags;
	it->used = 1;
	return item;
}

int
pfk_zone_put(struct pfk_zone *z, const void *key, size_t key_len,
    const void *value, size_t len, enum pfk_zone_when when,
    const struct pfk_zone_item *how)
{
	static const struct pfk_zone_item none;
	struct place p;
	struct pfk__deed d;
	int error;

	if ((unsigned)when > PFK_ZONE_SAME)
		return pfk__misuse(EINVAL,
		    "pfk_zone_put: `when` is %d, no enum pfk_zone_when",
		    (int)when);
	if (locate(z, &p, key, key_len) == -1)
		return -1;
	if (pfk__deed_done(z, PFK__DEED_PUT, p.hash, &d))
		return result_of(&d, NULL);
	how = how != NULL ? how : &none;
	d = deed_of(z, &p, PFK__DEED_PUT);
	pfk__stripe_lock(z, p.stripe);
	error = check(z, &p, when, how->version);
	if (error == 0) {
		d.item = make(z, &p, value, len, deadline(how->ttl_ns),
		    how->flags);
		/* Making it may have evicted the other one. */
		error = d.item == 0 ? E2BIG : check(z, &p, when, how->version);
		if (error != 0)
			pfk__zone_free(z, p.stripe, d.item);
	}
	if (error == 0) {
		swap_in(z, &p, &d);
	} else {
		d.item = 0;
		fail(z, &d, error);
	}
	pfk__stripe_unlock(z, p.stripe);
	return result_of(&d, NULL);
}

/* -1: it is no number. */
static int
number_of(const struct pfk_zone *z, const struct place *p, const uint32_t *at,
    uint64_t *n)
{
	const struct pfk__zone_item *it = item_at(z, p, at);
	char text[24] = "", *end;

	if (it->len == 0 || it->len > 20)
		return -1;
	pfk__zone_copy(z, p->stripe, *at, p->len, text, it->len);
	errno = 0;
	*n = strtoull(text, &end, 10);
	return text[0] < '0' || text[0] > '9' || errno != 0 ||
		end != text + it->len
	    ? -1
	    : 0;
}

/* 0, or an error; the new item is in d. */
static int
add(struct pfk_zone *z, const struct place *p, uint64_t n, bool down,
    struct pfk__deed *d)
{
	const uint32_t *at = find(z, p);
	struct pfk__zone_item *it;
	char text[24];
	int len;

	if (at == NULL)
		return ENOENT;
	if (number_of(z, p, at, &d->result) == -1)
		return EINVAL;
	if (!down)
		d->result += n;
	else
		d->result = d->result > n ? d->result - n : 0;
	it = item_at(z, p, at);
	len = snprintf(text, sizeof(text), "%ju", (uintmax_t)d->result);
	d->item = make(z, p, text, (size_t)len, it->deadline_ns, it->flags);
	return d->item == 0 ? E2BIG : 0;
}

int
pfk_zone_add(struct pfk_zone *z, const void *key, size_t key_len, uint64_t n,
    bool down, uint64_t *result)
{
	struct place p;
	struct pfk__deed d;
	int error;

	if (locate(z, &p, key, key_len) == -1)
		return -1;
	if (pfk__deed_done(z, PFK__DEED_ADD, p.hash, &d))
		return result_of(&d, result);
	d = deed_of(z, &p, PFK__DEED_ADD);
	pfk__stripe_lock(z, p.stripe);
	error = add(z, &p, n, down, &d);
	if (error == 0)
		swap_in(z, &p, &d);
	else
		fail(z, &d, error);
	pfk__stripe_unlock(z, p.stripe);
	return result_of(&d, result);
}

int
pfk_zone_delete(struct pfk_zone *z, const void *key, size_t key_len)
{
	struct place p;
	struct pfk__deed d;
	uint32_t *at;

	if (locate(z, &p, key, key_len) == -1)
		return -1;
	if (pfk__deed_done(z, PFK__DEED_DELETE, p.hash, &d))
		return result_of(&d, NULL);
	d = deed_of(z, &p, PFK__DEED_DELETE);
	pfk__stripe_lock(z, p.stripe);
	at = find(z, &p);
	if (at == NULL) {
		fail(z, &d, ENOENT);
	} else {
		d.item = *at;
		pfk__deed_begin(z, &d);
		*at = item_at(z, &p, at)->link;
		pfk__deed_end(z);
		z->stripes[p.stripe].items--;
		pfk__zone_free(z, p.stripe, d.item);
	}
	pfk__stripe_unlock(z, p.stripe);
	return result_of(&d, NULL);
}

static struct pfk_zone_item
info_of(const struct pfk__zone_item *it)
{
	uint64_t now = it->deadline_ns != 0 ? pfk__clock_now() : 0;

	return (struct pfk_zone_item){it->version,
	    it->deadline_ns > now ? it->deadline_ns - now : 0, it->flags,
	    it->len};
}

int
pfk_zone_get(struct pfk_zone *z, const void *key, size_t key_len, void *buf,
    size_t room, struct pfk_zone_item *info)
{
	const struct pfk__zone_item *it;
	const uint32_t *at;
	struct place p;

	if (locate(z, &p, key, key_len) == -1)
		return -1;
	pfk__stripe_lock(z, p.stripe);
	at = find(z, &p);
	if (at != NULL) {
		it = item_at(z, &p, at);
		pfk__zone_copy(z, p.stripe, *at, p.len, buf,
		    it->len < room ? it->len : room);
		if (info != NULL)
			*info = info_of(it);
	}
	pfk__stripe_unlock(z, p.stripe);
	errno = ENOENT;
	return at != NULL ? 0 : -1;
}

int
pfk_zone_show(struct pfk_zone *z, const void *key, size_t key_len,
    void (*show)(void *arg, const struct pfk_zone_item *item,
	const struct iovec *value, int n),
    void *arg)
{
	struct iovec few[VECTORS], *value = few;
	struct pfk_zone_item item;
	const uint32_t *at;
	struct place p;

	if (locate(z, &p, key, key_len) == -1)
		return -1;
	pfk__stripe_lock(z, p.stripe);
	errno = ENOENT;
	at = find(z, &p);
	if (at != NULL && item_at(z, &p, at)->runs > VECTORS)
		value = reallocarray(NULL, item_at(z, &p, at)->runs,
		    sizeof(*value));
	if (at != NULL && value != NULL) {
		item = info_of(item_at(z, &p, at));
		z->shown = true;
		show(arg, &item, value,
		    pfk__zone_vectors(z, p.stripe, *at, value));
		z->shown = false;
	}
	pfk__stripe_unlock(z, p.stripe);
	if (value != few)
		free(value);
	return at != NULL && value != NULL ? 0 : -1;
}

int
pfk_zone_touch(struct pfk_zone *z, const void *key, size_t key_len,
    uint64_t ttl_ns)
{
	struct place p;
	uint32_t *at;

	if (locate(z, &p, key, key_len) == -1)
		return -1;
	pfk__stripe_lock(z, p.stripe);
	at = find(z, &p);
	if (at != NULL)
		item_at(z, &p, at)->deadline_ns = deadline(ttl_ns);
	pfk__stripe_unlock(z, p.stripe);
	errno = ENOENT;
	return at != NULL ? 0 : -1;
}

/* shares */

#define SHARES_MAX 2048

struct share {
	uint64_t stamp;
	uint32_t seat;
	uint32_t n;
};

static bool
counts(const struct pfk_zone *z, const struct share *s)
{
	return s->seat < PFK__SEATS && s->seat != z->seat - 1 &&
	    __atomic_load_n(&z->seats[s->seat], __ATOMIC_ACQUIRE) == s->stamp;
}

/* Those of the others that count: how many there are, and their sum. */
static size_t
list_shares(struct pfk_zone *z, const struct place *p, struct share *list,
    uint64_t *sum)
{
	const uint32_t *at = find(z, p);
	const struct pfk__zone_item *it;
	size_t n = 0, all;

	*sum = 0;
	if (at == NULL)
		return 0;
	it = item_at(z, p, at);
	all = it->len / sizeof(*list) < SHARES_MAX ? it->len / sizeof(*list)
						   : SHARES_MAX - 1;
	pfk__zone_copy(z, p->stripe, *at, p->len, list, all * sizeof(*list));
	for (size_t i = 0; i < all; i++) {
		if (counts(z, &list[i])) {
			*sum += list[i].n;
			list[n++] = list[i];
		}
	}
	return n;
}

int
pfk__zone_share(struct pfk_zone *z, const void *key, size_t key_len, uint32_t n,
    uint64_t max)
{
	static struct share list[SHARES_MAX];
	struct pfk__deed d;
	struct place p;
	uint64_t others;
	uint32_t *at;
	size_t len;
	int rc = 0;

	if (z->seat == 0 || locate(z, &p, key, key_len) == -1)
		return 0;
	d = deed_of(z, &p, PFK__DEED_NONE);
	pfk__stripe_lock(z, p.stripe);
	len = list_shares(z, &p, list, &others);
	if (max > 0 && others + n > max) {
		errno = EDQUOT;
		rc = -1;
	} else if (n == 0 && len == 0) {
		at = find(z, &p);
		if (at != NULL)
			pfk__zone_unlink(z, p.stripe, at);
	} else {
		if (n > 0)
			list[len++] = (struct share){z->stamp, z->seat - 1, n};
		d.item = make(z, &p, list, len * sizeof(*list), 0, 0);
		if (d.item != 0)
			swap_in(z, &p, &d);
	}
	pfk__stripe_unlock(z, p.stripe);
	return rc;
}

/*
 * timer.c: call later, call soon, and in one transaction.
 *
 * Layer: event.
 */
#include "event/timer.h"

#include <assert.h>
#include <stdlib.h>

#include "base/misuse.h"
#include "event/fork.h"
#include "event/ledger.h"
#include "event/loop.h"

bool
pfk__once_begin(struct pfk_loop *l)
{
	if (l->tx_end == NULL || l->tx_depth > 0)
		return false;
	pfk__point(l->ledger);
	l->tx_depth++;
	l->tx_kind = PFK__TX_ONCE;
	return true;
}

void
pfk__once_end(struct pfk_loop *l)
{
	l->tx_end(l);
}

/* Add t to its loop's timers.  -1: it is freed. */
static int
arm(struct pfk_timer *t, uint64_t ns)
{
	uint64_t now;

	/* Between two turns of another loop's, much time may have passed. */
	if (!t->loop->running)
		t->loop->now = pfk__clock_now();
	now = t->loop->now;
	/* At least 1, so that one added by a timer waits for the next turn. */
	ns = ns > 0 ? ns : 1;
	t->node.key = ns < UINT64_MAX - now ? now + ns : UINT64_MAX;
	if (pfk__heap_add(&t->loop->timers, &t->node) == 0)
		return 0;
	free(t);
	return -1;
}

/* Take t out of its loop's timers, and out of the caller's handle. */
static void
disarm(struct pfk_timer *t)
{
	pfk__heap_remove(&t->loop->timers, &t->node);
	if (t->handle != NULL)
		*t->handle = NULL;
}

static void
disarm_by(struct pfk_timer **handle)
{
	/* A copy of the handle would not have been cleared by the callback. */
	assert((*handle)->handle == handle);
	disarm(*handle);
}

int
pfk_timer_set(struct pfk_timer **t, struct pfk_loop *l, uint64_t ns,
    void (*cb)(void *arg), void *arg)
{
	struct pfk_timer *timer = *t;

	if (pfk__need_callback("pfk_timer_set", cb != NULL) == -1)
		return -1;
	/* The memory of a pending one is kept: setting it again cannot fail. */
	if (timer != NULL)
		disarm_by(t);
	else if ((timer = malloc(sizeof(*timer))) == NULL)
		return -1;
	*timer = (struct pfk_timer){.loop = l, .cb = cb, .arg = arg};
	if (arm(timer, ns) == -1)
		return -1;
	timer->handle = t;
	*t = timer;
	return 0;
}

int
pfk_later(struct pfk_loop *l, uint64_t ns, void (*cb)(void *arg), void *arg)
{
	struct pfk_timer *t;

	if (pfk__need_callback("pfk_later", cb != NULL) == -1)
		return -1;
	t = malloc(sizeof(*t));
	if (t == NULL)
		return -1;
	*t = (struct pfk_timer){.loop = l, .cb = cb, .arg = arg};
	return arm(t, ns);
}

void
pfk_timer_cancel(struct pfk_timer **t)
{
	struct pfk_timer *timer = *t;

	if (timer == NULL)
		return;
	disarm_by(t);
	free(timer);
}

bool
pfk__timers_next(const struct pfk_loop *l, uint64_t *deadline)
{
	const struct pfk__heap_node *n = pfk__heap_first(&l->timers);

	if (n == NULL)
		return false;
	*deadline = n->key;
	return true;
}

void
pfk__timers_run(struct pfk_loop *l)
{
	struct pfk__heap_node *n;

	while ((n = pfk__heap_first(&l->timers)) != NULL && n->key <= l->now) {
		struct pfk_timer t = *(struct pfk_timer *)n;

		assert(t.loop == l && t.cb != NULL);
		disarm((struct pfk_timer *)n);
		free(n);
		pfk__once(l, t.cb, t.arg);
		if (pfk__forked(l))
			return;
		pfk__callback_ends(l);
	}
}

void
pfk__timers_free(struct pfk_loop *l)
{
	struct pfk__heap_node *n;

	while ((n = pfk__heap_first(&l->timers)) != NULL) {
		disarm((struct pfk_timer *)n);
		free(n);
	}
	pfk__heap_clear(&l->timers);
}

/* soon */

void
pfk__soon_add(struct pfk_loop *l, struct pfk__soon *s, void (*cb)(void *arg),
    void *arg)
{
	assert(cb != NULL);
	if (s->order != 0)
		return;
	s->cb = cb;
	s->arg = arg;
	s->order = l->soon_order++;
	TAILQ_INSERT_TAIL(&l->soon, s, link);
}

void
pfk__soon_cancel(struct pfk_loop *l, struct pfk__soon *s)
{
	if (s->order == 0)
		return;
	TAILQ_REMOVE(&l->soon, s, link);
	s->order = 0;
}

/* A public soon-callback: the entry is its own memory. */
struct soon_call {
	struct pfk__soon soon; /* first */
	struct pfk_loop *loop;
	void (*cb)(void *arg);
	void *arg;
};

static void
call(void *arg)
{
	struct soon_call c = *(struct soon_call *)arg;

	free(arg);
	pfk__once(c.loop, c.cb, c.arg);
}

int
pfk_soon(struct pfk_loop *l, void (*cb)(void *arg), void *arg)
{
	struct soon_call *c;

	if (pfk__need_callback("pfk_soon", cb != NULL) == -1)
		return -1;
	c = malloc(sizeof(*c));
	if (c == NULL)
		return -1;
	*c = (struct soon_call){.loop = l, .cb = cb, .arg = arg};
	pfk__soon_add(l, &c->soon, call, c);
	return 0;
}

void
pfk__soon_free(struct pfk_loop *l)
{
	struct pfk__soon *s;

	while ((s = TAILQ_FIRST(&l->soon)) != NULL) {
		/* The analyzer thinks it is still listed. NOLINTNEXTLINE */
		pfk__soon_cancel(l, s);
		if (s->cb == call)
			free(s);
	}
}

/*
 * run.c: drive the loop until a call has ended, for client programs.
 *
 * Layer: stream.
 */
#include <errno.h>

#include "base/misuse.h"
#include "event/loop.h"
#include "stream/stream.h"

struct deadline {
	struct pfk_loop *loop;
	struct pfk_timer *timer;
	bool passed;
};

static void
on_deadline(void *arg)
{
	struct deadline *d = arg;

	d->passed = true;
	pfk_loop_stop(d->loop);
}

int
pfk_run_until(struct pfk_loop *l, struct pfk_stream *s, uint64_t deadline_ns,
    struct pfk_result *r)
{
	struct deadline d = {.loop = l};
	uint64_t now = pfk_loop_now(l);
	int rc = 0;

	if (s->sync == PFK__SYNC_NONE)
		return pfk__misuse(EINVAL,
		    "pfk_run_until: the stream has no call without a "
		    "callback");
	if (s->sync == PFK__SYNC_PENDING) {
		if (deadline_ns != UINT64_MAX &&
		    pfk_timer_set(&d.timer, l,
			deadline_ns > now ? deadline_ns - now : 0, on_deadline,
			&d) == -1)
			return -1;
		s->running = true;
		rc = pfk__loop_run("pfk_run_until", l);
		s->running = false;
		pfk_timer_cancel(&d.timer);
	}
	if (s->sync == PFK__SYNC_DONE) {
		*r = pfk__stream_fetch(s);
		return 0;
	}
	/* A callback may have closed it. */
	pfk__stream_release(s);
	if (rc == 0)
		errno = d.passed ? ETIMEDOUT : ECANCELED;
	return -1;
}

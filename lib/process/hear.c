/*
 * hear.c: receive the workers' messages, and check them.
 *
 * Layer: process.  A worker that sends a wrong message is broken: it is killed
 * and replaced, and the other workers go on.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/received.h"
#include "process/history.h"
#include "process/kill.h"
#include "process/lend.h"
#include "process/listing.h"
#include "process/master.h"
#include "process/takeover.h"

/* More than a keeper can see while its master is stopped. */
#define UNTOLD_MAX 1000000

void
pfk__hear_no_more(struct pfk__child *c)
{
	pfk_io_cancel(&c->io);
	if (c->channel != -1)
		pfk__close_emptied(c->channel);
	c->channel = -1;
}

/*
 * Kill it first, because it would take the end of its channel for the master's
 * death.
 */
static void
end(struct pfk__child *c)
{
	pfk__child_signal(c, SIGKILL);
	pfk__hear_no_more(c);
}

/* Kill a worker that sent a wrong message, so that it is replaced. */
static void
distrust(struct pfk__child *c, const char *why)
{
	pfk_log(PFK_ERROR, "worker %d (%d) sent %s; killing it", c->slot,
	    (int)pfk__child_pid(c), why);
	snprintf(c->cause, sizeof(c->cause),
	    "it sent %s, so the master killed it", why);
	end(c);
}

/* It knocks again each 50 ms. */
static void
log_refusal(const struct pfk__child *c, const char *what, const char *cure)
{
	if (!c->master->has_refused)
		pfk_log(PFK_WARNING,
		    "worker %d (%d) of the master before serves on, and is not "
		    "taken over yet: %s: %s%s",
		    c->slot, (int)pfk__child_pid(c), what, strerror(errno),
		    cure);
	c->master->has_refused = true;
}

/*
 * Fail this boot for a cause outside the worker.  An orphan has connections: it is
 * let go, and asks again.
 */
static void
give_up(struct pfk__child *c, const char *what)
{
	const char *cure = errno == EMFILE
	    ? "; raise the limit (ulimit -n, or LimitNOFILE= of systemd)"
	    : "";

	if (c->orphan && c->phase == PFK__PHASE_BOOTING &&
	    c->master->stop == PFK__STOP_NONE &&
	    c->master->stop_next == PFK__STOP_NONE) {
		log_refusal(c, what, cure);
		c->refused = true;
		return;
	}
	c->fail_status = EX_OSERR;
	snprintf(c->fail_text, sizeof(c->fail_text), "%s: %s%s", what,
	    strerror(errno), cure);
	end(c);
}

/*
 * The time that the worker says, because the master may read the messages of two
 * workers in another order.  Only those of the last master had opened a listener
 * before they were started here.
 */
static uint64_t
opened(const struct pfk__child *c, const struct pfk__message *msg)
{
	uint64_t now = pfk__clock_now();

	if (msg->ns == 0 || msg->ns > now)
		return now;
	return msg->ns < c->started_ns && !c->orphan ? c->started_ns : msg->ns;
}

static void
take_lent(struct pfk__child *c, const struct pfk__message *msg, int *fd)
{
	struct pfk__custody *custody = &c->master->custody;
	const char *wrong;
	struct pfk__lent l = {.slot = c->slot,
	    .kind = (enum pfk_kind)msg->kind,
	    .asked = msg->asked,
	    .bound = msg->bound,
	    .fd = *fd,
	    .lender = c->generation,
	    .user = c->generation,
	    .opened_ns = opened(c, msg)};

	errno = 0;
	wrong = pfk__lend_check(custody, msg, *fd);
	if (wrong != NULL && (errno == ENOMEM || errno == ENOBUFS))
		give_up(c, "cannot look at a listener of it");
	else if (wrong != NULL)
		distrust(c, wrong);
	else if (pfk__custody_add(custody, &l) == 0)
		*fd = -1;
	else
		give_up(c, "cannot keep a listener of it");
}

/* A signal from outside tells it to end: it serves until its successor does. */
static void
leaves(struct pfk__child *c)
{
	struct pfk__master *m = c->master;

	if (m->stop != PFK__STOP_NONE || m->places[c->slot].serving != c)
		return;
	pfk_log(PFK_INFO,
	    "worker %d (%d) got a stop signal from outside; starting its "
	    "successor, which takes its connections over",
	    c->slot, (int)pfk__child_pid(c));
	m->places[c->slot].restarts++;
	pfk__history_count(m, c->slot, PFK__COUNT_RESTARTS_LEFT);
	pfk__master_step(m, c->slot, PFK__SLOT_LEFT);
}

/*
 * The keeper has seen n deaths.  What it could not tell, because the channel was
 * full while the master was stopped, it has logged itself.
 */
static void
count_untold(struct pfk__child *c, uint64_t n)
{
	uint64_t untold = 0;

	if (c->deaths_told >= 0 && n > (uint64_t)c->deaths_told)
		untold = n - (uint64_t)c->deaths_told;
	if (n <= INT32_MAX)
		c->deaths_told = (int64_t)n;
	/* Input: a worker may lie about its own slot. */
	for (; untold > 0 && untold <= UNTOLD_MAX; untold--) {
		c->master->places[c->slot].restarts++;
		pfk__history_restart(c->master, c, SIGKILL);
	}
}

/* It says its pid, and that nothing of an earlier one's doing is under way. */
static void
started(struct pfk__child *c, const struct pfk__message *msg)
{
	bool first = c->pid == 0 && c->incarnation++ == 0;

	count_untold(c, msg->ns);
	if (!pfk__child_identify(c, msg->pid)) {
		distrust(c, "a pid that is not its own");
		return;
	}
	c->cause[0] = '\0';
	c->started_ns = pfk_loop_now(c->master->loop);
	pfk__pulse_restart(&c->pulse, pfk_loop_now(c->master->loop));
	pfk_log(PFK_INFO, "started worker %d (%d)", c->slot, msg->pid);
	/* Killed before it was known, and not by a keeper. */
	if (c->pulse.page->last != 0)
		pfk__child_signal(c, SIGKILL);
	else if (!first)
		pfk__child_repeat(c);
}

static void
heard_of_death(struct pfk__child *c, const struct pfk__message *msg)
{
	struct pfk__page *page = c->pulse.page;
	struct pfk__master *m = c->master;
	/* An earlier version's keeper may not tell its number. */
	uint32_t n = msg->ns > 0 ? (uint32_t)msg->ns : page->deaths;
	char how[64];

	page->noted = page->deaths;
	if (msg->ns > 0)
		count_untold(c, msg->ns - 1);
	c->deaths_told++;
	pfk__listing_forget(c);
	pfk__kill_forget(c);
	c->incarnation++;
	pfk__broken_reclaim(m, c);
	m->places[c->slot].restarts++;
	pfk__history_restart(m, c, msg->status);
	pfk__deaths_note(c, msg->pid, msg->status, msg->text,
	    "its successor went on with them");
	if (m->hooks->child_exit != NULL)
		m->hooks->child_exit(c->slot, msg->pid, msg->status, m->arg);
	if (!pfk__claim_death(page, n))
		return;
	pfk__describe_status(msg->status, how, sizeof(how));
	pfk_log(PFK_WARNING, "worker %d (%d) %s; restarting", c->slot,
	    (int)msg->pid, how);
}

static bool
is_of_boot(uint32_t type)
{
	return type == PFK__MSG_LEND || type == PFK__MSG_KEEP ||
	    type == PFK__MSG_READY || type == PFK__MSG_FAIL;
}

/* Whether the message counts; one that it must not send ends it. */
static bool
counts(struct pfk__child *c, const struct pfk__message *msg, int fd)
{
	if (msg->slot != c->slot || msg->generation != c->generation ||
	    (msg->kind != PFK_TCP && msg->kind != PFK_UDP)) {
		distrust(c, "a message of another worker");
		return false;
	}
	/* A later version's message may come with one. */
	if (fd != -1 && msg->type != PFK__MSG_LEND &&
	    msg->type < PFK__MSG_TYPES) {
		distrust(c, "a descriptor that nobody asked for");
		return false;
	}
	/* A boot that ends after the stop adds no listener and no worker. */
	if (is_of_boot(msg->type) && c->master->stop != PFK__STOP_NONE &&
	    msg->type != PFK__MSG_FAIL)
		return false;
	if (!is_of_boot(msg->type) || c->phase == PFK__PHASE_BOOTING)
		return true;
	/* One that was stopped in its boot may have sent it before. */
	/* An orphan's successor cannot know whether its predecessor said it. */
	if (c->phase == PFK__PHASE_SERVING &&
	    !(c->orphan && msg->type == PFK__MSG_READY))
		distrust(c, "a message of its boot after it");
	return false;
}

static void
hear(struct pfk__child *c, const struct pfk__message *msg, int *fd)
{
	if (!counts(c, msg, *fd))
		return;
	switch (msg->type) {
	case PFK__MSG_LEND:
		take_lent(c, msg, fd);
		break;
	case PFK__MSG_KEEP:
		pfk__custody_keep(&c->master->custody, c->slot,
		    (enum pfk_kind)msg->kind, &msg->asked, c->generation);
		break;
	case PFK__MSG_READY:
		pfk__master_step(c->master, c->slot, PFK__SLOT_READY);
		break;
	case PFK__MSG_KEPT:
		if (c->phase == PFK__PHASE_LEAVING)
			pfk__heirs_kept(c, msg->status);
		break;
	case PFK__MSG_LATER:
		if (c->phase == PFK__PHASE_LEAVING)
			pfk__heirs_later(c, msg->status);
		break;
	case PFK__MSG_TAKEN:
		if (c->receiving > 0 && --c->receiving == 0)
			c->master->drains_due |= c->retire_wanted;
		break;
	case PFK__MSG_LEAVING:
		leaves(c);
		break;
	case PFK__MSG_LISTED:
		pfk__listing_answered(c, msg->status);
		break;
	case PFK__MSG_KILLED:
		pfk__kill_answered(c, msg);
		break;
	case PFK__MSG_STARTED:
		started(c, msg);
		break;
	case PFK__MSG_DIED:
		heard_of_death(c, msg);
		break;
	case PFK__MSG_FAIL:
		c->fail_status = msg->status;
		strlcpy(c->fail_text, msg->text, sizeof(c->fail_text));
		break;
	default:
		if (c->version == PFK__KNOCK_VERSION)
			distrust(c, "a message that only the master sends");
	}
}

void
pfk__hear_all(struct pfk__child *c)
{
	struct pfk__message msg;
	int fd, rc;

	pfk__spawn_over(c);
	pfk__master_wake(c->master);
	c->heard = true;
	while (c->channel != -1 && !c->refused) {
		rc = pfk__channel_receive(c->channel, &msg, &fd);
		if (rc == -1 && errno == EAGAIN)
			break;
		if (rc == -1 && errno == EMFILE)
			give_up(c, "no room for a listener of it");
		else if (rc == -1)
			distrust(c, "garbage");
		if (rc == 0 && c->orphan) {
			pfk__child_orphan_ended(c);
			return;
		}
		if (rc == 0)
			pfk__hear_no_more(c); /* its death is coming */
		if (rc != 1)
			break;
		msg.type = pfk__msg_of_version(msg.type, c->version);
		hear(c, &msg, &fd);
		if (fd != -1)
			pfk__close_received(fd);
	}
	/* An orphan's death is not told by SIGCHLD. */
	if (c->refused)
		pfk__takeover_refuse(c);
	else if (c->orphan && c->channel == -1)
		pfk__child_orphan_ended(c);
	else
		c->heard = false;
}

void
pfk__hear_ready(void *arg, unsigned ready)
{
	(void)ready;
	pfk__hear_all(arg);
}

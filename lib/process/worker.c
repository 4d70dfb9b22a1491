/*
 * worker.c: a worker process: boot, serve, drain.
 *
 * Layer: process.  Its listeners are opened in listen.c.
 */
#include "process/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "base/oom.h"
#include "base/received.h"
#include "base/signals.h"
#include "base/title.h"
#include "event/io.h"
#include "event/loop.h"
#include "event/zone.h"
#include "process/area.h"
#include "process/heartbeat.h"
#include "process/takeover.h"

/* Between tries to tell a master that has no room for a message. */
#define INTRODUCTION_NS (100 * PFK_MSEC_NS)

struct pfk_loop *
pfk_worker_loop(struct pfk_worker *w)
{
	return w->loop;
}

int
pfk_worker_slot(const struct pfk_worker *w)
{
	return w->slot;
}

void
pfk_worker_set_user(struct pfk_worker *w, void *user,
    void (*destroy)(void *user))
{
	pfk__user_set(&w->user, user, destroy);
}

void *
pfk_worker_user(const struct pfk_worker *w)
{
	return w->user.user;
}

int
pfk_worker_fail(struct pfk_worker *w, int status, const char *fmt, ...)
{
	va_list ap;

	/* The first reason is the cause. */
	if (w->failure.status != 0)
		return -1;
	w->failure.status = status != 0 ? status : EX_SOFTWARE;
	va_start(ap, fmt);
	vsnprintf(w->failure.text, sizeof(w->failure.text), fmt, ap);
	va_end(ap);
	return -1;
}

static int
say(struct pfk_worker *w, struct pfk__message *m, uint32_t type)
{
	m->type = type;
	m->slot = w->slot;
	m->generation = w->generation;
	if (pfk__channel_send(w->channel, m, -1) == 0)
		return 0;
	pfk_warn("cannot send a message to the master");
	return -1;
}

static void
tell_program(struct pfk_worker *w, enum pfk_drain why, uint64_t until_ns)
{
	if (w->hooks->worker_leaving != NULL)
		w->hooks->worker_leaving(w, why, until_ns, w->arg);
}

static void
on_deadline(void *arg)
{
	struct pfk_worker *w = arg;
	uint64_t n = w->loop->stats->connections;

	pfk_log(PFK_WARNING, "drain timeout: closing %llu connection%s",
	    (unsigned long long)n, n == 1 ? "" : "s");
	tell_program(w, PFK_DRAIN_NOW, pfk_loop_now(w->loop));
	pfk_loop_stop(w->loop);
}

void
pfk__worker_drain(struct pfk_worker *w, enum pfk_drain how, uint64_t timeout_ns)
{
	/* A stricter drain is under way, or the same, with its own deadline. */
	if (w->leaving &&
	    (how < w->how || (how == PFK_DRAIN_LEAVE && w->deadline != NULL)))
		return;
	w->leaving = true;
	w->how = how;
	pfk_timer_cancel(&w->deadline);
	if (timeout_ns > 0)
		pfk_timer_set(&w->deadline, w->loop, timeout_ns, on_deadline,
		    w);
	/*
	 * Spread the notifications over an eighth of the timeout at most,
	 * because the connections need the rest to finish.
	 */
	if (timeout_ns > 0 && timeout_ns / 8 < w->loop->spread_ns)
		w->loop->spread_ns = timeout_ns / 8;
	pfk__record_detail(w->loop->recorder, w->loop->now, PFK__HAPPENED_DRAIN,
	    -1, (unsigned)how);
	pfk__title_set("worker %d (leaving)", w->slot);
	pfk_loop_drain(w->loop, how);
	/* After the servers and endpoints have emptied their queues. */
	if (pfk_soon(w->loop, pfk__listeners_leave, w->loop->ledger) == -1)
		pfk__listeners_leave(w->loop->ledger);
	tell_program(w, how,
	    timeout_ns > 0 ? pfk_loop_now(w->loop) + timeout_ns : 0);
}

/*
 * The signal is from outside, because the master orders by messages.  It starts a
 * successor, and then orders this worker to leave, with its connections.
 */
static void
on_terminate(void *arg, int signo)
{
	struct pfk_worker *w = arg;
	struct pfk__message m = {0};

	if (!w->leaving && !pfk__is_orphan(w) &&
	    say(w, &m, PFK__MSG_LEAVING) == 0)
		return;
	pfk__worker_drain(w, PFK_DRAIN_STOP,
	    signo == SIGTERM ? w->config->shutdown_ns : 0);
}

static void
on_interrupt(void *arg, int signo)
{
	struct pfk_worker *w = arg;

	(void)signo;
	tell_program(w, PFK_DRAIN_NOW, pfk_loop_now(w->loop));
	pfk_loop_stop(w->loop);
}

static void
on_taken(void *arg)
{
	struct pfk__message m = {0};

	say(arg, &m, PFK__MSG_TAKEN);
}

static void
on_kept(void *arg, size_t n, size_t later)
{
	struct pfk__message m = {
	    .status = n < INT32_MAX ? (int32_t)n : INT32_MAX};

	if (n > 0)
		say(arg, &m, PFK__MSG_KEPT);
	m.status = later < INT32_MAX ? (int32_t)later : INT32_MAX;
	if (later > 0)
		say(arg, &m, PFK__MSG_LATER);
}

static void
master_died(struct pfk_worker *w)
{
	if (pfk__orphan_begin(w))
		return;
	pfk_log(PFK_WARNING, "the master has died: draining, then ending");
	pfk_io_cancel(&w->io);
	pfk__worker_drain(w, PFK_DRAIN_STOP, w->config->shutdown_ns);
}

static void
adopt(struct pfk_worker *w, const struct pfk__message *m, int *fd)
{
	const struct pfk__serving *s = w->loop->serving[m->kind];

	if (*fd == -1 || s == NULL || w->leaving)
		return;
	if (s->adopt(w->loop, *fd, m->owner) == 0) {
		*fd = -1;
		w->loop->stats->counts[PFK__COUNT_ADOPTIONS]++;
		pfk__record_event(w->loop->recorder, w->loop->now,
		    PFK__HAPPENED_ADOPT, -1, (uint64_t)m->owner);
	} else
		pfk_warn("cannot serve for slot %d", m->owner);
}

void
pfk__worker_release(struct pfk_worker *w, int owner)
{
	pfk__record_event(w->loop->recorder, w->loop->now,
	    PFK__HAPPENED_RELEASE, -1, (uint64_t)owner);
	for (int kind = PFK_TCP; kind <= PFK_UDP; kind++) {
		if (w->loop->serving[kind] != NULL)
			w->loop->serving[kind]->release(w->loop, owner);
	}
}

/* Its connections, into the master's file. */
static void
list(struct pfk_worker *w, int fd)
{
	const struct pfk__serving *tcp = w->loop->serving[PFK_TCP];
	struct pfk__message m = {0};

	if (fd == -1)
		m.status = -1;
	else if (tcp != NULL)
		m.status = tcp->list(w->loop, fd);
	say(w, &m, PFK__MSG_LISTED);
}

static void
kill_peer(struct pfk_worker *w, const struct pfk__message *m)
{
	const struct pfk__serving *tcp = w->loop->serving[PFK_TCP];
	struct pfk__message answer = {.ns = m->ns};

	if (tcp != NULL)
		answer.status = tcp->kill(w->loop, &m->asked);
	say(w, &answer, PFK__MSG_KILLED);
}

/* Do as the master says; fd came with it, or is -1. */
static void
obey(struct pfk_worker *w, const struct pfk__message *m, int fd)
{
	const struct pfk__serving *tcp = w->loop->serving[PFK_TCP];

	pfk__orphan_end(w);
	switch (m->type) {
	case PFK__MSG_DRAIN:
		pfk__worker_drain(w, (enum pfk_drain)m->how, m->ns);
		break;
	case PFK__MSG_GIVE:
		if (w->leaving && tcp != NULL) {
			tcp->give(w->loop, fd, m->status == 0);
			fd = -1;
		}
		break;
	case PFK__MSG_TAKE:
		if (fd != -1 && tcp != NULL) {
			tcp->take(w->loop, fd, m->owner != w->slot, m->status);
			fd = -1;
		} else {
			on_taken(w);
		}
		break;
	case PFK__MSG_ADOPT:
		adopt(w, m, &fd);
		break;
	case PFK__MSG_RELEASE:
		pfk__worker_release(w, m->owner);
		break;
	case PFK__MSG_LEVEL:
		pfk_log_set_level((enum pfk_level)m->status);
		break;
	case PFK__MSG_LIST:
		list(w, fd);
		break;
	case PFK__MSG_KILL:
		kill_peer(w, m);
		break;
	case PFK__MSG_LET_GO:
		w->let_go = true;
		break;
	default:
		pfk_log(PFK_WARNING,
		    "ignored a message of the master that this version does "
		    "not know: %u",
		    m->type);
	}
	if (fd != -1)
		pfk__close_received(fd);
}

static void
on_channel(void *arg, unsigned ready)
{
	struct pfk_worker *w = arg;
	struct pfk__message m;
	int fd, rc = pfk__channel_receive(w->channel, &m, &fd);

	(void)ready;
	if (rc == -1 && errno == EAGAIN)
		return;
	if (rc == -1 && errno == EMFILE) {
		/* The message is valid without its descriptor. */
		pfk_warn("cannot receive a descriptor from the master");
		rc = 1;
	}
	if (rc == -1 && errno == EPROTO)
		pfk_log(PFK_WARNING,
		    "ignored a packet of the master that is no message");
	else if (rc != 1)
		master_died(w);
	else
		obey(w, &m, fd);
}

int
pfk__worker_watch(struct pfk_worker *w)
{
	w->io = pfk_io_add(w->loop, w->channel, PFK_READ, on_channel, w);
	return w->io != NULL ? 0 : -1;
}

/* boot */

static int
set_signals(struct pfk_worker *w)
{
	sigset_t none;

	pfk__signals_catch();
	if (pfk_signal_add(w->loop, SIGTERM, on_terminate, w) == NULL ||
	    pfk_signal_add(w->loop, SIGQUIT, on_terminate, w) == NULL ||
	    pfk_signal_add(w->loop, SIGINT, on_interrupt, w) == NULL)
		return -1;
	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL);
}

static void
name_worker(const struct pfk_worker *w)
{
	char name[32];

	snprintf(name, sizeof(name), "worker-%d", w->slot);
	pfk_log_set_process(name);
	pfk__title_set("worker %d", w->slot);
}

/*
 * A successor waits for nobody: its master may be stopped or dead, and then the
 * channel may be full of what the workers before it have told.
 */
static void
introduce(void *arg)
{
	struct pfk_worker *w = arg;
	struct pfk__message m = {.type = PFK__MSG_STARTED,
	    .slot = w->slot,
	    .generation = w->generation,
	    .ns = w->page->deaths,
	    .pid = getpid()};

	if (pfk__channel_try(w->channel, &m, -1) == -1 && w->loop != NULL &&
	    (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM))
		pfk_timer_set(&w->introduction, w->loop, INTRODUCTION_NS,
		    introduce, w);
}

static void
on_line(void *arg, const char *text)
{
	pfk__record_line(arg, pfk__clock_now(), text);
}

/* Where the predecessor, if any, has ended. */
static void
begin_to_count(struct pfk_worker *w)
{
	struct pfk__area *a = pfk__area_of(w->page);
	struct pfk_loop *l = w->loop;

	w->lost = a->stats.connections;
	pfk__stats_begin(l, &a->stats);
	l->recorder = &a->recorder;
	pfk__record_event(l->recorder, l->now, PFK__HAPPENED_START, -1,
	    (uint64_t)getpid());
	pfk__log_tap(on_line, l->recorder);
}

static int
boot(struct pfk_worker *w)
{
	struct pfk__message m = {0};
	const char *cause;
	int accepted = pfk__worker_sweep(w), rc;

	name_worker(w);
	pfk__orphan_resume(w);
	w->loop = pfk__loop_new_with(w->config->poller, w->ledger);
	introduce(w);
	if (w->loop == NULL)
		return pfk_worker_fail(w, EX_OSERR,
		    "cannot create the event loop: %s", strerror(errno));
	if (w->failure.status != 0) /* its keeper's */
		return -1;
	pfk__worker_watch(w);
	w->loop->clients_light = true;
	/* One of all is woken in any case, because another may be stopped. */
	w->loop->yields = w->slot > 0;
	pfk__loop_coalesce(w->loop, !w->config->no_coalesce);
	w->loop->taken = on_taken;
	w->loop->kept = on_kept;
	w->loop->full = &w->page->full;
	w->page->full = 0;
	begin_to_count(w);
	pfk__zones_enter(w->loop, w->generation);
	w->loop->taken_arg = w;
	pfk__heartbeat_start(w->loop, &w->page->beat, w->config->hang_ns / 4);
	if (w->io == NULL || set_signals(w) == -1)
		return pfk_worker_fail(w, EX_OSERR, "cannot start: %s",
		    strerror(errno));
	rc = w->hooks->worker_init(w, w->arg);
	if (rc != 0 && rc != -1)
		return pfk_worker_fail(w, EX_SOFTWARE,
		    "worker_init returned %d; it returns 0 or -1", rc);
	if (rc == -1)
		return pfk_worker_fail(w, EX_SOFTWARE,
		    "the worker's initialisation failed");
	if (pfk__worker_resume(w, accepted) == -1)
		return -1;
	/* Otherwise it would report readiness, and never see a client. */
	if (pfk__io_arm_first(w->loop, &cause) == -1 &&
	    (w->ledger == NULL || !w->ledger->resumed))
		return pfk_worker_fail(w, EX_OSERR,
		    "cannot watch the worker's sockets: %s", cause);
	if (pfk__worker_confine(w) == -1)
		return -1;
	if (w->ledger != NULL && w->ledger->resumed)
		return 0;
	if (say(w, &m, PFK__MSG_READY) == -1)
		return pfk_worker_fail(w, EX_OSERR,
		    "cannot report readiness to the master");
	if (w->ledger != NULL)
		w->ledger->head->ready = 1;
	return 0;
}

static int
serve(struct pfk_worker *w)
{
	int status = EXIT_SUCCESS;

	if (pfk_loop_run(w->loop) == -1) {
		pfk_log(PFK_ERROR,
		    "cannot wait for events: %s; this worker ends",
		    strerror(errno));
		status = EX_OSERR;
	}
	/* Stopped before the last connection's end: close the rest. */
	pfk_loop_drain(w->loop, PFK_DRAIN_NOW);
	pfk_loop_run(w->loop);
	if (w->hooks->worker_exit != NULL)
		w->hooks->worker_exit(w, w->arg);
	return status;
}

void
pfk__worker_main(struct pfk_worker *w)
{
	int status;

	/* Its successor goes on; nobody does for the master and a keeper. */
	pfk__oom_go_first();
	if (boot(w) == 0) {
		status = serve(w);
	} else if (w->ledger != NULL && w->ledger->resumed) {
		/* As a crash: the keeper lets another one try. */
		pfk_log(PFK_ERROR,
		    "the worker could not go on for its predecessor: %s; its "
		    "keeper starts another one",
		    w->failure.text);
		_exit(w->failure.status);
	} else {
		status = w->failure.status;
		say(w, &w->failure, PFK__MSG_FAIL);
	}
	pfk__user_end(&w->user);
	/* A stop signal that comes now must not change the status. */
	pfk__signals_block(NULL);
	pfk_timer_cancel(&w->deadline);
	pfk__orphan_cancel(w);
	pfk_io_cancel(&w->io);
	pfk__log_tap(NULL, NULL);
	pfk__loop_free(w->loop);
	exit(status);
}

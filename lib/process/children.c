/*
 * children.c: fork workers, tell them, reap them.
 *
 * Layer: process.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/received.h"
#include "base/why.h"
#include "event/zone.h"
#include "logger/logger.h"
#include "process/control.h"
#include "process/crashes.h"
#include "process/exit.h"
#include "process/history.h"
#include "process/kill.h"
#include "process/listing.h"
#include "process/master.h"
#include "process/prepare.h"
#include "process/subprocess.h"
#include "process/takeover.h"
#include "process/use.h"
#include "process/worker.h"

/* fork */

static void
be_worker(struct pfk__master *m, const struct pfk__child *c, int channel)
{
	struct pfk_worker w = {.slot = c->slot,
	    .generation = c->generation,
	    .channel = channel,
	    .workers = m->workers,
	    .first_boot = !m->started,
	    .after_death = pfk__control_was_stale(m),
	    .custody = &m->custody,
	    .page = c->pulse.page,
	    .config = &m->config,
	    .hooks = m->hooks,
	    .arg = m->arg,
	    .control_path = pfk__control_path(m)};

	if (pfk__pages_keep(&m->pages, c->pulse.page) == -1)
		_exit(EX_OSERR);
	pfk__use_loop(NULL);
	pfk__loop_free(m->loop);
	pfk__exit_forked();
	pfk__keeper_main(&w);
}

static ino_t
inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static struct pfk__child *
new_child(struct pfk__master *m, int slot, int channel)
{
	struct pfk__child *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->master = m;
	c->slot = slot;
	c->generation = ++m->generation;
	c->epoch = m->epoch;
	c->started_ns = pfk_loop_now(m->loop);
	c->hang_ns = m->config.hang_ns;
	c->channel = channel;
	c->version = PFK__KNOCK_VERSION;
	c->pidfd = c->keeper_pidfd = -1;
	c->list_fd = -1;
	if (pfk__pulse_open(&c->pulse, &m->pages, pfk_loop_now(m->loop)) == -1)
		goto err1;
	c->io = pfk_io_add(m->loop, channel, PFK_READ, pfk__hear_ready, c);
	if (c->io == NULL)
		goto err2;
	return c;
err2:
	pfk__pulse_close(&c->pulse, &m->pages);
err1:
	free(c);
	return NULL;
}

int
pfk__child_spawn(struct pfk__master *m, int slot)
{
	struct pfk__child *c;
	char name[32];
	int fds[2], log;

	assert(m->places[slot].booting == NULL);
	if (pfk__channel_pair(fds) == -1)
		return -1;
	c = new_child(m, slot, fds[0]);
	if (c == NULL)
		goto err1;
	log = pfk__logger_prepare(m->logger);
	if (log == -1)
		goto err2;
	c->keeper = pfk__spawn(m, c, &fds[1], log);
	if (c->keeper == 0) {
		pfk__logger_join(m->logger, log);
		be_worker(m, c, fds[1]);
	}
	if (c->keeper == -1)
		goto err3;
	c->channel_inode = inode_of(fds[1]);
	close(fds[1]);
	snprintf(name, sizeof(name), "worker-%d", slot);
	pfk__logger_announce(m->logger, log, name, c->keeper);
	LIST_INSERT_HEAD(&m->children, c, link);
	m->places[slot].booting = c;
	return 0;
err3:
	pfk__logger_cancel(m->logger, log);
err2:
	pfk_io_cancel(&c->io);
	pfk__pulse_close(&c->pulse, &m->pages);
	free(c);
err1:
	close(fds[0]);
	close(fds[1]);
	return -1;
}

struct pfk__child *
pfk__child_found(struct pfk__master *m, int slot, uint64_t generation, int fd)
{
	struct pfk__child *c = new_child(m, slot, fd);

	if (c == NULL)
		return NULL;
	c->orphan = true;
	c->generation = generation;
	/* It beats in a page of another master's. */
	c->hang_ns = 0;
	c->epoch = UINT64_MAX;
	/* Its turn comes: read_orphans. */
	pfk_io_want(c->io, 0);
	LIST_INSERT_HEAD(&m->children, c, link);
	return c;
}

static void
forget(struct pfk__child *c)
{
	pfk__listing_forget(c);
	pfk__kill_forget(c);
	pfk__child_forget(c);
	if (c->keeper_pidfd != -1)
		close(c->keeper_pidfd);
	pfk_timer_cancel(&c->bound);
	pfk_timer_cancel(&c->look);
	pfk__history_fold(c->master, c);
	pfk__zones_release(c->generation);
	pfk__pulse_close(&c->pulse, &c->master->pages);
	LIST_REMOVE(c, link);
	free(c);
}

void
pfk__child_drop(struct pfk__child *c)
{
	assert(c->master->places[c->slot].serving != c &&
	    c->master->places[c->slot].booting != c);
	pfk__hear_no_more(c);
	forget(c);
}

/* telling */

int
pfk__child_tell(struct pfk__child *c, struct pfk__message *msg, int pass)
{
	struct pfk__message in = *msg;
	int rc;

	in.slot = c->slot;
	in.generation = c->generation;
	in.type = pfk__msg_in_version(msg->type, c->version);
	if (c->channel == -1)
		return -1; /* it has closed its end; SIGCHLD follows */
	/* One that does not read delays the master once, not each time. */
	rc = c->channel_full ? pfk__channel_try(c->channel, &in, pass)
			     : pfk__channel_send(c->channel, &in, pass);
	c->channel_full = rc == -1 && errno == EAGAIN;
	if (rc == 0)
		return 0;
	/* If it has gone, its death is logged. */
	if (errno != EPIPE && errno != ECONNRESET)
		pfk_log(PFK_WARNING,
		    "cannot send an order to worker %d (%d), which goes on "
		    "without it: %s",
		    c->slot, (int)pfk__child_pid(c),
		    errno == EAGAIN ? "it does not read its channel"
				    : pfk__why(errno));
	return -1;
}

void
pfk__child_promote(struct pfk__child *c)
{
	struct pfk__master *m = c->master;
	struct pfk__place *p = &m->places[c->slot];

	assert(p->booting == c && c->phase == PFK__PHASE_BOOTING);
	pfk__custody_prune(&m->custody, c->slot, c->generation);
	c->phase = PFK__PHASE_SERVING;
	/* It has lent all that it will lend. */
	pfk__receive_none(c->channel);
	p->serving = c;
	p->booting = NULL;
	p->stall = (struct pfk__stall){0};
	p->killed = false;
}

void
pfk__children_tell(struct pfk__master *m, struct pfk__message *msg, int pass)
{
	struct pfk__child *c;

	LIST_FOREACH(c, &m->children, link) {
		if (!c->refused)
			pfk__child_tell(c, msg, pass);
	}
}

void
pfk__children_signal(struct pfk__master *m, int signo)
{
	struct pfk__child *c;

	LIST_FOREACH(c, &m->children, link) {
		if (!c->refused)
			pfk__child_signal(c, signo);
	}
}

/* death */

void
pfk__describe_status(int status, char *buf, size_t size)
{
	if (!WIFSIGNALED(status))
		snprintf(buf, size, "exited with status %d",
		    WEXITSTATUS(status));
	else
		snprintf(buf, size, "killed by signal %d (SIG%s)%s",
		    WTERMSIG(status),
		    sigabbrev_np(WTERMSIG(status)) != NULL
			? sigabbrev_np(WTERMSIG(status))
			: "RT",
		    WCOREDUMP(status) ? ", core dumped" : "");
}

/* Nobody has them any more once worker and keeper are dead. */
static void
log_lost(const struct pfk__child *c)
{
	uint64_t n = pfk__history_lost(c);

	if (n > 0 && c->master->stop == PFK__STOP_NONE)
		pfk_log(PFK_WARNING,
		    "%llu connection%s ended with worker %d (%d)%s",
		    (unsigned long long)n, n == 1 ? "" : "s", c->slot,
		    (int)pfk__child_pid(c),
		    c->master->config.no_keeper
			? ""
			: ", because its keeper has ended, too");
}

static void
log_death(const struct pfk__child *c, int status, bool expected)
{
	const struct pfk__slot *s = &c->master->places[c->slot].slot;
	char how[64], next[64] = "";
	uint64_t at;

	pfk__describe_status(status, how, sizeof(how));
	if (expected && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		pfk_log(PFK_INFO, "worker %d (%d) has ended", c->slot,
		    (int)pfk__child_pid(c));
		return;
	}
	if (c->fail_status != 0)
		strlcpy(how, "failed to start", sizeof(how));
	if (!expected && pfk__slot_due(s, &at))
		snprintf(next, sizeof(next), "; restarting in %llu ms",
		    (unsigned long long)((at - pfk_loop_now(c->master->loop)) /
			PFK_MSEC_NS));
	else if (!expected && s->state == PFK__SLOT_STARTING &&
	    c->master->reload == PFK__RELOAD_TRYING && c->slot != 0)
		strlcpy(next, "; restarting when the reload is decided",
		    sizeof(next));
	else if (!expected && s->state == PFK__SLOT_STARTING)
		strlcpy(next, "; restarting", sizeof(next));
	pfk_log(PFK_WARNING, "worker %d (%d) %s%s%s%s", c->slot,
	    (int)pfk__child_pid(c), how, c->fail_text[0] != '\0' ? ": " : "",
	    c->fail_text, next);
	log_lost(c);
}

/* One that leaves in order has not died of anything. */
static void
note_death(const struct pfk__child *c, int status)
{
	const struct pfk__page *page = c->pulse.page;
	char doing[sizeof(page->doing)] = "";

	if (c->phase == PFK__PHASE_LEAVING && status == 0)
		return;
	/* The worker can write there, too. */
	if (page->ended != 0)
		memcpy(doing, page->doing, sizeof(doing) - 1);
	pfk__deaths_note(c, pfk__child_pid(c), status, doing,
	    c->phase == PFK__PHASE_BOOTING ? "it had none yet"
					   : "they ended with it");
}

/* Whether nothing that the worker or the master did has ended it. */
static bool
was_killed(const struct pfk__child *c, int status)
{
	return c->orphan ||
	    (WIFSIGNALED(status) && !pfk__crashes_ended(status, false) &&
		c->cause[0] == '\0' && c->fail_status == 0);
}

/* Whether the death of a worker that boots is the end of the start or trial. */
static bool
decides(const struct pfk__child *c)
{
	const struct pfk__master *m = c->master;

	/* A service that has been taken over goes on. */
	if (!m->started)
		return !m->places[c->slot].killed || !pfk__control_was_stale(m);
	return m->reload == PFK__RELOAD_TRYING && c->slot == 0 &&
	    c->epoch == m->epoch;
}

/* Step the slot by the death of its child. */
static void
died(struct pfk__child *c, int status)
{
	struct pfk__master *m = c->master;
	struct pfk__place *p = &m->places[c->slot];
	bool booting = p->booting == c, serving = p->serving == c;
	unsigned todo;

	if (m->hooks->child_exit != NULL)
		m->hooks->child_exit(c->slot, pfk__child_pid(c), status,
		    m->arg);
	note_death(c, status);
	if (booting) {
		p->booting = NULL;
		pfk__custody_undo(&m->custody, c->slot, c->generation);
	}
	if (serving)
		p->serving = NULL;
	pfk__adopt_forget(m, c);
	if (m->stop != PFK__STOP_NONE || (!booting && !serving)) {
		log_death(c, status, true);
		return;
	}
	p->killed = was_killed(c, status);
	if (booting && !c->orphan && decides(c)) {
		if (c->fail_status == 0)
			pfk__describe_status(status, c->fail_text,
			    sizeof(c->fail_text));
		pfk__master_boot_failed(m, c);
		return;
	}
	p->restarts++;
	pfk__history_restart(m, c, status);
	todo = pfk__master_decide(m, c->slot,
	    booting ? PFK__SLOT_DIED_BOOTING : PFK__SLOT_DIED_SERVING);
	log_death(c, status, false);
	pfk__master_act(m, c->slot, todo);
}

static struct pfk__child *
find(struct pfk__master *m, pid_t pid)
{
	struct pfk__child *c;

	LIST_FOREACH(c, &m->children, link) {
		/* The analyzer thinks a freed one is listed. NOLINTNEXTLINE */
		if (c->keeper == pid || (c->keeper == 0 && c->pid == pid))
			return c;
	}
	return NULL;
}

/*
 * Whether the end of its keeper is not the worker's: it was killed from
 * outside.  The worker goes on, as our child from now on, but with nobody to
 * restart it; so it is renewed.
 */
static bool
survives_keeper(struct pfk__child *c, int status)
{
	struct pfk__master *m = c->master;
	pid_t keeper = c->keeper;
	bool serves = m->places[c->slot].serving == c;

	if (c->pid == 0 || c->pid == keeper || keeper == 0 ||
	    c->pulse.page->ended != 0 || !WIFSIGNALED(status) ||
	    !pfk__child_runs(c))
		return false;
	c->keeper = 0;
	pfk_log(PFK_WARNING,
	    "keeper %d (%d) killed by signal %d; replacing worker %d (%d), "
	    "which hands its connections over",
	    c->slot, (int)keeper, WTERMSIG(status), c->slot, (int)c->pid);
	if (serves && m->stop == PFK__STOP_NONE)
		pfk__master_step(m, c->slot, PFK__SLOT_RENEW);
	return true;
}

void
pfk__child_orphan_ended(struct pfk__child *c)
{
	pfk__broken_reclaim(c->master, c);
	/* It, or its keeper's next one, knocks again. */
	if (!pfk__takeover_lost(c)) {
		/* As far as its channel tells. */
		died(c, 0);
		if (pfk__child_runs(c))
			pfk__child_signal(c, SIGKILL);
	}
	pfk__child_drop(c);
}

void
pfk__children_reap(struct pfk__master *m)
{
	int status;
	pid_t pid;

	while ((pid = TEMP_FAILURE_RETRY(waitpid(-1, &status, WNOHANG))) > 0) {
		struct pfk__child *c = find(m, pid);

		pfk__prepare_reaped(pid);
		pfk__subprocess_reaped(pid, status);
		if (c == NULL &&
		    (pfk__upgrade_reaped(m, pid, status) ||
			pfk__exporter_reaped(m, pid, status)))
			continue;
		if (c == NULL)
			continue; /* or adopted, as process 1 of a container */
		pfk__hear_all(c); /* its last words */
		/* An orphan's channel may have told of its end. */
		if (find(m, pid) != c)
			continue;
		if (survives_keeper(c, status))
			continue;
		if (c->keeper == pid && c->pulse.page->ended != 0)
			status = c->pulse.page->status;
		pfk__broken_reclaim(m, c);
		died(c, status);
		pfk__hear_no_more(c);
		/*
		 * Leave no worker behind, whether or not its keeper has
		 * reported the pid.
		 */
		if (c->pid != pid && pfk__child_runs(c))
			pfk__child_signal(c, SIGKILL);
		forget(c);
	}
}

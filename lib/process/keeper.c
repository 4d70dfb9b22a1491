/*
 * keeper.c: a process that shares a worker's descriptors and outlives it.
 *
 * Layer: process.  clone(2), wait(2), futex(2).
 */
#include "process/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/fds.h"
#include "base/kept.h"
#include "base/log.h"
#include "base/signals.h"
#include "base/title.h"
#include "base/valgrind.h"
#include "base/why.h"
#include "event/ledger.h"
#include "event/loop.h"
#include "event/zone.h"
#include "process/area.h"
#include "process/crashes.h"
#include "process/worker.h"

/* The table grows while it is not shared: later it would wait for all CPUs. */
#define TABLE_SIZE 4096
/* The master logs a death within this, or the keeper does. */
#define MASTER_PATIENCE_NS (250 * PFK_MSEC_NS)
/* After this many runs, each of which ended in a death, an input is at fault. */
#define RUNS_MAX 3
/* Between two looks at the worker when the master has died. */
#define ORPHAN_LOOK_NS (250 * PFK_MSEC_NS)
#define CLONE_RETRY_NS (20 * PFK_MSEC_NS)
#define DROP_PATIENCE_S 5

struct keeper {
	struct pfk_worker *w;
	struct pfk__page *page;
	struct pfk__ledger ledger;
	pid_t worker;
	uint64_t started_ns;
	struct pfk__crashes crashes;
	/* A death that the master has not noted yet. */
	pid_t dead;
	int dead_status;
	uint64_t dead_ns;
	char doing[200]; /* the worker, when it died */
	/* The master has died: nobody else sees that the worker hangs. */
	pid_t master;
	bool alone;
	uint64_t looked_ns;
};

/* The one of this process; the worker that it clones inherits it. */
static struct keeper the_keeper;

/* the table */

/* Close all descriptors that the worker does not use. */
static void
keep_own_descriptors(struct pfk_worker *w)
{
	size_t n = 0;
	int *keep = calloc(pfk__custody_count(w->custody, w->slot) +
		pfk__kept_count() + 2,
	    sizeof(*keep));
	const struct pfk__lent *l;

	if (keep == NULL)
		_exit(EX_OSERR);
	n = pfk__kept(keep);
	keep[n++] = w->channel;
	keep[n++] = pfk__log_fd();
	for (l = pfk__custody_first(w->custody, w->slot); l != NULL;
	     l = pfk__custody_next(l))
		keep[n++] = l->fd;
	pfk__log_forked();
	pfk__close_others(keep, n);
	free(keep);
}

/*
 * A worker may have been started from a terminal, by root.  It could read there,
 * and type into it (TIOCSTI), as long as the terminal is its session's.
 */
static void
leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	/* Where there is no such device: nothing can be read from the log's. */
	for (int fd = STDIN_FILENO; fd <= STDOUT_FILENO; fd++)
		dup2(null != -1 ? null : STDERR_FILENO, fd);
	if (null > STDERR_FILENO)
		close(null);
}

static void
grow_table(void)
{
	int fd = fcntl(STDERR_FILENO, F_DUPFD, TABLE_SIZE - 1);

	if (fd != -1)
		close(fd);
}

/* privileges */

static int
become(uid_t uid, gid_t gid, size_t n, const gid_t *groups)
{
	if (setgroups(n, groups) == -1 || setresgid(gid, gid, gid) == -1 ||
	    setresuid(uid, uid, uid) == -1)
		return -1;
	return 0;
}

static void
drop(struct keeper *k)
{
	struct pfk__ledger_head *h = k->ledger.head;
	gid_t groups[PFK__GROUPS_MAX];
	size_t n = h->n_groups;

	if (h->dropping != 1 || n > PFK__GROUPS_MAX)
		return;
	for (size_t i = 0; i < n; i++)
		groups[i] = h->groups[i];
	h->dropping = become(h->uid, h->gid, n, groups) == 0 ? 2 : 3;
	/* The kernel takes the order back where the user changes. */
	prctl(PR_SET_PDEATHSIG, SIGUSR2);
	syscall(SYS_futex, &h->dropping, FUTEX_WAKE, 1, NULL, NULL, 0);
}

int
pfk__keeper_drop(const char *user, uid_t uid, gid_t gid)
{
	struct pfk__ledger_head *h = the_keeper.ledger.head;
	struct timespec patience = {.tv_sec = DROP_PATIENCE_S};
	gid_t groups[PFK__GROUPS_MAX];
	int n = PFK__GROUPS_MAX;

	if (h == NULL || !the_keeper.ledger.shared)
		return 0;
	if (user == NULL) {
		groups[0] = gid;
		n = 1;
	} else if (getgrouplist(user, gid, groups, &n) == -1) {
		errno = E2BIG;
		return -1;
	}
	for (int i = 0; i < n; i++)
		h->groups[i] = groups[i];
	h->n_groups = (uint32_t)n;
	h->uid = uid;
	h->gid = gid;
	h->dropping = 1;
	if (kill(getppid(), SIGUSR1) == -1)
		return -1;
	while (h->dropping == 1) {
		if (syscall(SYS_futex, &h->dropping, FUTEX_WAIT, 1, &patience,
			NULL, 0) == -1 &&
		    errno == ETIMEDOUT)
			return -1;
	}
	errno = EPERM;
	return h->dropping == 2 ? 0 : -1;
}

/* deaths */

/* Tell the master; it may have no room for the message, or be stopped. */
static void
report(struct keeper *k, int status)
{
	struct pfk__message m = {.type = PFK__MSG_DIED,
	    .slot = k->w->slot,
	    .generation = k->w->generation,
	    .status = status,
	    .pid = k->worker};

	strlcpy(m.text, k->doing, sizeof(m.text));
	m.ns = ++k->page->deaths;
	k->dead = k->worker;
	k->dead_status = status;
	k->dead_ns = pfk__clock_now();
	send(k->w->channel, &m, sizeof(m), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* The master has had its time and has not logged the death: log it here. */
static void
log_unnoted(struct keeper *k)
{
	char how[64];

	if (k->dead == 0 || k->page->noted == k->page->deaths) {
		k->dead = 0;
		return;
	}
	if (pfk__clock_now() - k->dead_ns < MASTER_PATIENCE_NS)
		return;
	pfk__describe_status(k->dead_status, how, sizeof(how));
	if (pfk__claim_death(k->page, k->page->deaths))
		pfk_log(PFK_WARNING,
		    "worker %d (%d) %s; restarted it as %d while the master "
		    "does not answer",
		    k->w->slot, (int)k->dead, how, (int)k->worker);
	k->dead = 0;
}

/* The connection in hand is at fault: the successor closes it. */
static void
blame(struct keeper *k, int fd, const char *why)
{
	struct pfk__record *r = pfk__record(&k->ledger, fd);
	const struct pfk__hand *h = &k->ledger.head->hand;
	char name[PFK_ADDR_SIZE] = "an unknown peer";
	unsigned len = h->fd == fd ? h->len : 0;

	if (r == NULL || r->entry != PFK__ENTRY_STREAM)
		return;
	pfk_addr_format(name, &r->stream.peer);
	pfk_log(PFK_ERROR,
	    "worker %d (%d) died while it served %s, with %u byte%s of it in "
	    "hand%s; closing that connection",
	    k->w->slot, (int)k->worker, name, len, len == 1 ? "" : "s", why);
	r->entry = PFK__ENTRY_DOOMED;
	/* There is no worker now: nobody else writes here. */
	pfk__area_of(k->page)->stats.counts[PFK__COUNT_BLAMED]++;
	strlcat(k->doing, "; that connection was closed", sizeof(k->doing));
}

/* Whether an input has been found that is at fault, and is removed. */
static bool
look_for_cause(struct keeper *k, int status)
{
	struct pfk__ledger_head *h = k->ledger.head;
	const struct pfk__record *r = pfk__record(&k->ledger, h->serving);

	if (pfk__crashes_ended(status, false) && r != NULL) {
		h->at_fault = r->entry == PFK__ENTRY_DATAGRAM;
		blame(k, h->serving, "");
		return h->at_fault != 0 || r->entry == PFK__ENTRY_DOOMED;
	}
	if (h->hand.fd != -1 && h->hand.again >= RUNS_MAX - 1)
		blame(k, h->hand.fd, " for the third time");
	return false;
}

static bool
has_failed(const struct keeper *k, int status)
{
	return pfk__crashes_ended(status,
	    k->ledger.resumed && k->ledger.head->rebuilt == 0);
}

/* Whether the dead worker may get a successor. */
static bool
may_go_on(const struct keeper *k, int status)
{
	return (WIFSIGNALED(status) || has_failed(k, status)) &&
	    k->page->last == 0 && k->ledger.head->ready != 0;
}

/* False: it fails again and again, whatever the keeper does. */
static bool
note_crash(struct keeper *k, int status, bool removed)
{
	if (!has_failed(k, status))
		return true;
	pfk__crashes_note(&k->crashes, pfk__clock_now() - k->started_ns,
	    removed && k->ledger.head->rebuilt != 0);
	if (!pfk__crashes_are_in_vain(&k->crashes))
		return true;
	pfk_log(PFK_ERROR,
	    "worker %d (%d) has ended %u times in a row, each time within a "
	    "second of its start, and no connection was found to be the cause; "
	    "closing all of its connections",
	    k->w->slot, (int)k->worker, k->crashes.in_vain);
	return false;
}

/* The master may order the end meanwhile. */
static void
rest(const struct keeper *k, int status)
{
	static const struct timespec step = {.tv_nsec = 10 * (long)PFK_MSEC_NS};
	uint64_t end = pfk__clock_now() + pfk__crashes_pause(&k->crashes);

	while (has_failed(k, status) && pfk__clock_now() < end &&
	    k->page->last == 0)
		nanosleep(&step, NULL);
}

/*
 * An orphan that hangs does not knock at a new master's.  It is killed, so that
 * its successor does.  A pause of the whole machine stops the keeper, too.
 */
static void
look_at_orphan(struct keeper *k)
{
	uint64_t hang_ns = k->w->config->hang_ns, at = pfk__clock_now();
	uint64_t since = at - k->looked_ns;
	uint64_t beat = __atomic_load_n(&k->page->beat, __ATOMIC_RELAXED);

	if (!k->alone || since < ORPHAN_LOOK_NS)
		return;
	k->looked_ns = at;
	if (hang_ns == 0 || since > 2 * ORPHAN_LOOK_NS || beat > at ||
	    at - beat < hang_ns || at - k->started_ns < hang_ns)
		return;
	pfk_log(PFK_ERROR,
	    "worker %d (%d) hangs, and has no master: its loop has stood "
	    "still for %llu ms; killing it",
	    k->w->slot, (int)k->worker,
	    (unsigned long long)((at - beat) / PFK_MSEC_NS));
	kill(k->worker, SIGKILL);
}

/* Wait for the worker's death; returns its status. */
static int
attend(struct keeper *k)
{
	struct timespec often = {.tv_nsec = 50 * (long)PFK_MSEC_NS};
	sigset_t awaited;
	int status;

	sigemptyset(&awaited);
	sigaddset(&awaited, SIGCHLD);
	sigaddset(&awaited, SIGUSR1);
	sigaddset(&awaited, SIGUSR2);
	for (;;) {
		int signo;
		pid_t pid = TEMP_FAILURE_RETRY(
		    waitpid(k->worker, &status, WNOHANG));

		if (pid == k->worker)
			return status;
		if (getppid() != k->master)
			k->alone = true;
		if (k->dead != 0 || k->alone)
			signo = sigtimedwait(&awaited, NULL, &often);
		else
			signo = sigwaitinfo(&awaited, NULL);
		if (signo == SIGUSR1)
			drop(k);
		if (signo == SIGUSR2 && k->page->last != 0)
			kill(k->worker, SIGKILL);
		look_at_orphan(k);
		log_unnoted(k);
	}
}

static void __attribute__((noreturn)) end(struct keeper *k, int status)
{
	if (WIFSIGNALED(status))
		strlcpy(k->page->doing, k->doing, sizeof(k->page->doing));
	/* A dead master cannot do it. */
	pfk__zones_release(k->w->generation);
	k->page->status = status;
	k->page->ended = 1;
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE);
}

/* Its pid is -1 if it cannot be. */
static void
clone_worker(struct keeper *k)
{
	k->worker = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL,
	    NULL, NULL);
	if (k->worker != 0)
		return;
	k->w->ledger = &k->ledger;
	pfk__worker_main(k->w);
}

static void
start_worker(struct keeper *k)
{
	static const struct timespec retry = {.tv_nsec = CLONE_RETRY_NS};

	k->started_ns = pfk__clock_now();
	for (;;) {
		clone_worker(k);
		if (k->worker != -1)
			return;
		/* A limit of processes, or of memory: a sibling serves. */
		if (k->page->last != 0)
			end(k, EX_OSERR << 8);
		nanosleep(&retry, NULL);
	}
}

/* Descriptors that are neither listeners nor connections, from the start. */
static bool
note_base(struct keeper *k)
{
	int *kept = calloc(pfk__kept_count() + 1, sizeof(*kept));
	size_t n;

	if (kept == NULL)
		return false;
	n = pfk__kept(kept);
	for (size_t i = 0; i < n; i++)
		pfk__ledger_note(&k->ledger, kept[i], PFK__ENTRY_BASE);
	free(kept);
	pfk__ledger_note(&k->ledger, k->w->channel, PFK__ENTRY_BASE);
	if (pfk__log_fd() > STDERR_FILENO)
		pfk__ledger_note(&k->ledger, pfk__log_fd(), PFK__ENTRY_BASE);
	return true;
}

static bool
prepare(struct keeper *k)
{
	/* Valgrind 3.19 ends a process that shares its table. */
	if (k->w->config->no_keeper || pfk__under_valgrind() ||
	    pfk__signals_may_wait() == -1)
		return false;
	if (pfk__ledger_open(&k->ledger, true) == -1 || !note_base(k)) {
		pfk__ledger_close(&k->ledger);
		pfk_warn("cannot map a ledger; connections end with worker %d",
		    k->w->slot);
		return false;
	}
	grow_table();
	return true;
}

static void
name_keeper(const struct keeper *k)
{
	char name[32];

	snprintf(name, sizeof(name), "keeper-%d", k->w->slot);
	pfk_log_set_process(name);
	pfk__title_set("keeper %d", k->w->slot);
}

void
pfk__keeper_main(struct pfk_worker *w)
{
	struct keeper *k = &the_keeper;
	int status;

	*k = (struct keeper){.w = w, .page = w->page, .master = getppid()};
	w->keeper = getpid();
	keep_own_descriptors(w);
	leave_terminal();
	if (!prepare(k))
		pfk__worker_main(w);
	/* The process that started it may ignore it; then no status comes. */
	signal(SIGCHLD, SIG_DFL);
	k->started_ns = pfk__clock_now();
	clone_worker(k);
	if (k->worker == -1) {
		/* A limit may be raised; flags that are refused stay so. */
		if (errno == EAGAIN || errno == ENOMEM)
			pfk_worker_fail(w, EX_OSERR, "%s", pfk__why(errno));
		else
			pfk_warn("cannot share descriptors; connections end "
				 "with worker %d",
			    w->slot);
		pfk__ledger_close(&k->ledger);
		pfk__worker_main(w);
	}
	name_keeper(k);
	prctl(PR_SET_PDEATHSIG, SIGUSR2);
	for (;;) {
		status = attend(k);
		pfk__describe_doing(&k->ledger, k->doing, sizeof(k->doing));
		if (!may_go_on(k, status) ||
		    !note_crash(k, status, look_for_cause(k, status)))
			end(k, status);
		report(k, status);
		rest(k, status);
		k->ledger.resumed = true;
		k->ledger.head->rebuilt = 0;
		start_worker(k);
	}
}

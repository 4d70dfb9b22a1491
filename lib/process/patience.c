/*
 * patience.c: a worker waits for an address that is not free yet.
 *
 * Layer: process.
 */
#include "process/patience.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/parent.h"
#include "base/state.h"
#include "event/loop.h"
#include "net/listener.h"
#include "net/tentative.h"
#include "process/worker.h"

#define LOOK_MS 100
/* Duplicate address detection takes a second or two after an interface is up. */
#define TENTATIVE_NS (10 * PFK_SECOND_NS)
/* For a keeper to notice a hang, and for the successor to knock. */
#define KNOCK_GRACE_NS (2 * PFK_SECOND_NS)
/* So often it looks for the holder of the address, in all of /proc. */
#define HOLDER_NS PFK_SECOND_NS

/* Whether the master's next message is an order to leave, or its end. */
static bool
told_to_leave(const struct pfk_worker *w)
{
	uint32_t type;
	ssize_t n = recv(w->channel, &type, sizeof(type),
	    MSG_PEEK | MSG_DONTWAIT);

	return n == 0 || (n == (ssize_t)sizeof(type) && type == PFK__MSG_DRAIN);
}

/* The time of day in ns nanoseconds. */
static const char *
clock_after(char text[20], uint64_t ns)
{
	time_t until = time(NULL) + (time_t)(ns / PFK_SECOND_NS);
	struct tm tm;

	text[0] = '\0';
	if (localtime_r(&until, &tm) != NULL)
		strftime(text, 20, "%T", &tm);
	return text;
}

static bool
wait_a_moment(struct pfk_worker *w, uint64_t deadline_ns)
{
	uint64_t now = pfk__clock_now();

	if (now >= deadline_ns)
		return false;
	*w->loop->beat = now;
	poll(NULL, 0, LOOK_MS);
	return true;
}

bool
pfk__wait_tentative(struct pfk_worker *w, const struct pfk_listen *want,
    uint64_t *deadline_ns)
{
	char name[PFK_ADDR_SIZE], until[20];

	if (!w->first_boot || told_to_leave(w) ||
	    !pfk__addr_tentative(&want->addr))
		return false;
	if (*deadline_ns == 0) {
		*deadline_ns = pfk__clock_now() + TENTATIVE_NS;
		pfk_log(PFK_WARNING,
		    "the address of %s is still tentative (duplicate address "
		    "detection): waiting for it until %s at the latest",
		    pfk_addr_format(name, &want->addr),
		    clock_after(until, TENTATIVE_NS));
	}
	return wait_a_moment(w, *deadline_ns);
}

/*
 * The pid of a keeper, or of a worker without one, whose master holds the address no
 * more, by the title of its process; 0: it is another one.
 */
static pid_t
orphan_of(const char *holder)
{
	int pid;

	if ((strstr(holder, ": keeper ") == NULL &&
		strstr(holder, ": worker ") == NULL) ||
	    sscanf(holder, "process %d", &pid) != 1)
		return 0;
	return pid;
}

/* Find a process with the address that this worker's master has not taken over. */
static bool
find_holder(const struct pfk_worker *w, const struct pfk_listen *want,
    char *holder, size_t size)
{
	pid_t master = w->keeper != 0 ? pfk__parent_of(w->keeper) : getppid();

	return pfk__listener_held(want->kind, &want->addr, master, holder,
	    size);
}

/* The new master believes only workers of the user that its own become. */
static bool
may_knock(const struct pfk_worker *w, pid_t pid)
{
	uid_t uid = pfk__process_user(pid);

	return uid == (uid_t)-1 || uid == 0 || uid == geteuid() ||
	    (w->config->worker_user != 0 && uid == w->config->worker_user);
}

/* A stopped keeper would not see that its worker hangs, or has died. */
static bool
let_keeper_go_on(const char *holder)
{
	pid_t pid = orphan_of(holder);

	if (pid == 0 || strstr(holder, ": keeper ") == NULL ||
	    pfk__process_state(pid) != 'T' || kill(pid, SIGCONT) == -1)
		return false;
	pfk_log(PFK_WARNING,
	    "%s, the keeper of a worker whose master has died, was stopped: "
	    "continued it",
	    holder);
	return true;
}

const char *
pfk__orphan_cure(const struct pfk_worker *w, const char *holder, char *buf,
    size_t size)
{
	pid_t pid = orphan_of(holder);

	if (pid == 0)
		strlcpy(buf, "stop it or take another port", size);
	else if (!may_knock(w, pid))
		snprintf(buf, size,
		    "its master has died, and its user, %u, is neither this "
		    "one's nor that of --user: start the service with the "
		    "--user that it had, or end its workers (prefork-ctl stop)",
		    (unsigned)pfk__process_user(pid));
	else
		snprintf(buf, size,
		    "its master has died, and it does not answer%s; end it "
		    "(prefork-ctl stop, or kill) or take another port",
		    pfk__process_state(pid) == 'T'
			? ", because it is stopped: see kill -CONT"
			: "");
	return buf;
}

bool
pfk__wait_orphan(struct pfk_worker *w, const struct pfk_listen *want,
    uint64_t *deadline_ns, bool *ours)
{
	uint64_t longest = w->config->hang_ns + KNOCK_GRACE_NS;
	char name[PFK_ADDR_SIZE], holder[128], until[20];
	static uint64_t looked_ns;
	uint64_t now = pfk__clock_now();

	if (!w->first_boot || !w->after_death || w->config->hang_ns == 0 ||
	    told_to_leave(w))
		return false;
	if (now - looked_ns >= HOLDER_NS ||
	    (*deadline_ns != 0 && now >= *deadline_ns)) {
		looked_ns = now;
		if (!find_holder(w, want, holder, sizeof(holder)) &&
		    pfk__listener_held(want->kind, &want->addr, 0, holder,
			sizeof(holder)) &&
		    !*ours) {
			*ours = true;
			return true;
		}
		if (*deadline_ns == 0 &&
		    (orphan_of(holder) == 0 ||
			!may_knock(w, orphan_of(holder))))
			return false;
		/* One after the other may hold the address. */
		if (let_keeper_go_on(holder) && *deadline_ns != 0)
			*deadline_ns = now + longest;
	}
	if (*deadline_ns == 0) {
		*deadline_ns = now + longest;
		pfk_log(PFK_WARNING,
		    "%s is in use by %s, a worker of a master that has died, "
		    "which does not answer: waiting until %s for its keeper to "
		    "replace it",
		    pfk_addr_format(name, &want->addr), holder,
		    clock_after(until, longest));
	}
	return wait_a_moment(w, *deadline_ns);
}

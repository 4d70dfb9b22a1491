/*
 * listen.c: a worker's listeners: out of custody, joined, or founded.
 *
 * Layer: process.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/received.h"
#include "event/ledger.h"
#include "event/loop.h"
#include "net/addr.h"
#include "net/explain.h"
#include "net/listener.h"
#include "net/sockopts.h"
#include "net/tentative.h"
#include "process/patience.h"
#include "process/use.h"
#include "process/worker.h"

/* An ephemeral port that TCP has may be taken for UDP: try others. */
#define PORT_TRIES 32
/* The workers of a master that was killed need a moment to let go. */
#define BUSY_TRIES 25
#define BUSY_WAIT_MS 20

/* The result for one wanted listener. */

struct opened {
	int fd; /* -1: skipped */
	bool kept;
	bool ours; /* the address, by listeners that came into custody later */
	uint64_t opened_ns;
	struct pfk_addr bound;
};

struct attempt {
	struct pfk_worker *w;
	const struct pfk_listen *want;
	size_t n;
	struct opened *opened;
	uint16_t port;        /* for port 0; 0: the kernel's choice */
	uint64_t deadline_ns; /* of a wait for an address; 0: none */
	size_t failed;        /* on failure: which one, and the call */
	const char *step;
};

/* Whether a socket of one address gets in the way of the other's. */
static bool
meet(const struct pfk_addr *a, const struct pfk_addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family ||
	    pfk_addr_port(a) != pfk_addr_port(b))
		return false;
	return pfk__addr_is_any(a) || pfk__addr_is_any(b) ||
	    pfk_addr_equal(a, b);
}

/*
 * Whether this service has a socket at an overlapping address.  If so, SO_REUSEPORT
 * must be set before bind(2), because the service's own socket would give EADDRINUSE.
 */
static bool
overlaps(const struct attempt *a, size_t i, const struct pfk_addr *addr)
{
	const struct pfk_worker *w = a->w;
	const struct pfk__lent *l;

	if (a->opened[i].ours)
		return true;
	for (size_t k = 0; k < a->n; k++) {
		if (k != i && a->opened[k].fd != -1 &&
		    a->want[k].kind == a->want[i].kind &&
		    meet(&a->opened[k].bound, addr))
			return true;
	}
	for (l = pfk__custody_first_of_all(w->custody); l != NULL;
	     l = pfk__custody_next_of_all(l)) {
		if (l->kind == a->want[i].kind && meet(&l->bound, addr))
			return true;
	}
	return false;
}

/*
 * The options asked for; large buffers for UDP, which has no autotuning; and a
 * bound for TCP, because peers that never read would fill the kernel's memory.
 */
static struct pfk_sockopts
options_of(const struct pfk_listen *want)
{
	struct pfk_sockopts o;

	pfk_sockopts_init(&o);
	if (want->options != NULL)
		o = *want->options;
	if (want->kind == PFK_UDP && o.receive_buffer == PFK_UNSET)
		o.receive_buffer = PFK_UDP_BUFFER;
	if (want->kind == PFK_UDP && o.send_buffer == PFK_UNSET)
		o.send_buffer = PFK_UDP_BUFFER;
	if (want->kind == PFK_TCP && o.unsent_limit == PFK_UNSET)
		o.unsent_limit = PFK_UNSENT_LIMIT;
	return o;
}

static int
keep(struct attempt *a, size_t i, const struct pfk__lent *lent)
{
	struct pfk_sockopts o = options_of(&a->want[i]);

	a->opened[i] = (struct opened){.fd = lent->fd,
	    .kept = true,
	    .opened_ns = lent->opened_ns,
	    .bound = lent->bound};
	pfk__listener_reclaim(lent->fd);
	return pfk__listener_tune(lent->fd, lent->kind, &o, &a->step);
}

static int
open_one(struct attempt *a, size_t i)
{
	const struct pfk_listen *want = &a->want[i];
	const struct pfk__custody *c = a->w->custody;
	struct pfk__lent *lent = pfk__custody_find(c, a->w->slot, want->kind,
	    &want->addr);
	enum pfk__group group = PFK__GROUP_FOUND;
	struct pfk_sockopts o = options_of(want);
	struct pfk_addr addr = want->addr;

	if (lent != NULL && !pfk__custody_broken(lent))
		return keep(a, i, lent);
	if (lent == NULL)
		lent = pfk__custody_find(c, -1, want->kind, &want->addr);
	if (lent != NULL) {
		addr = lent->bound;
		group = PFK__GROUP_JOIN;
	} else if (pfk_addr_port(&addr) == 0) {
		pfk__addr_set_port(&addr, a->port);
	}
	if (group == PFK__GROUP_FOUND && overlaps(a, i, &addr))
		group = PFK__GROUP_JOIN;
	a->opened[i].fd = pfk__listener_open(want->kind, &addr, group, &o,
	    &a->opened[i].bound, &a->step);
	a->opened[i].opened_ns = pfk__clock_now();
	if (a->opened[i].fd != -1)
		return 0;
	a->opened[i].bound = addr;
	if (want->optional && (errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT))
		return 0;
	return -1;
}

static void
close_opened(struct attempt *a)
{
	for (size_t i = 0; i < a->n; i++) {
		if (a->opened[i].fd != -1 && !a->opened[i].kept)
			close(a->opened[i].fd);
		a->opened[i].fd = -1;
	}
}

/* The wildcards, or the others. */
static int
open_some(struct attempt *a, bool any)
{
	int saved_errno;

	for (size_t i = 0; i < a->n; i++) {
		if (pfk__addr_is_any(&a->want[i].addr) != any)
			continue;
		if (open_one(a, i) == -1) {
			saved_errno = errno;
			a->failed = i;
			close_opened(a);
			errno = saved_errno;
			return -1;
		}
		if (a->port == 0 && a->opened[i].fd != -1 &&
		    pfk_addr_port(&a->want[i].addr) == 0)
			a->port = pfk_addr_port(&a->opened[i].bound);
	}
	return 0;
}

/*
 * All or none; the first port that the kernel gives is everybody's.  Wildcards
 * come first: founded alone, they fail if anybody has any address of the port.
 */
static int
open_all(struct attempt *a)
{
	a->port = pfk__custody_port(a->w->custody);
	for (size_t i = 0; i < a->n; i++)
		a->opened[i] = (struct opened){.fd = -1,
		    .ours = a->opened[i].ours};
	if (open_some(a, true) == -1 || open_some(a, false) == -1)
		return -1;
	return 0;
}

static int
open_with_patience(struct attempt *a)
{
	uint16_t known = pfk__custody_port(a->w->custody);

	for (int tries = 1;; tries++) {
		const struct pfk_listen *want;
		bool chosen;
		int error;

		if (open_all(a) == 0)
			return 0;
		error = errno;
		want = &a->want[a->failed];
		if ((error == EADDRNOTAVAIL &&
			pfk__wait_tentative(a->w, want, &a->deadline_ns)) ||
		    (error == EADDRINUSE && tries >= BUSY_TRIES &&
			pfk__wait_orphan(a->w, want, &a->deadline_ns,
			    &a->opened[a->failed].ours))) {
			tries--;
			continue;
		}
		errno = error;
		if (error != EADDRINUSE)
			return -1;
		chosen = known == 0 && pfk_addr_port(&want->addr) == 0;
		if (chosen ? tries >= PORT_TRIES
			   : !a->w->first_boot || tries >= BUSY_TRIES)
			return -1;
		if (!chosen)
			poll(NULL, 0, BUSY_WAIT_MS);
		errno = EADDRINUSE;
	}
}

static int
explain(struct attempt *a)
{
	const struct pfk_listen *want = &a->want[a->failed];
	const struct pfk_addr *addr = &a->opened[a->failed].bound;
	const char *kind = pfk__kind_name(want->kind);
	char name[PFK_ADDR_SIZE], holder[128], why[PFK__EXPLAIN_SIZE];
	char cure[256];
	char verb[PFK__EXPLAIN_SIZE];
	int error = errno, status;

	pfk_addr_format(name, addr->len > 0 ? addr : &want->addr);
	pfk__explain_step(verb, a->step);
	if (error == EADDRINUSE) {
		pfk__listener_holder(want->kind, addr, holder, sizeof(holder));
		return pfk_worker_fail(a->w, EX_TEMPFAIL,
		    "cannot %s %s %s: in use by %s; %s", verb, kind, name,
		    holder, pfk__orphan_cure(a->w, holder, cure, sizeof(cure)));
	}
	/* Either may come later: after another try, another start may do. */
	if (error == EADDRNOTAVAIL)
		return pfk_worker_fail(a->w, EX_TEMPFAIL, "cannot %s %s %s: %s",
		    verb, kind, name,
		    pfk__addr_tentative(&want->addr)
			? "the address is still tentative; is the link up?"
			: pfk__explain(why, a->step, error, &want->addr));
	status = error == EACCES || error == EPERM ? EX_NOPERM : EX_OSERR;
	return pfk_worker_fail(a->w, status, "cannot %s %s %s: %s", verb, kind,
	    name, pfk__explain(why, a->step, error, &want->addr));
}

static int
lend(struct attempt *a, size_t i)
{
	const struct opened *o = &a->opened[i];
	struct pfk__message m = {.type = o->kept ? PFK__MSG_KEEP
						 : PFK__MSG_LEND,
	    .slot = a->w->slot,
	    .generation = a->w->generation,
	    .ns = o->opened_ns,
	    .kind = (int32_t)a->want[i].kind,
	    .asked = a->want[i].addr,
	    .bound = o->bound};

	if (pfk__channel_send(a->w->channel, &m, o->kept ? -1 : o->fd) == -1)
		return pfk_worker_fail(a->w, EX_OSERR,
		    "cannot lend a listener to the master: %s",
		    strerror(errno));
	return 0;
}

/* A new address is logged once for all workers, by the first of them. */
static void
log_new(const struct attempt *a, size_t i)
{
	char name[PFK_ADDR_SIZE];

	pfk_log(PFK_INFO, "serving on %s %s with %d worker%s",
	    pfk__kind_name(a->want[i].kind),
	    pfk_addr_format(name, &a->opened[i].bound), a->w->workers,
	    a->w->workers == 1 ? "" : "s");
}

/*
 * Before the master knows of them, so that its lines come later.  After the
 * start, a worker says in one line that it has taken its place.
 */
static void
log_serving(const struct attempt *a)
{
	struct pfk__serving_line line = {0};

	for (size_t i = 0; i < a->n; i++) {
		const struct opened *o = &a->opened[i];

		if (o->fd == -1)
			continue;
		if (a->w->slot == 0 && (!o->kept || a->w->first_boot))
			log_new(a, i);
		pfk__serving_add(&line, a->want[i].kind, &o->bound);
	}
	if (!a->w->first_boot)
		pfk__serving_log(&line);
}

/* The default buffers in force, where they are smaller. */
struct small {
	int send, receive; /* 0: not smaller */
};

static void
note_small(void *arg, const char *name, int asked, int in_force,
    const char *sysctl)
{
	struct small *s = arg;

	(void)asked;
	(void)sysctl;
	if (strcmp(name, "send-buffer") == 0)
		s->send = in_force;
	else
		s->receive = in_force;
}

/* One line for all: a bound of one endpoint's buffers bounds the others'. */
static void
report_small(const struct small *s)
{
	const char *names = "net.core.wmem_max and net.core.rmem_max";

	if (s->send == 0 && s->receive == 0)
		return;
	if (s->receive == 0)
		names = "net.core.wmem_max";
	else if (s->send == 0)
		names = "net.core.rmem_max";
	pfk_log(PFK_INFO,
	    "udp: got a send buffer of %d bytes and a receive buffer of %d, "
	    "so that datagrams are dropped earlier; raise %s to %d, or start "
	    "with CAP_NET_ADMIN",
	    s->send != 0 ? s->send : PFK_UDP_BUFFER,
	    s->receive != 0 ? s->receive : PFK_UDP_BUFFER, names,
	    PFK_UDP_BUFFER);
}

static void
check_buffers(const struct attempt *a)
{
	struct small s = {0};

	for (size_t i = 0; i < a->n; i++) {
		const struct pfk_sockopts *asked = a->want[i].options;
		struct pfk_sockopts o;

		if (a->want[i].kind != PFK_UDP || a->opened[i].fd == -1)
			continue;
		pfk_sockopts_init(&o);
		if (asked == NULL || asked->receive_buffer == PFK_UNSET)
			o.receive_buffer = PFK_UDP_BUFFER;
		if (asked == NULL || asked->send_buffer == PFK_UNSET)
			o.send_buffer = PFK_UDP_BUFFER;
		pfk__sockopts_report(a->opened[i].fd, &o, note_small, &s);
	}
	report_small(&s);
}

/*
 * Close this process's copies of the entries in custody that the slot serves no
 * longer.
 */
static void
close_unwanted(struct attempt *a)
{
	const struct pfk__lent *l;

	for (l = pfk__custody_first(a->w->custody, a->w->slot); l != NULL;
	     l = pfk__custody_next(l)) {
		bool used = false;

		for (size_t i = 0; i < a->n && !used; i++)
			used = a->opened[i].fd == l->fd;
		if (!used)
			pfk__close_received(l->fd);
	}
}

int
pfk_worker_listen(struct pfk_worker *w, const struct pfk_listen *want, size_t n,
    int *fds)
{
	struct attempt a = {.w = w, .want = want, .n = n, .step = "open"};
	int rc = -1;

	if (pfk__use_listen(w, want, n) == -1)
		return -1;
	if (w->ledger != NULL && w->ledger->resumed)
		return pfk__listen_again(w, want, n, fds);
	a.opened = calloc(n, sizeof(*a.opened));
	if (a.opened == NULL)
		return pfk_worker_fail(w, EX_OSERR, "out of memory");
	if (open_with_patience(&a) == -1) {
		explain(&a);
		goto out;
	}
	close_unwanted(&a);
	log_serving(&a);
	for (size_t i = 0; i < n; i++) {
		fds[i] = a.opened[i].fd;
		if (fds[i] == -1)
			continue;
		if (lend(&a, i) == -1) {
			close_opened(&a);
			goto out;
		}
		pfk__listener_record(w->loop->ledger, fds[i], &want[i],
		    &a.opened[i].bound, a.opened[i].opened_ns);
	}
	/* All workers have the same: one says it. */
	if (w->slot == 0)
		check_buffers(&a);
	w->listened = true;
	rc = 0;
out:
	free(a.opened);
	return rc;
}

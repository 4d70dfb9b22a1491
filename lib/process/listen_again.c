/*
 * listen_again.c: a successor's listeners, which are those of its predecessor,
 * and the line about the listeners of a worker that has taken its place.
 *
 * Layer: process.
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "event/ledger.h"
#include "net/listener.h"
#include "process/worker.h"

/* So many addresses in one line; more are only counted. */
#define LISTED 4

void
pfk__listener_record(struct pfk__ledger *g, int fd,
    const struct pfk_listen *want, const struct pfk_addr *bound,
    uint64_t opened_ns)
{
	struct pfk__record *r = g != NULL ? pfk__record(g, fd) : NULL;

	if (r == NULL)
		return;
	r->owner = -1;
	r->armed = 0;
	r->listener.asked = want->addr;
	r->listener.bound = *bound;
	r->listener.kind = (int32_t)want->kind;
	r->listener.opened_ns = opened_ns;
	pfk__ledger_note(g, fd,
	    want->kind == PFK_TCP ? PFK__ENTRY_LISTENER : PFK__ENTRY_DATAGRAM);
}

/* The predecessor's listener for want, or -1. */
static int
recorded(const struct pfk__ledger *g, const struct pfk_listen *want)
{
	for (int fd = 0; fd < g->size && fd <= g->head->top; fd++) {
		const struct pfk__record *r = &g->records[fd];

		if ((r->entry == PFK__ENTRY_LISTENER ||
			r->entry == PFK__ENTRY_DATAGRAM ||
			r->entry == PFK__ENTRY_LEFT) &&
		    r->owner == -1 && r->listener.kind == (int)want->kind &&
		    pfk_addr_equal(&r->listener.asked, &want->addr))
			return fd;
	}
	return -1;
}

void
pfk__serving_add(struct pfk__serving_line *line, enum pfk_kind kind,
    const struct pfk_addr *bound)
{
	size_t n = strlen(line->text);
	char name[PFK_ADDR_SIZE];

	if (++line->n <= LISTED)
		snprintf(line->text + n, sizeof(line->text) - n, "%s%s %s",
		    n > 0 ? ", " : "", pfk__kind_name(kind),
		    pfk_addr_format(name, bound));
}

void
pfk__serving_log(const struct pfk__serving_line *line)
{
	if (line->n > LISTED)
		pfk_log(PFK_INFO, "serving on %zu addresses", line->n);
	else if (line->n > 0)
		pfk_log(PFK_INFO, "serving on %s", line->text);
}

/* A successor opens nothing: its predecessor's sockets are in its table. */
int
pfk__listen_again(struct pfk_worker *w, const struct pfk_listen *want, size_t n,
    int *fds)
{
	bool left = pfk__ledger_has_left(w->ledger);
	struct pfk__serving_line line = {0};
	char name[PFK_ADDR_SIZE];

	for (size_t i = 0; i < n; i++) {
		fds[i] = recorded(w->ledger, &want[i]);
		if (fds[i] != -1 && !left) {
			pfk__listener_reclaim(fds[i]);
			pfk__serving_add(&line, want[i].kind,
			    &w->ledger->records[fds[i]].listener.bound);
		} else if (fds[i] == -1 && !want[i].optional) {
			return pfk_worker_fail(w, EX_SOFTWARE,
			    "the predecessor left no listener for %s",
			    pfk_addr_format(name, &want[i].addr));
		}
	}
	pfk__serving_log(&line);
	w->listened = true;
	return 0;
}

/*
 * Those that the program has opened and does not serve, because its servers and
 * endpoints have left theirs already; and those of a predecessor that died amid it.
 */
void
pfk__listeners_leave(void *ledger)
{
	struct pfk__ledger *g = ledger;

	for (int fd = 0; fd < g->size && fd <= g->head->top; fd++) {
		const struct pfk__record *r = &g->records[fd];

		if ((r->entry == PFK__ENTRY_LISTENER ||
			r->entry == PFK__ENTRY_DATAGRAM ||
			r->entry == PFK__ENTRY_LEFT) &&
		    r->owner == -1)
			pfk__ledger_leave(g, fd);
	}
}

/*
 * kill.c: end the connections of one peer, in whichever worker has them.
 *
 * Layer: process.  The master does not know the connections, so it orders all
 * workers to end them.  A worker that stands still does so when it goes on.
 */
#include "process/kill.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "process/control.h"
#include "process/master.h"

static bool
is_due(const struct pfk__child *c, uint64_t ticket)
{
	return c->kill_asked >= ticket && c->kill_answered < ticket;
}

/* the result */

static void
report(struct pfk__client *c)
{
	if (c->ended > 0)
		pfk__client_done(c, "closed %d connection%s of %s, in slot %d",
		    c->ended, c->ended == 1 ? "" : "s", c->peer, c->slot);
	else if (c->excuse[0] != '\0')
		pfk__client_fail(c, EX_TEMPFAIL, "%s", c->excuse);
	else
		pfk__client_fail(c, EX_NOHOST,
		    "no worker has a connection of %s; see prefork-ctl "
		    "connections",
		    c->peer);
}

static void
finish(struct pfk__control_socket *k)
{
	const struct pfk__child *child;
	struct pfk__client *c, *next;
	bool due;

	TAILQ_FOREACH_SAFE(c, &k->clients, link, next) {
		if (c->wish != PFK__WISH_KILL)
			continue;
		due = false;
		LIST_FOREACH(child, &k->master->children, link)
			due = due || is_due(child, c->number);
		if (!due)
			report(c);
	}
}

void
pfk__kill_late(struct pfk__client *c)
{
	const struct pfk__child *child;
	char silent[200] = "", one[32];

	LIST_FOREACH(child, &c->control->master->children, link) {
		if (!is_due(child, c->number))
			continue;
		snprintf(one, sizeof(one), "%s%d (%d)",
		    silent[0] != '\0' ? ", " : "", child->slot,
		    (int)pfk__child_pid(child));
		strlcat(silent, one, sizeof(silent));
	}
	snprintf(c->excuse, sizeof(c->excuse),
	    "no answer yet of worker %s, which closes the connection when it "
	    "goes on; the others do not have it",
	    silent);
	report(c);
}

/* answers */

static struct pfk__client *
find(const struct pfk__master *m, uint64_t ticket)
{
	struct pfk__client *c;

	TAILQ_FOREACH(c, &m->control->clients, link) {
		if (c->wish == PFK__WISH_KILL && c->number == ticket)
			return c;
	}
	return NULL;
}

void
pfk__kill_answered(struct pfk__child *c, const struct pfk__message *msg)
{
	struct pfk__client *client;

	if (!is_due(c, msg->ns) || c->master->control == NULL)
		return; /* the worker died meanwhile, or it lies */
	client = find(c->master, msg->ns);
	c->kill_answered = msg->ns;
	if (client != NULL && msg->status > 0) {
		client->ended += msg->status > UINT16_MAX ? UINT16_MAX
							  : msg->status;
		client->slot = c->slot;
	} else if (client != NULL && msg->status < 0) {
		snprintf(client->excuse, sizeof(client->excuse),
		    "the connection is on its way to another worker; try "
		    "again");
	}
	finish(c->master->control);
}

static void
excuse(struct pfk__child *c)
{
	struct pfk__client *client;

	TAILQ_FOREACH(client, &c->master->control->clients, link) {
		if (client->wish == PFK__WISH_KILL && is_due(c, client->number))
			snprintf(client->excuse, sizeof(client->excuse),
			    "worker %d (%d) has died meanwhile; try again",
			    c->slot, (int)pfk__child_pid(c));
	}
	c->kill_answered = c->kill_asked;
}

void
pfk__kill_forget(struct pfk__child *c)
{
	if (c->kill_answered == c->kill_asked || c->master->control == NULL)
		return;
	excuse(c);
	finish(c->master->control);
}

/* orders */

static void
ask(struct pfk__child *c, uint64_t ticket, const struct pfk_addr *peer)
{
	struct pfk__message msg = {.type = PFK__MSG_KILL,
	    .ns = ticket,
	    .asked = *peer};

	if (c->phase == PFK__PHASE_BOOTING || c->channel == -1)
		return;
	c->kill_asked = ticket;
	if (pfk__child_tell(c, &msg, -1) == -1)
		excuse(c);
}

void
pfk__kill_order(struct pfk__client *c, const char *argument)
{
	struct pfk__master *m = c->control->master;
	const char *errstr = NULL;
	char host[PFK_HOST_SIZE];
	struct pfk__child *child;
	struct pfk_addr peer;
	uint16_t port = 0;

	if (argument == NULL ||
	    pfk_host_split(argument, host, &port, &errstr) == -1 || port == 0 ||
	    pfk_addr_parse(&peer, host, port) == -1) {
		pfk__client_fail(c, EX_USAGE,
		    "kill takes ADDR:PORT of a peer, as prefork-ctl "
		    "connections prints it%s%s",
		    errstr != NULL ? ": " : "", errstr != NULL ? errstr : "");
		return;
	}
	pfk_addr_format(c->peer, &peer);
	pfk__client_wait(c, PFK__WISH_KILL, ++c->control->tickets);
	LIST_FOREACH(child, &m->children, link)
		ask(child, c->number, &peer);
	finish(c->control);
}

/*
 * protocol.c: --api protocol: a transport and a protocol's callbacks.
 */
#include <errno.h>
#include <string.h>

#include "../shared/quote.h"
#include "client.h"

static struct {
	struct pfk_connector *connector;
	struct pfk_transport *tr;
	bool full; /* enough is unsent */
} session;

static void
log_info(const struct pfk_transport *tr)
{
	static const char *const names[] = {"TCP_NODELAY", "SO_RCVBUF",
	    "SO_SNDBUF"};
	char name[PFK_ADDR_SIZE];
	int value;

	pfk_log(PFK_INFO, "connected to %s",
	    quote_addr(name, pfk_peername(tr)));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (pfk_extra_info(tr, names[i], &value, sizeof(value)) == 0)
			pfk_log(PFK_INFO, "%s: %d", names[i], value);
	}
}

static void
pump(struct client *c)
{
	const void *buf;
	size_t len;

	if (session.tr == NULL)
		return;
	while (!session.full && (buf = transfer_next(c, &len)) != NULL) {
		if (pfk_write(session.tr, buf, len) == -1)
			return; /* connection_lost follows */
		transfer_sent(c, buf, len);
		session.full = pfk_write_buffered(session.tr) > 0;
	}
	if (transfer_finish(c))
		pfk_write_eof(session.tr);
}

static void *
connection_made(struct pfk_transport *tr, void *arg)
{
	struct client *c = arg;

	session.connector = NULL;
	session.tr = tr;
	session.full = false;
	log_info(tr);
	log_transport(&c->o, tr);
	transfer_first_sent(c);
	pfk_set_write_limits(tr, 0, 0);
	pump(c);
	return c;
}

static void
data_received(void *self, const void *buf, size_t len)
{
	transfer_received(self, buf, len);
}

static bool
eof_received(void *self)
{
	transfer_ended(self, 0);
	return false;
}

static void
resume_writing(void *self)
{
	session.full = false;
	pump(self);
}

static void
connection_lost(void *self, int error)
{
	session.tr = NULL;
	transfer_ended(self, error);
}

static const struct pfk_protocol protocol = {
    .connection_made = connection_made,
    .data_received = data_received,
    .eof_received = eof_received,
    .resume_writing = resume_writing,
    .connection_lost = connection_lost,
};

/* The session is over, the transport may still close. */
static const struct pfk_protocol nothing = {0};

static void
failed(void *arg, int error, const char *causes)
{
	session.connector = NULL;
	client_not_connected(arg, error, causes);
}

static void
start(struct client *c)
{
	transfer_first(c);
	session.connector = pfk_connect(c->loop, &c->connect, &protocol, c,
	    failed);
	if (session.connector == NULL)
		client_not_connected(c, errno, NULL);
}

static void
stop(struct client *c)
{
	(void)c;
	pfk_connect_cancel(&session.connector);
	if (session.tr == NULL)
		return;
	pfk_set_protocol(session.tr, &nothing);
	pfk_close(session.tr);
	session.tr = NULL;
}

const struct mode protocol_mode = {"protocol", start, pump, stop};

/*
 * open.c: where streams come from: a listener, or a connection of ours.
 *
 * Layer: stream.  asyncio's start_server and open_connection.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/misuse.h"
#include "stream/stream.h"
#include "transport/connector.h"
#include "transport/server.h"

/* serving */

struct service {
	void (*connected)(struct pfk_stream *s, void *arg);
	void *arg;
};

static void *
accepted(struct pfk_transport *tr, void *arg)
{
	const struct service *service = arg;
	struct pfk_stream *s = pfk__stream_new(tr->io.loop);

	if (s == NULL)
		return NULL;
	s->tr = tr;
	pfk_set_protocol(tr, &pfk__stream_protocol);
	s->delivering = true;
	service->connected(s, service->arg);
	s->delivering = false;
	return s;
}

static const struct pfk_protocol accepting = {.connection_made = accepted};

struct pfk_server *
pfk_stream_serve(struct pfk_loop *l, int fd,
    void (*connected)(struct pfk_stream *s, void *arg), void *arg,
    const struct pfk_server_options *options)
{
	struct service *service;
	struct pfk_server *server;

	if (pfk__need_callback("pfk_stream_serve", connected != NULL) == -1)
		return NULL;
	service = malloc(sizeof(*service));
	if (service == NULL)
		return NULL;
	*service = (struct service){.connected = connected, .arg = arg};
	server = pfk__serve("pfk_stream_serve", l, fd, &accepting, service,
	    options);
	if (server == NULL) {
		free(service);
		return NULL;
	}
	server->release = free;
	return server;
}

/* connecting */

static void *
connection_made(struct pfk_transport *tr, void *arg)
{
	struct pfk_stream *s = arg;
	struct pfk_result r = {0};

	s->connector = NULL;
	s->tr = tr;
	pfk_set_protocol(tr, &pfk__stream_protocol);
	pfk__stream_end(s, &s->open, &r);
	return s;
}

static const struct pfk_protocol connecting = {
    .connection_made = connection_made,
};

static void
failed(void *arg, int error, const char *causes)
{
	struct pfk_stream *s = arg;
	struct pfk_result r = {.len = strlen(causes), .error = error};

	s->connector = NULL;
	s->error = error;
	/* The causes end with this call, the result perhaps later. */
	if (pfk__buffer_append(&s->in, causes, r.len + 1) == 0) {
		s->held = s->in.len;
		r.buf = s->in.base;
	} else {
		r.len = 0;
	}
	pfk__stream_end(s, &s->open, &r);
	pfk__stream_release(s);
}

struct pfk_stream *
pfk_stream_open(struct pfk_loop *l, const struct pfk_connect_options *options,
    void (*cb)(void *arg, const struct pfk_result *r), void *arg)
{
	struct pfk_stream *s = pfk__stream_new(l);

	if (s == NULL)
		return NULL;
	pfk__stream_begin("pfk_stream_open", s, &s->open, cb, arg);
	s->connector = pfk__connect("pfk_stream_open", l, options, &connecting,
	    s, failed);
	if (s->connector == NULL) {
		pfk__stream_free(s);
		return NULL;
	}
	return s;
}

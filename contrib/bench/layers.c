/*
 * layers --layer LAYER [-p PORT]: echo by one layer of the library, in messages
 * of 64 bytes.  For `bench --pair`: the layers differ in nothing else.
 *
 *	protocol  data_received writes the bytes that it was given, by one write
 *	stream    pfk_read_exactly and pfk_stream_write for each message
 *	drained   the same, and pfk_stream_drain before the next read
 */
#include <prefork.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE 64

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	return tr;
}

static void
received(void *self, const void *buf, size_t len)
{
	pfk_write(self, buf, len);
}

static const struct pfk_protocol protocol = {.connection_made = made,
    .data_received = received};

static void
on_message(void *arg, const struct pfk_result *r)
{
	struct pfk_stream *s = arg;

	if (r->error != 0) {
		pfk_stream_close(&s);
		return;
	}
	pfk_stream_write(s, r->buf, r->len);
	pfk_read_exactly(s, MESSAGE, on_message, s);
}

static void
begin(struct pfk_stream *s, void *arg)
{
	(void)arg;
	pfk_read_exactly(s, MESSAGE, on_message, s);
}

static void on_drained(void *arg, const struct pfk_result *r);

static void
on_undrained(void *arg, const struct pfk_result *r)
{
	struct pfk_stream *s = arg;

	if (r->error != 0) {
		pfk_stream_close(&s);
		return;
	}
	pfk_stream_write(s, r->buf, r->len);
	pfk_stream_drain(s, on_drained, s);
}

static void
on_drained(void *arg, const struct pfk_result *r)
{
	(void)r;
	pfk_read_exactly(arg, MESSAGE, on_undrained, arg);
}

static void
begin_drained(struct pfk_stream *s, void *arg)
{
	(void)arg;
	pfk_stream_drain(s, on_drained, s);
}

/* One service a layer; all listeners are of the one that is asked for. */
static const struct pfk_service services[] = {{.tcp = &protocol},
    {.name = "stream", .stream = begin},
    {.name = "drained", .stream = begin_drained}, {0}};

struct config {
	char *layer;
};

static const struct pfk_option options[] = {
    {0, "layer", "LAYER", PFK_OPT_STRING,
	.offset = offsetof(struct config, layer),
	.help = "protocol, stream or drained"},
    {0},
};

static int
check(struct pfk_setup *s, char *err)
{
	const struct config *c = s->config;
	int layer = 0;

	if (strcmp(c->layer, "protocol") != 0) {
		for (layer = 1; services[layer].name != NULL; layer++) {
			if (strcmp(services[layer].name, c->layer) == 0)
				break;
		}
	}
	for (size_t i = 0; i < s->n_endpoints; i++)
		s->endpoints[i].service = layer;
	if (layer == 0 || services[layer].name != NULL)
		return 0;
	snprintf(err, PFK_ERROR_SIZE, "layer: there is no layer '%s'",
	    c->layer);
	return -1;
}

int
main(int argc, char **argv)
{
	char standard[] = "protocol";
	struct config defaults = {.layer = standard};
	struct pfk_program program = {.services = services,
	    .port = 8888,
	    .options = options,
	    .config_bytes = sizeof(defaults),
	    .defaults = &defaults,
	    .check = check};

	return pfk_main(&program, argc, argv);
}

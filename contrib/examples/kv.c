/*
 * kv [-p PORT]: the lines SET KEY VALUE, GET KEY and DEL KEY, each answered by
 * KEY=VALUE as it is then, or NONE, on the stream layer.  Workers share nothing,
 * so there is one; after a reload it begins with nothing.
 */
#include <envz.h>
#include <errno.h>
#include <prefork.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pfk_loop *loop;
static char *store; /* KEY=VALUE strings, envz_add(3) */
static size_t store_len;
static int requests, bytes; /* metrics, for prefork-ctl(8) */

static const char *
run(char *line)
{
	const char *verb = strsep(&line, " "), *key = strsep(&line, " ");

	if (key == NULL || *key == '\0' || strchr(key, '=') != NULL)
		return "ERROR";
	if (strcmp(verb, "SET") == 0 && line != NULL && store_len < 1000000)
		envz_add(&store, &store_len, key, line);
	else if (strcmp(verb, "DEL") == 0)
		envz_remove(&store, &store_len, key);
	else if (strcmp(verb, "GET") != 0)
		return "ERROR";
	return envz_entry(store, store_len, key) ?: "NONE";
}

/* A line has come or, without one, the last answer is on its way: read on. */
static void
on_event(void *arg, const struct pfk_result *r)
{
	struct pfk_stream *s = arg;
	char buf[260] = "";

	if (r->error == 0 && r->len == 0) {
		pfk_read_until(s, '\n', on_event, s);
	} else if (r->error == 0 && r->len <= 256) {
		memcpy(buf, r->buf, r->len - 1);
		pfk_metric_add(loop, requests, 1);
		pfk_stream_write(s, buf, snprintf(buf, 260, "%s\n", run(buf)));
		pfk_metric_set(loop, bytes, store_len);
		pfk_stream_drain(s, on_event, s);
	} else {
		if (r->error != ENODATA)
			pfk_stream_write(s, "TOO LONG\n", 9);
		pfk_stream_close(&s);
	}
}

static void
begin(struct pfk_stream *s, void *arg)
{
	(void)arg;
	pfk_stream_drain(s, on_event, s);
}

static int
worker_init(struct pfk_worker *w, const struct pfk_setup *setup)
{
	(void)setup;
	loop = pfk_worker_loop(w);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct pfk_service services[] = {{.stream = begin}, {0}};
	static const struct pfk_program program = {.services = services,
	    .port = 6380,
	    .workers = 1,
	    .worker_init = worker_init};

	requests = pfk_metric_define(PFK_COUNTER, "kv_requests_total",
	    "Lines.");
	bytes = pfk_metric_define(PFK_GAUGE, "kv_store_bytes", "In the store.");
	return pfk_main(&program, argc, argv);
}

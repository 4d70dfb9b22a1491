/*
 * prefork-exporter.c: the answers of two services, of which any may lie, to the
 * exporter's question.
 */
#include "../../cmd/prefork-exporter/exporter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "event/loop.h"
#include "fuzz.h"

#define SERVICES 2

static char paths[SERVICES][64];
static int listeners[SERVICES];

static void
remove_sockets(void)
{
	for (int i = 0; i < SERVICES; i++)
		unlink(paths[i]);
}

static void
listen_all(void)
{
	for (int i = 0; i < SERVICES; i++) {
		struct sockaddr_un sun = {.sun_family = AF_UNIX};

		snprintf(paths[i], sizeof(paths[i]), "/tmp/prefork-fuzz-%d-%d",
		    (int)getpid(), i);
		strlcpy(sun.sun_path, paths[i], sizeof(sun.sun_path));
		unlink(paths[i]);
		listeners[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (bind(listeners[i], (struct sockaddr *)&sun, sizeof(sun)) ==
			-1 ||
		    listen(listeners[i], 4) == -1)
			abort();
	}
	atexit(remove_sockets);
}

static void
on_done(void *arg)
{
	*(bool *)arg = true;
}

/* A byte of 0xff stands between the two answers. */
static void
answer(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, 0xff, size);
	size_t n = end != NULL ? (size_t)(end - data) : size;

	for (int i = 0; i < SERVICES; i++) {
		int fd = accept(listeners[i], NULL, NULL);

		send(fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		close(fd);
		data += end != NULL ? n + 1 : n;
		size -= end != NULL ? n + 1 : n;
		n = size;
		end = NULL;
	}
}

static void
merge(struct reply *list, int n)
{
	char text[SERVICES_MAX * 300], *merged;
	size_t len = 0;

	merged = merge_metrics(list, n, false, &len);
	if (merged == NULL || strlen(merged) != len)
		abort();
	free(merged);
	merged = merge_metrics(list, n, true, &len);
	if (merged == NULL || len < 6 ||
	    strcmp(merged + len - 6, "# EOF\n") != 0)
		abort();
	free(merged);
	merged = merge_json(list, n, "status", &len);
	if (merged == NULL || strcmp(merged + len - 3, "]}\n") != 0)
		abort();
	free(merged);
	merge_health(list, n, true, text, sizeof(text));
	if (strlen(text) >= sizeof(text))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *sockets[] = {paths[0], paths[1]};
	struct settings s = {.sockets = sockets, .n_sockets = SERVICES};
	struct pfk_loop *l;
	struct gather *g;
	bool done = false;
	int n;

	if (listeners[0] == 0)
		listen_all();
	pfk_log_set_level(PFK_ERROR);
	l = pfk_loop_new(NULL);
	if (l == NULL)
		abort();
	g = gather_start(l, &s, ASK_METRICS, on_done, &done);
	if (g == NULL)
		abort();
	answer(data, size < 32768 ? size : 32768);
	for (int i = 0; i < 100 && !done; i++)
		fuzz_turn(l, 1);
	if (!done)
		abort();
	merge(gather_replies(g, &n), SERVICES);
	gather_free(g);
	pfk_loop_free(l);
	return 0;
}

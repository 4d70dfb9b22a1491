/*
 * cache [-p PORT] [--memory SIZE] [--file PATH]: the text protocol of memcached(1).
 *
 * All workers have one cache, in a zone.  A connection survives its worker: each
 * command is a transaction over the zone, over the connection's block, which
 * holds a command that waits for its value, and over its answer.  So if a worker is
 * killed, clients notice nothing, and each command is carried out once.  With --file
 * the items outlive the master, too: they are there after an upgrade or its death.
 */
#include <errno.h>
#include <prefork.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <time.h>

#define LINE 8192
#define KEY 250
#define VALUE 1048576
#define SKIP_BYTES 65536 /* at a time */
#define MONTH_S 2592000

enum verb { NONE, SET, ADD, REPLACE, APPEND, PREPEND, CAS, SKIP };

static const char *const verbs[] = {"", "set", "add", "replace", "append",
    "prepend", "cas"};

/* A connection's block: a command that waits for its value. */
struct waiting {
	enum verb verb; /* NONE: there is none */
	bool quiet;
	size_t len; /* of the value, or what is left to skip */
	struct pfk_zone_item how;
	char key[KEY + 1];
};

static struct pfk_zone *zone;
static char value[VALUE];

/* As memcached has it: seconds from now, or since 1970, or over already. */
static uint64_t
ttl_of(const char *text)
{
	long long s = text != NULL ? strtoll(text, NULL, 10) : 0;

	if (s > MONTH_S)
		s = s > time(NULL) ? s - time(NULL) : -1;
	return s < 0 ? 1 : (uint64_t)s * PFK_SECOND_NS;
}

static bool
number(const char *text, uint64_t *n)
{
	char *end;

	if (text == NULL || *text < '0' || *text > '9')
		return false;
	errno = 0;
	*n = strtoull(text, &end, 10);
	return *end == '\0' && errno == 0;
}

static const char *
result(int rc)
{
	if (rc == 0)
		return "STORED";
	if (errno == E2BIG)
		return "SERVER_ERROR object too large for cache";
	return errno == ESTALE ? "EXISTS" : "NOT_STORED";
}

/* Put bytes before or behind those that are there. */
static const char *
extend(const struct waiting *w, const char *buf)
{
	struct pfk_zone_item it;
	size_t n = strlen(w->key), at = w->verb == PREPEND ? w->len : 0;
	int rc;

	do {
		rc = pfk_zone_get(zone, w->key, n, value + at, VALUE - at, &it);
		if (rc == -1)
			break;
		errno = E2BIG;
		rc = -1;
		if (it.len + w->len > VALUE)
			break;
		memcpy(w->verb == PREPEND ? value : value + it.len, buf,
		    w->len);
		rc = pfk_zone_put(zone, w->key, n, value, it.len + w->len,
		    PFK_ZONE_SAME, &it);
	} while (rc == -1 && errno == ESTALE);
	return result(rc);
}

static const char *
store(const struct waiting *w, const char *buf)
{
	static const enum pfk_zone_when when[] = {[SET] = PFK_ZONE_ALWAYS,
	    [ADD] = PFK_ZONE_NEW,
	    [REPLACE] = PFK_ZONE_OLD,
	    [CAS] = PFK_ZONE_SAME};
	const char *answer;

	if (memcmp(buf + w->len, "\r\n", 2) != 0)
		return "CLIENT_ERROR bad data chunk";
	if (w->verb == APPEND || w->verb == PREPEND)
		return extend(w, buf);
	answer = result(pfk_zone_put(zone, w->key, strlen(w->key), buf, w->len,
	    when[w->verb], &w->how));
	return w->verb == CAS && strcmp(answer, "NOT_STORED") == 0 ? "NOT_FOUND"
								   : answer;
}

/* VERB KEY FLAGS TTL LENGTH [VERSION] [noreply]: its value follows. */
static const char *
await(struct pfk_transport *tr, enum verb verb, char *rest)
{
	struct waiting *w = pfk_block(tr);
	const char *key = strsep(&rest, " "), *flags = strsep(&rest, " ");
	const char *ttl = strsep(&rest, " "), *len = strsep(&rest, " ");
	const char *version = verb == CAS ? strsep(&rest, " ") : "0";
	uint64_t f, n, v;

	if (!number(flags, &f) || f > UINT32_MAX || !number(len, &n) ||
	    n > UINT32_MAX || !number(version, &v) || *key == '\0' ||
	    strlen(key) > KEY)
		return "CLIENT_ERROR bad command line format";
	*w = (struct waiting){.verb = verb,
	    .quiet = rest != NULL && strcmp(rest, "noreply") == 0,
	    .len = n,
	    .how = {.version = v, .ttl_ns = ttl_of(ttl), .flags = (uint32_t)f}};
	memcpy(w->key, key, strlen(key) + 1);
	if (n <= VALUE) {
		pfk_receive_exactly(tr, n + 2);
		return NULL;
	}
	w->verb = SKIP;
	w->len = n + 2;
	pfk_receive_exactly(tr, SKIP_BYTES);
	return "SERVER_ERROR object too large for cache";
}

/* An item that is asked for. */
struct asked {
	struct pfk_transport *tr;
	const char *key;
	bool with_version;
};

static void
show(void *arg, const struct pfk_zone_item *it, const struct iovec *v, int n)
{
	const struct asked *a = arg;
	char head[KEY + 80], version[24] = "";

	if (a->with_version)
		snprintf(version, sizeof(version), " %ju",
		    (uintmax_t)it->version);
	pfk_write(a->tr, head,
	    (size_t)snprintf(head, sizeof(head), "VALUE %s %u %zu%s\r\n",
		a->key, it->flags, it->len, version));
	pfk_writev(a->tr, v, n);
	pfk_write(a->tr, "\r\n", 2);
}

static const char *
get(struct pfk_transport *tr, char *keys, bool with_version)
{
	struct asked a = {.tr = tr, .with_version = with_version};

	while ((a.key = strsep(&keys, " ")) != NULL) {
		if (strlen(a.key) > KEY)
			return "CLIENT_ERROR bad command line format";
		pfk_zone_show(zone, a.key, strlen(a.key), show, &a);
	}
	return "END";
}

static const char *
count(const char *key, const char *by, bool down)
{
	static char text[24];
	uint64_t n;

	if (key == NULL || !number(by, &n))
		return "CLIENT_ERROR invalid numeric delta argument";
	if (pfk_zone_add(zone, key, strlen(key), n, down, &n) == -1)
		return errno == EINVAL ? "CLIENT_ERROR cannot increment or "
					 "decrement non-numeric value"
				       : "NOT_FOUND";
	snprintf(text, sizeof(text), "%ju", (uintmax_t)n);
	return text;
}

static const char *
stats(void)
{
	static char text[256];
	struct pfk_zone_stats s;

	pfk_zone_stats(zone, &s);
	snprintf(text, sizeof(text),
	    "STAT curr_items %ju\r\nSTAT bytes %ju\r\nSTAT evictions %ju\r\nEND",
	    (uintmax_t)s.items, (uintmax_t)(s.bytes - s.free_bytes),
	    (uintmax_t)s.evicted);
	return text;
}

/* The other commands, and how many words are behind them, but for noreply. */
static const struct command {
	const char *verb;
	int least, most;
	bool quiet; /* it may have noreply */
} commands[] = {{"incr", 2, 2, true}, {"decr", 2, 2, true},
    {"touch", 2, 2, true}, {"delete", 1, 1, true}, {"flush_all", 0, 1, true},
    {"verbosity", 1, 1, true}, {"stats", 0, 0, false}, {"version", 0, 0, false},
    {"quit", 0, 0, false}, {NULL, 0, 0, false}};

static const char *
run_command(struct pfk_transport *tr, const char *verb, const char *a,
    const char *b)
{
	switch (*verb) {
	case 'i':
	case 'd':
		if (b != NULL)
			return count(a, b, *verb == 'd');
		return pfk_zone_delete(zone, a, strlen(a)) == 0 ? "DELETED"
								: "NOT_FOUND";
	case 't':
		return pfk_zone_touch(zone, a, strlen(a), ttl_of(b)) == 0
		    ? "TOUCHED"
		    : "NOT_FOUND";
	case 's':
		return stats();
	case 'q':
		pfk_close(tr);
		return NULL;
	case 'f':
		pfk_zone_clear(zone);
		return "OK";
	default:
		return verb[3] == 's' ? "VERSION 1.0" : "OK";
	}
}

static const char *
run(struct pfk_transport *tr, char *rest, bool *quiet)
{
	const char *verb = strsep(&rest, " ");
	const struct command *c = commands;
	char *words[4] = {NULL};
	int n = 0;

	for (int i = SET; i <= CAS && rest != NULL; i++) {
		if (strcmp(verb, verbs[i]) == 0)
			return await(tr, (enum verb)i, rest);
	}
	if (rest != NULL && strncmp(verb, "gets", strlen(verb)) == 0 &&
	    strlen(verb) >= 3)
		return get(tr, rest, verb[3] == 's');
	while (c->verb != NULL && strcmp(c->verb, verb) != 0)
		c++;
	while (rest != NULL && n < 4)
		words[n++] = strsep(&rest, " ");
	*quiet = c->quiet && n > 0 && strcmp(words[n - 1], "noreply") == 0;
	if (*quiet)
		words[--n] = NULL;
	if (c->verb == NULL || n < c->least || n > c->most)
		return "ERROR";
	return run_command(tr, verb, n > 0 ? words[0] : "", words[1]);
}

/* the connection */

static void
answer(struct pfk_transport *tr, const char *line, bool quiet)
{
	if (line == NULL || quiet)
		return;
	pfk_write(tr, line, strlen(line));
	pfk_write(tr, "\r\n", 2);
}

/* The value that a command waits for, or a piece of one that is too large. */
static const char *
take(struct pfk_transport *tr, struct waiting *w, const char *buf, size_t n)
{
	const char *line = w->verb != SKIP ? store(w, buf) : NULL;

	if (w->verb == SKIP && (w->len -= n) > 0) {
		pfk_receive_exactly(tr, MIN(w->len, SKIP_BYTES));
		return NULL;
	}
	w->verb = NONE;
	pfk_receive_until(tr, '\n', LINE);
	return line;
}

static void
received(void *self, const void *buf, size_t len)
{
	struct waiting *w = pfk_block(self);
	const char *end = (const char *)buf + len - 1, *line;
	bool quiet = false;
	char text[LINE];

	if (w->verb != NONE) {
		answer(self, take(self, w, buf, len), w->quiet);
	} else if (*end != '\n') {
		answer(self, "CLIENT_ERROR line too long", false);
		pfk_close(self);
	} else {
		len -= len > 1 && end[-1] == '\r' ? 2 : 1;
		memcpy(text, buf, len);
		text[len] = '\0';
		line = run(self, text, &quiet);
		answer(self, line, quiet);
	}
}

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	return pfk_receive_until(tr, '\n', LINE) == 0 ? tr : NULL;
}

static void *
resumed(struct pfk_transport *tr, void *arg, const void *buf, size_t len)
{
	(void)arg;
	(void)buf;
	(void)len;
	return tr;
}

static const struct pfk_protocol cache = {.connection_made = made,
    .data_received = received,
    .hand_over = pfk_hand_over_block,
    .connection_resumed = resumed,
    .survives = true,
    .block_bytes = sizeof(struct waiting)};

/* the program */

struct config {
	int64_t memory;
	char *file;
};

static const struct pfk_option options[] = {
    {0, "memory", "SIZE", PFK_OPT_SIZE,
	.offset = offsetof(struct config, memory), .min = 4 << 20,
	.max = INT64_C(1) << 40,
	.help = "of the cache, from the start on (64M)"},
    {0, "file", "PATH", PFK_OPT_STRING, .offset = offsetof(struct config, file),
	.help = "of the cache, on a tmpfs; an upgrade keeps it (none)"},
    {0},
};

static int
check(struct pfk_setup *s, char *err)
{
	const struct config *c = s->config;

	if (zone == NULL)
		zone = pfk_zone_open(c->file, (size_t)c->memory);
	if (zone != NULL)
		return 0;
	snprintf(err, PFK_ERROR_SIZE, "cannot make a cache of %jd bytes: %s",
	    (intmax_t)c->memory, strerror(errno));
	return -1;
}

int
main(int argc, char **argv)
{
	static const struct pfk_service services[] = {{.tcp = &cache}, {0}};
	const struct config defaults = {.memory = 64 << 20};
	const struct pfk_program program = {.version = "1.0",
	    .about = "A cache with memcached's text protocol.",
	    .services = services,
	    .port = 11211,
	    .options = options,
	    .config_bytes = sizeof(defaults),
	    .defaults = &defaults,
	    .check = check};

	return pfk_main(&program, argc, argv);
}

/*
 * connections.c: show a list of connections: as it is, summed up, or as JSON.
 *
 * The service's answer has a line each, "SLOT ADDR:PORT SINCE IDLE RECEIVED
 * SENT", the times in seconds and "-" where unknown; a line "! TEXT" says that
 * the list is not complete.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "ctl.h"

#define INCOMPLETE 1

/* A connection, or all of one source or slot. */
struct row {
	char peer[PFK_ADDR_SIZE]; /* or a source, or a slot */
	int slot;
	unsigned long count;
	double since, idle; /* negative: unknown; the longest and the least */
	unsigned long long received, sent;
};

struct table {
	struct row *rows;
	size_t n, size;
	bool incomplete;
};

/* reading */

static int
add(struct table *t, const struct row *row)
{
	if (t->n == t->size) {
		size_t size = t->size > 0 ? 2 * t->size : 256;
		struct row *larger = reallocarray(t->rows, size, sizeof(*row));

		if (larger == NULL)
			return -1;
		t->rows = larger;
		t->size = size;
	}
	t->rows[t->n++] = *row;
	return 0;
}

static_assert(PFK_ADDR_SIZE == 80, "the width in the format below");

static bool
parse(char *line, struct row *row)
{
	char since[32];

	*row = (struct row){.count = 1, .since = -1};
	if (sscanf(line, "%d %79s %31s %lf %llu %llu", &row->slot, row->peer,
		since, &row->idle, &row->received, &row->sent) != 6)
		return false;
	if (strcmp(since, "-") != 0)
		row->since = strtod(since, NULL);
	return true;
}

static int
read_table(struct table *t, char *text)
{
	struct row row;
	char *line;

	while ((line = strsep(&text, "\n")) != NULL) {
		if (line[0] == '!') {
			pfk_complain("%s", line + 1 + (line[1] == ' '));
			t->incomplete = true;
		} else if (line[0] != '\0') {
			if (!parse(line, &row)) {
				pfk_complain("the answer has a line of another "
					     "kind: '%.100s'",
				    line);
				return EX_PROTOCOL;
			}
			if (add(t, &row) == -1) {
				pfk_complain("out of memory");
				return EX_OSERR;
			}
		}
	}
	return EX_OK;
}

/* summing up */

static bool
is_by_slot(const struct ctl *c)
{
	return c->by != NULL && strcmp(c->by, "slot") == 0;
}

static int
by_key(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->peer,
	    ((const struct row *)b)->peer);
}

static int
by_bytes(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	unsigned long long v = x->received + x->sent, w = y->received + y->sent;

	if (v != w)
		return v > w ? -1 : 1;
	return by_key(a, b);
}

static int
by_count(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return by_bytes(a, b);
}

static void
merge(struct row *to, const struct row *from)
{
	to->count += from->count;
	to->received += from->received;
	to->sent += from->sent;
	if (from->since > to->since)
		to->since = from->since;
	if (from->idle < to->idle)
		to->idle = from->idle;
}

/* Without the port; or the slot in place of it. */
static void
set_key(struct row *row, bool slots)
{
	char *port = strrchr(row->peer, ':');

	if (slots)
		snprintf(row->peer, sizeof(row->peer), "%d", row->slot);
	else if (port != NULL)
		*port = '\0';
}

static void
sum_up(struct table *t, bool slots)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		set_key(&t->rows[i], slots);
	qsort(t->rows, t->n, sizeof(*t->rows), by_key);
	for (size_t i = 0; i < t->n; i++) {
		if (n > 0 && by_key(&t->rows[n - 1], &t->rows[i]) == 0)
			merge(&t->rows[n - 1], &t->rows[i]);
		else
			t->rows[n++] = t->rows[i];
	}
	t->n = n;
}

/* printing */

static const char *
seconds(char *dst, size_t size, double s)
{
	if (s < 0)
		strlcpy(dst, "-", size);
	else
		snprintf(dst, size, s < 100 ? "%.1fs" : "%.0fs", s);
	return dst;
}

static void
print_text(const struct ctl *c, const struct table *t)
{
	char since[32], idle[32];
	bool one = c->by == NULL;

	const char *key = one ? "PEER" : is_by_slot(c) ? "SLOT" : "SOURCE";

	printf("%-40s %11s %9s %9s %14s %14s\n", key,
	    one ? "SLOT" : "CONNECTIONS", "SINCE", "IDLE", "RECEIVED", "SENT");
	for (size_t i = 0; i < t->n; i++) {
		const struct row *r = &t->rows[i];

		printf("%-40s %11lu %9s %9s %14llu %14llu\n", r->peer,
		    one ? (unsigned long)r->slot : r->count,
		    seconds(since, sizeof(since), r->since),
		    seconds(idle, sizeof(idle), r->idle), r->received, r->sent);
	}
}

static void
print_json(const struct ctl *c, const struct table *t)
{
	const char *key = c->by != NULL ? c->by : "peer";
	const char *quote = is_by_slot(c) ? "" : "\"";

	printf("{\"complete\": %s, \"connections\": [",
	    t->incomplete ? "false" : "true");
	for (size_t i = 0; i < t->n; i++) {
		const struct row *r = &t->rows[i];

		printf("%s{\"%s\": %s%s%s, ", i > 0 ? ", " : "", key, quote,
		    r->peer, quote);
		if (c->by == NULL)
			printf("\"slot\": %d, ", r->slot);
		else
			printf("\"connections\": %lu, ", r->count);
		if (r->since < 0)
			printf("\"since_seconds\": null, ");
		else
			printf("\"since_seconds\": %.3f, ", r->since);
		printf("\"idle_seconds\": %.3f, \"received_bytes\": %llu, "
		       "\"sent_bytes\": %llu}",
		    r->idle, r->received, r->sent);
	}
	printf("]}\n");
}

int
connections_print(const struct ctl *c, char *text)
{
	struct table t = {0};
	int status = read_table(&t, text);

	if (status != EX_OK)
		goto out;
	if (c->by != NULL && t.n > 0)
		sum_up(&t, is_by_slot(c));
	if (t.n > 0)
		qsort(t.rows, t.n, sizeof(*t.rows),
		    c->by != NULL ? by_count : by_bytes);
	if (c->top > 0 && t.n > (size_t)c->top)
		t.n = (size_t)c->top;
	if (c->json)
		print_json(c, &t);
	else
		print_text(c, &t);
	status = t.incomplete ? INCOMPLETE : EX_OK;
out:
	free(t.rows);
	return status;
}

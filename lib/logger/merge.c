/*
 * merge.c: collect lines, sort them, hand them out.
 *
 * Layer: logger.
 */
#include "logger/merge.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_LINES 2100
#define CHUNK_BYTES (2 * 4096 + PFK__RELAY_MAX)

bool
pfk__merge_has_room(const struct pfk__merge *m)
{
	return m->n + CHUNK_LINES <= PFK__MERGE_LINES &&
	    m->used + CHUNK_BYTES <= PFK__MERGE_BYTES;
}

void
pfk__merge_add(struct pfk__merge *m, const struct pfk__source *source,
    const struct pfk__relayed *line)
{
	size_t size = strlen(line->message) + 1;
	uint64_t time_ns = line->time_ns;

	if (m->n == PFK__MERGE_LINES || m->used + size > PFK__MERGE_BYTES)
		return; /* never, if the caller asks for room */
	if (m->n == m->next || (m->latest != 0 && time_ns >= m->latest))
		m->latest = time_ns;
	else
		m->latest = 0;
	memcpy(m->texts + m->used, line->message, size);
	m->lines[m->n] = (struct pfk__merged){.time_ns = time_ns,
	    .source = source,
	    .text = (uint32_t)m->used,
	    .number = (uint32_t)m->n,
	    .level = line->level,
	    .keeper = line->keeper,
	    .pid = line->pid};
	m->n++;
	m->used += size;
}

bool
pfk__merge_is_empty(const struct pfk__merge *m)
{
	return m->next == m->n;
}

static int
compare(const void *a, const void *b)
{
	const struct pfk__merged *x = a, *y = b;

	if (x->time_ns != y->time_ns)
		return x->time_ns < y->time_ns ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static void
sort(struct pfk__merge *m)
{
	if (m->latest != 0)
		return;
	qsort(m->lines + m->next, m->n - m->next, sizeof(m->lines[0]), compare);
	for (size_t i = m->next; i < m->n; i++)
		m->lines[i].number = (uint32_t)i;
	m->latest = m->lines[m->n - 1].time_ns;
}

/* Those that are held, to the beginning. */
static void
compact(struct pfk__merge *m)
{
	size_t lowest = m->used, n = m->n - m->next;

	for (size_t i = m->next; i < m->n; i++) {
		if (m->lines[i].text < lowest)
			lowest = m->lines[i].text;
	}
	memmove(m->texts, m->texts + lowest, m->used - lowest);
	memmove(m->lines, m->lines + m->next, n * sizeof(m->lines[0]));
	for (size_t i = 0; i < n; i++) {
		m->lines[i].text -= (uint32_t)lowest;
		m->lines[i].number = (uint32_t)i;
	}
	m->used -= lowest;
	m->next = 0;
	m->n = n;
}

const struct pfk__merged *
pfk__merge_next(struct pfk__merge *m, uint64_t until_ns)
{
	if (m->next < m->n) {
		sort(m);
		if (m->lines[m->next].time_ns <= until_ns)
			return &m->lines[m->next++];
	}
	if (m->next > 0)
		compact(m);
	return NULL;
}

/*
 * pages.c: the memory that a hostile worker shares with the master, which reads
 * its counters and its last events when it has died.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master.h"
#include "process/area.h"
#include "process/deaths.h"
#include "process/report.h"

/* What an honest worker has left, of each kind. */
static void
record(struct pfk__recorder *r)
{
	struct pfk_addr a;

	pfk_addr_parse(&a, "::1", 7);
	for (int kind = 0; kind < 32; kind++) {
		pfk__record_detail(r, 1, (enum pfk__happened)kind, kind,
		    (unsigned)kind);
		pfk__record_peer(r, 2, (enum pfk__happened)kind, 3, &a);
	}
	pfk__record_line(r, 3, "a line");
	pfk__record_line(r, 4, "another one");
}

/* An offset of two bytes, a length, and bytes that are written there. */
static void
scribble(struct pfk__area *area, const uint8_t *data, size_t size)
{
	char *to = (char *)area;

	while (size > 3) {
		size_t at = ((size_t)data[0] << 8 | data[1]) % sizeof(*area);
		size_t n = data[2];

		data += 3;
		size -= 3;
		n = n < size ? n : size;
		n = n < sizeof(*area) - at ? n : sizeof(*area) - at;
		memcpy(to + at, data, n);
		data += n;
		size -= n;
	}
}

static void
report(const struct pfk__master *m)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (f == NULL)
		abort();
	pfk__report_text(f, m);
	pfk__report_json(f, m);
	pfk__report_metrics(f, m, true);
	pfk__deaths_text(f, m, -1);
	if (fclose(f) != 0 || strlen(text) != size)
		abort();
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pfk__master *m = fuzz_master_new();
	struct pfk__child *c;
	uint64_t now = pfk_loop_now(m->loop);
	int worker;

	c = fuzz_child_new(m, &worker);
	c->phase = PFK__PHASE_SERVING;
	m->places[0].serving = c;
	m->places[0].slot.state = PFK__SLOT_SERVING;
	c->orphan = false;
	record(&pfk__area_of(c->pulse.page)->recorder);
	scribble(pfk__area_of(c->pulse.page), data, size);
	pfk__pulse_judge(&c->pulse, now, PFK_SECOND_NS, NULL);
	pfk__pulse_still(&c->pulse, now + 5 * PFK_SECOND_NS);
	for (int i = 0; i < 2 * PFK__DEATHS_OF_SLOT; i++)
		pfk__deaths_note(c, size > 0 ? data[0] : 1, i % 2 == 0 ? 11 : 9,
		    (const char *)pfk__area_of(c->pulse.page), "");
	report(m);
	close(worker);
	fuzz_master_free(m);
	return 0;
}

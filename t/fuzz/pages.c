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
	scribble(pfk__area_of(c->pulse.page), data, size);
	pfk__pulse_judge(&c->pulse, now, PFK_SECOND_NS, NULL);
	pfk__pulse_still(&c->pulse, now + 5 * PFK_SECOND_NS);
	pfk__deaths_note(c, size > 0 ? data[0] : 1, 11, "", "");
	report(m);
	close(worker);
	fuzz_master_free(m);
	return 0;
}

/*
 * dump.c: everything that the master knows, and the last events of its workers, for
 * a report of a fault.
 *
 * Layer: process.  For people to read: nothing may depend on its form.
 */
#include <string.h>
#include <sys/utsname.h>

#include "net/listener.h"
#include "process/area.h"
#include "process/control.h"
#include "process/deaths.h"
#include "process/master.h"
#include "process/report.h"

static void
dump_file(FILE *f, const char *path)
{
	char line[1024];
	FILE *in = fopen(path, "re");

	fprintf(f, "\n== %s\n", path);
	while (in != NULL && fgets(line, sizeof(line), in) != NULL)
		fputs(line, f);
	if (in != NULL)
		fclose(in);
}

/* Those of living workers, which `why` does not have. */
static void
dump_events(FILE *f, const struct pfk__master *m)
{
	uint64_t now = pfk_loop_now(m->loop), i, end, until, ns;
	const struct pfk__child *c;
	char text[100];

	fputs("\n== events: slot pid seconds\n", f);
	LIST_FOREACH(c, &m->children, link) {
		const struct pfk__recorder *r;

		/* The memory of an orphan is its own. */
		if (c->orphan)
			continue;
		r = &pfk__area_of(c->pulse.page)->recorder;
		pfk__record_find(r, c->pid, PFK__LAST_EVENTS, &i, &end, &until);
		for (; i < end; i++) {
			if (pfk__record_describe(r, i, text, sizeof(text), &ns))
				fprintf(f, "%d %d -%.3f %s\n", c->slot,
				    (int)c->pid,
				    (double)(ns < now ? now - ns : 0) / 1e9,
				    text);
		}
	}
}

void
pfk__report_dump(FILE *f, const struct pfk__master *m)
{
	const struct pfk__control_socket *k = m->control;
	const struct pfk__child *c;
	const struct pfk__lent *l;
	char asked[PFK_ADDR_SIZE], bound[PFK_ADDR_SIZE];
	struct utsname u;

	fputs("== status\n", f);
	pfk__report_text(f, m);
	fputs("\n== why\n", f);
	pfk__deaths_text(f, m, -1);
	fputs("\n== status --json\n", f);
	pfk__report_json(f, m);
	fprintf(f, "\n== control socket\n%s\n%d clients\n", k->instance.socket,
	    k->n_clients);
	fputs("\n== master\n", f);
	fprintf(f, "reload %d, rolling %d, wanted %d; stop %d; steered %d\n",
	    (int)m->reload, m->rolling, m->reload_wanted, (int)m->stop,
	    m->steered);
	fputs("\n== children: slot keeper pid incarnation generation epoch "
	      "phase receiving\n",
	    f);
	LIST_FOREACH(c, &m->children, link)
		fprintf(f, "%d %d %d %u %llu %llu %d %u\n", c->slot,
		    (int)c->keeper, (int)c->pid, c->incarnation,
		    (unsigned long long)c->generation,
		    (unsigned long long)c->epoch, (int)c->phase, c->receiving);
	fputs("\n== custody: slot kind asked bound fd lender user\n", f);
	for (l = pfk__custody_first_of_all(&m->custody); l != NULL;
	     l = pfk__custody_next_of_all(l))
		fprintf(f, "%d %s %s %s %d %llu %llu\n", l->slot,
		    pfk__kind_name(l->kind), pfk_addr_format(asked, &l->asked),
		    pfk_addr_format(bound, &l->bound), l->fd,
		    (unsigned long long)l->lender, (unsigned long long)l->user);
	dump_events(f, m);
	if (uname(&u) == 0)
		fprintf(f, "\n== system\n%s %s %s\n", u.sysname, u.release,
		    u.machine);
	dump_file(f, "/proc/self/limits");
	dump_file(f, "/proc/self/status");
}

/*
 * report.c: facts of the service that its reports share.
 *
 * Layer: process.
 */
#include "process/report.h"

#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "base/json.h"
#include "base/log.h"
#include "process/control.h"
#include "process/master.h"
#include "process/orders.h"
#include "process/rows.h"

double
pfk__report_since(const struct pfk__master *m, uint64_t ns)
{
	uint64_t now = pfk_loop_now(m->loop);

	return now > ns ? (double)(now - ns) / 1e9 : 0;
}

const char *
pfk__report_state(const struct pfk__master *m)
{
	if (pfk__orders_stopping(m))
		return "stopping";
	if (!m->started)
		return "starting";
	return m->reload != PFK__RELOAD_SETTLED ? "reloading" : "running";
}

const char *
pfk__report_reload(const struct pfk__reload_note *r)
{
	if (r->begun == 0)
		return "none";
	if (r->running)
		return "running";
	return r->status == EX_OK    ? "ok"
	    : r->status == EX_CONFIG ? "refused"
				     : "failed";
}

const char *
pfk__report_level(void)
{
	static const char *const names[] = {[PFK_ERROR] = "error",
	    [PFK_WARNING] = "warning",
	    [PFK_INFO] = "info",
	    [PFK_DEBUG] = "debug"};

	return names[pfk__log_level()];
}

const char *
pfk__report_version(const struct pfk__master *m)
{
	return m->config.version != NULL ? m->config.version : PFK_VERSION;
}

/* The file may have been written since it was read. */
bool
pfk__report_is_outdated(const struct pfk__master *m)
{
	struct stat st;

	return m->config.config_file != NULL &&
	    stat(m->config.config_file, &st) == 0 &&
	    st.st_mtime > m->control->configured;
}

int
pfk__report_serving(const struct pfk__master *m)
{
	int n = 0;

	for (int i = 0; i < m->workers; i++)
		n += m->places[i].serving != NULL && !pfk__row_stalls(m, i);
	return n;
}

int
pfk__report_stalled(const struct pfk__master *m)
{
	int n = 0;

	for (int i = 0; i < m->workers; i++)
		n += pfk__row_stalls(m, i);
	return n;
}

void
pfk__report_time(struct pfk__json *j, const char *key, time_t t)
{
	char text[40];
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL)
		pfk__json_null(j, key);
	else if (strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
		pfk__json_string(j, key, text);
}

const char *
pfk__report_age(char *dst, size_t size, double seconds)
{
	unsigned long s = (unsigned long)seconds;

	if (s >= 86400)
		snprintf(dst, size, "%lud %luh", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		snprintf(dst, size, "%luh %lum", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		snprintf(dst, size, "%lum %lus", s / 60, s % 60);
	else
		snprintf(dst, size, "%lus", s);
	return dst;
}

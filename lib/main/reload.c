/*
 * reload.c: read the configuration anew, and keep it or go back.
 *
 * Layer: main.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "main/program.h"

/* In a child, because look-ups may take their time. */
int
pfk__main_look_up(int fd, void *arg)
{
	const struct pfk__main *m = arg;
	char err[PFK_ERROR_SIZE];
	struct pfk__settings *s;
	int status, rc = 0;

	s = pfk__settings_read(m, true, err, &status);
	if (s == NULL || pfk__settings_look_up(s, err, &status) == -1)
		rc = pfk_reload_fail("%s", err);
	else if (pfk__settings_send(s, fd) == -1)
		rc = pfk_reload_fail("cannot pass the configuration on: %s",
		    strerror(errno));
	else if (pfk__settings_finish(s, err, &status) == -1)
		rc = pfk_reload_fail("%s", err);
	pfk__settings_free(s);
	return rc;
}

/* The options that a running master cannot change any more. */
static void
warn_unchangeable(const struct pfk__settings *old,
    const struct pfk__settings *new)
{
	const struct {
		const char *name, *old, *new;
	} fixed[] = {{"log", old->log, new->log},
	    {"pid-file", old->pid_file, new->pid_file},
	    {"control", old->control, new->control},
	    {"name", old->name, new->name}};

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		const char *a = fixed[i].old, *b = fixed[i].new;

		if (strcmp(a != NULL ? a : "", b != NULL ? b : "") != 0)
			pfk_log(PFK_WARNING,
			    "a new %s takes effect at a restart",
			    fixed[i].name);
	}
	if (old->log_format != new->log_format ||
	    old->log_time != new->log_time)
		pfk_log(PFK_WARNING,
		    "a new log-format or log-time takes effect at a restart");
}

int
pfk__main_take(struct pfk_master_config *mc, void *arg)
{
	struct pfk__main *m = arg;
	char err[PFK_ERROR_SIZE], changes[1024];
	struct pfk__settings *new;
	const void *data;
	size_t size;
	int status;

	data = pfk_reload_prepared(&size);
	new = pfk__settings_read(m, true, err, &status);
	if (new == NULL || pfk__settings_receive(new, data, size, err) == -1 ||
	    pfk__settings_finish(new, err, &status) == -1) {
		pfk__settings_free(new);
		return pfk_reload_fail("%s", err);
	}
	if (pfk_options_diff(new->options, m->settings, new, changes,
		sizeof(changes)) > 0)
		pfk_reload_changes("%s", changes);
	warn_unchangeable(m->settings, new);
	m->old = m->settings;
	m->settings = new;
	if (pfk__service_count_sources(m) == -1)
		pfk_warn("cannot count the sources of all workers together");
	pfk__service_log_level(new);
	*mc = pfk__service_config(new);
	return 0;
}

void
pfk__main_settled(bool ok, void *arg)
{
	struct pfk__main *m = arg;

	if (!ok) {
		pfk__settings_free(m->settings);
		m->settings = m->old;
		pfk__service_log_level(m->settings);
	} else {
		pfk__settings_free(m->old);
	}
	m->old = NULL;
}

/*
 * reload.c: read the configuration anew, and keep it or go back.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "program.h"

/* In a child, because look-ups may take their time. */
int
reload_prepare(int fd, void *arg)
{
	const struct program *p = arg;
	char err[PFK_ERROR_SIZE];
	struct config *c;
	int status, rc = 0;

	c = config_read(p->argc, p->argv, true, err, &status);
	if (c == NULL || config_check(c, err, &status) == -1)
		rc = pfk_reload_fail("%s", err);
	else if (config_send(c, fd) == -1)
		rc = pfk_reload_fail("cannot pass the configuration on: %s",
		    strerror(errno));
	config_free(c);
	return rc;
}

/* The options that a running master cannot change any more. */
static void
warn_unchangeable(const struct config *old, const struct config *new)
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
reload_try(struct pfk_master_config *mc, void *arg)
{
	struct program *p = arg;
	char err[PFK_ERROR_SIZE], changes[1024];
	struct config *new;
	const void *data;
	size_t size;
	int status;

	data = pfk_reload_prepared(&size);
	new = config_read(p->argc, p->argv, true, err, &status);
	if (new == NULL || config_take(new, data, size, err, &status) == -1) {
		config_free(new);
		return pfk_reload_fail("%s", err);
	}
	if (pfk_options_diff(config_options, p->config, new, changes,
		sizeof(changes)) > 0)
		pfk_reload_changes("%s", changes);
	warn_unchangeable(p->config, new);
	p->old = p->config;
	p->config = new;
	program_set_log_level(new);
	*mc = program_master_config(new);
	return 0;
}

void
reload_done(bool ok, void *arg)
{
	struct program *p = arg;

	if (!ok) {
		config_free(p->config);
		p->config = p->old;
		program_set_log_level(p->config);
	} else {
		config_free(p->old);
	}
	p->old = NULL;
}

/*
 * settings.c: from the command line and the file to checked settings.
 *
 * Layer: main.
 */
#include "main/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "main/program.h"

#define HANG_MIN_NS (100 * PFK_MSEC_NS)

static void
set_defaults(struct pfk__settings *s)
{
	s->port = s->program->port;
	s->workers = s->program->workers;
	s->idle_ns = s->program->idle_ns;
	s->sandbox = s->program->sandbox;
	s->nodelay = true;
	s->coalesce = true;
	s->keeper = true;
	s->shutdown_ns = 8 * PFK_SECOND_NS;
	s->hang_ns = 5 * PFK_SECOND_NS;
	s->max_per_source = PFK__PER_SOURCE_AUTO;
	s->orphan_ns = 60 * PFK_SECOND_NS;
	s->backlog = PFK_UNSET;
	s->receive_buffer = s->send_buffer = s->unsent_limit = PFK_UNSET;
	pfk_sockopts_init(&s->keepalive);
}

/* The strings of the program's defaults are its own; these are released. */
static bool
copy_strings(void *config, const struct pfk_option *o)
{
	bool all = true;

	for (; o != NULL && o->name != NULL; o++) {
		char **field = (char **)((char *)config + o->offset);

		if (o->type != PFK_OPT_STRING || *field == NULL)
			continue;
		*field = all ? strdup(*field) : NULL;
		all = *field != NULL;
	}
	return all;
}

static struct pfk__settings *
new_settings(const struct pfk__main *m)
{
	const struct pfk_program *p = m->program;
	struct pfk__settings *s = calloc(1,
	    pfk__table_offset() + p->config_bytes);

	if (s == NULL)
		return NULL;
	s->program = p;
	s->options = pfk__table_options(m->table);
	s->setup.config = (char *)s + pfk__table_offset();
	set_defaults(s);
	s->log = strdup("-");
	s->poller = strdup("auto");
	if (p->defaults != NULL)
		memcpy(s->setup.config, p->defaults, p->config_bytes);
	if (copy_strings(s->setup.config, p->options) && s->log != NULL &&
	    s->poller != NULL)
		return s;
	pfk__settings_free(s);
	return NULL;
}

void
pfk__settings_free(struct pfk__settings *s)
{
	if (s == NULL)
		return;
	pfk_options_free(s->options, s);
	if (s->program->clear != NULL)
		s->program->clear(s->setup.config);
	pfk__binds_free(s);
	pfk__settings_forget(s);
	free(s->poller);
	free(s);
}

static int
read_argv(struct pfk__settings *s, const struct pfk__main *m, char *err,
    int *status)
{
	int first = pfk_options_argv(s->options, s, m->argc, m->argv, err);

	*status = EX_USAGE;
	if (first == -1)
		return -1;
	if (first == m->argc)
		return 0;
	snprintf(err, PFK_ERROR_SIZE,
	    "unexpected argument '%.100s'; see %s --help", m->argv[first],
	    getprogname());
	return -1;
}

static int
status_of(const struct pfk__settings *s)
{
	return s->file != NULL ? EX_CONFIG : EX_USAGE;
}

static int
check_combination(const struct pfk__settings *s, char *err, int *status)
{
	const char *why = NULL;

	if (s->ipv4 && s->ipv6)
		why = "--ipv4 and --ipv6 exclude each other; leave both out "
		      "for both";
	else if (s->verbose && s->quiet)
		why = "--verbose and --quiet exclude each other";
	else if (s->signal != NULL && s->pid_file == NULL)
		why = "--signal needs --pid-file, to find the master";
	else if (s->hang_ns > 0 && s->hang_ns < HANG_MIN_NS)
		why = "--worker-timeout is 0 or at least 0.1: a healthy "
		      "worker may wait as long for a CPU";
	else if (s->pid_file != NULL &&
	    (strcmp(s->pid_file, s->log) == 0 ||
		(s->file != NULL && strcmp(s->pid_file, s->file) == 0)))
		why = "--pid-file needs a file of its own; --log or --config "
		      "names the same";
	if (why == NULL)
		return 0;
	strlcpy(err, why, PFK_ERROR_SIZE);
	*status = s->signal != NULL ? EX_USAGE : status_of(s);
	return -1;
}

/*
 * The name becomes part of a file's, so it has only characters that are safe in
 * one.
 */
static bool
is_good_name(const char *name)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@+";

	return strlen(name) <= 64 && name[0] != '\0' && name[0] != '.' &&
	    name[strspn(name, good)] == '\0';
}

/* The values that no start takes, in the words of the option. */
static int
check_values(const struct pfk__settings *s, char *err, int *status)
{
	const char *why = NULL;

	*status = status_of(s);
	if (s->name != NULL && !is_good_name(s->name)) {
		snprintf(err, PFK_ERROR_SIZE,
		    "name '%.100s': it takes 1 to 64 letters, digits and "
		    "._-@+, and does not begin with a dot",
		    s->name);
		return -1;
	}
	if (s->control != NULL && s->control[0] == '\0') {
		strlcpy(err, "control: the path is empty; 'off' turns it off",
		    PFK_ERROR_SIZE);
		return -1;
	}
	if (s->exporter == NULL || pfk__host_check(s->exporter, &why) == 0)
		return 0;
	snprintf(err, PFK_ERROR_SIZE, "exporter '%.260s': %s", s->exporter,
	    why);
	return -1;
}

/*
 * A pipe gives its text only once, and a FIFO or a terminal would make the
 * master wait for its writer.
 */
static int
check_readable_again(const char *path, char *err)
{
	struct stat st;

	if (stat(path, &st) == -1 || S_ISREG(st.st_mode) ||
	    S_ISDIR(st.st_mode) || strcmp(path, "/dev/null") == 0)
		return 0; /* or the reading itself says why not */
	snprintf(err, PFK_ERROR_SIZE,
	    "%s: it is not a regular file and can be read only once, at the "
	    "start; restart, or put the configuration into a file",
	    path);
	return -1;
}

struct pfk__settings *
pfk__settings_read(const struct pfk__main *m, bool again, char *err,
    int *status)
{
	struct pfk__settings *s = new_settings(m);

	*status = EX_OSERR;
	if (s == NULL) {
		strlcpy(err, "out of memory", PFK_ERROR_SIZE);
		return NULL;
	}
	if (read_argv(s, m, err, status) == -1)
		goto fail;
	if (s->file != NULL && !s->help && !s->version) {
		*status = EX_CONFIG;
		if (again && check_readable_again(s->file, err) == -1)
			goto fail;
		if (pfk_options_file(s->options, s, s->file, err) == -1 ||
		    read_argv(s, m, err, status) == -1)
			goto fail;
	}
	if (check_combination(s, err, status) == -1 ||
	    check_values(s, err, status) == -1)
		goto fail;
	return s;
fail:
	pfk__settings_free(s);
	return NULL;
}

static void
derive_sockopts(struct pfk__settings *s)
{
	struct pfk_sockopts *o = &s->sockopts;

	*o = s->keepalive;
	o->backlog = s->backlog;
	o->receive_buffer = (int)s->receive_buffer;
	o->send_buffer = (int)s->send_buffer;
	o->unsent_limit = (int)s->unsent_limit;
	o->defer_accept = s->defer_accept;
	if (s->user_timeout_ns > 0)
		o->user_timeout = (int)((s->user_timeout_ns + PFK_MSEC_NS - 1) /
		    PFK_MSEC_NS); /* up, because 0 is the system's */
	if (s->fastopen > 0)
		o->fastopen = s->fastopen;
}

void
pfk__settings_forget(struct pfk__settings *s)
{
	free(s->user_name);
	s->user_name = NULL;
	free(s->setup.endpoints);
	s->setup.endpoints = NULL;
	s->setup.n_endpoints = 0;
}

int
pfk__settings_look_up(struct pfk__settings *s, char *err, int *status)
{
	pfk__settings_forget(s);
	if (pfk__settings_users(s, err, status) == -1)
		return -1;
	*status = status_of(s);
	return pfk__settings_endpoints(s, err, status);
}

int
pfk__settings_finish(struct pfk__settings *s, char *err, int *status)
{
	derive_sockopts(s);
	for (size_t i = 0; i < s->setup.n_endpoints; i++)
		s->setup.endpoints[i].listen.options = &s->sockopts;
	*status = status_of(s);
	if (s->program->check == NULL)
		return 0;
	strlcpy(err, "the program refuses it", PFK_ERROR_SIZE);
	return s->program->check(&s->setup, err);
}

int
pfk__settings_workers(const struct pfk__settings *s)
{
	return s->workers > 0 ? s->workers : pfk_cpus();
}

size_t
pfk__settings_per_source(const struct pfk__settings *s)
{
	size_t all = (size_t)s->max_connections *
	    (size_t)pfk__settings_workers(s);

	return s->max_per_source == PFK__PER_SOURCE_AUTO
	    ? (all + 3) / 4
	    : (size_t)s->max_per_source;
}

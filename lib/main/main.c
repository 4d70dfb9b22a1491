/*
 * main.c: carry out the task of the command line.
 *
 * Layer: main.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "base/title.h"
#include "main/daemon.h"
#include "main/pidfile.h"
#include "main/program.h"

/* How long a start tries to look a host up. */
#define PATIENCE_S 10
#define RETRY_MS 500

/* The time of day at which the patience ends, for a message. */
static void
format_end(char *text, size_t size)
{
	time_t at = time(NULL) + PATIENCE_S;
	struct tm tm;

	text[0] = '\0';
	if (localtime_r(&at, &tm) != NULL)
		strftime(text, size, "%T", &tm);
}

/* At boot the name server may come up after us. */
static int
check_patiently(struct pfk__settings *s, char *error, int *status)
{
	bool in_earnest = !s->test && !s->dump;
	struct timespec pause = {.tv_nsec = RETRY_MS * PFK_MSEC_NS}, now;
	char until[20];
	time_t end = 0;

	while (pfk__settings_look_up(s, error, status) == -1) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (*status != EX_TEMPFAIL || !in_earnest ||
		    (end != 0 && now.tv_sec >= end))
			return -1;
		if (end == 0) {
			end = now.tv_sec + PATIENCE_S;
			format_end(until, sizeof(until));
			pfk_complain("%s; trying again until %s", error, until);
		}
		nanosleep(&pause, NULL);
	}
	return pfk__settings_finish(s, error, status);
}

static int
act(struct pfk__main *m)
{
	struct pfk__settings *s = m->settings;
	char error[PFK__PIDFILE_ERROR];
	int status;

	if (s->help)
		return pfk__print_help(m);
	if (s->version)
		return pfk__print_version(m);
	if (s->signal != NULL) {
		status = pfk__daemon_signal(s->pid_file, s->signal, error);
		if (status != EX_OK)
			pfk_complain("%s", error);
		return status;
	}
	if (check_patiently(s, error, &status) == -1) {
		pfk_complain("%s", error);
		return status;
	}
	status = pfk__places_check(s);
	if (status != EX_OK)
		return status;
	if (s->dump)
		return pfk__print_settings(s);
	return s->test ? EX_OK : pfk__service_run(m);
}

int
pfk_main(const struct pfk_program *program, int argc, char **argv)
{
	struct pfk__main m = {.program = program,
	    .argc = argc,
	    .argv = argv,
	    .detached = -1};
	char error[PFK_ERROR_SIZE] = "out of memory";
	int status = EX_OSERR;

	pfk__title_prepare(argc, argv);
	pfk_ensure_stdio();
	if (pfk__program_check(program) == -1)
		return EX_SOFTWARE;
	pfk_signals_prepare();
	m.table = pfk__table_new(program);
	if (m.table != NULL)
		m.settings = pfk__settings_read(&m, false, error, &status);
	if (m.settings == NULL)
		pfk_complain("%s", error);
	else
		status = act(&m);
	/* A stop during a reload leaves two. */
	pfk__settings_free(m.old);
	pfk__settings_free(m.settings);
	pfk__table_free(m.table);
	return status;
}

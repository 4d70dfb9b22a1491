/*
 * program.h: the running program of pfk_main.
 */
#ifndef PFK_MAIN_PROGRAM_H
#define PFK_MAIN_PROGRAM_H

#include "main/settings.h"

struct pfk__pidfile;
struct pfk__table;

struct pfk__main {
	const struct pfk_program *program;
	struct pfk__table *table;
	int argc;
	char **argv;
	struct pfk__settings *settings;
	struct pfk__settings *old; /* while a reload is being tried */
	struct pfk__pidfile *pid_file;
	struct pfk_zone *sources; /* where all workers count theirs, or NULL */
	int detached;             /* to say ready on, or -1 */
};

/*
 * services.c: the number of services, that of one by its name, or -1, and the
 * names that there are, for a message.
 */
size_t pfk__service_count(const struct pfk_service *v);
int pfk__service_find(const struct pfk_service *v, const char *name);
const char *pfk__service_names(const struct pfk_service *v);

/* -1 with errno, and a line in the log names the program's mistake. */
int pfk__program_check(const struct pfk_program *program);

/* table.c: the options of the library and of the program.  NULL: no memory. */
struct pfk__table *pfk__table_new(const struct pfk_program *program);
const struct pfk_option *pfk__table_options(const struct pfk__table *t);
/* Of a piece of memory for the settings, the program's part. */
size_t pfk__table_offset(void);
void pfk__table_free(struct pfk__table *t);

/* help.c: print on standard output.  An exit status. */
int pfk__print_help(const struct pfk__main *m);
int pfk__print_version(const struct pfk__main *m);
int pfk__print_settings(const struct pfk__settings *s);

/*
 * places.c: whether the directories of log, pid file and control socket are there.
 * An exit status, after a complaint.
 */
int pfk__places_check(const struct pfk__settings *s);

/* service.c: serve until a signal says stop.  An exit status. */
int pfk__service_run(struct pfk__main *m);
struct pfk_master_config pfk__service_config(const struct pfk__settings *s);
int pfk__service_count_sources(struct pfk__main *m);
void pfk__service_log_level(const struct pfk__settings *s);

/* serve.c: the hooks in a worker; arg is the program. */
int pfk__serve_init(struct pfk_worker *w, void *arg);
void pfk__serve_exit(struct pfk_worker *w, void *arg);
void pfk__serve_leaving(struct pfk_worker *w, enum pfk_drain why,
    uint64_t until_ns, void *arg);

/* reload.c: the hooks of a reload; arg is the program. */
int pfk__main_look_up(int fd, void *arg);
int pfk__main_take(struct pfk_master_config *mc, void *arg);
void pfk__main_settled(bool ok, void *arg);

#endif

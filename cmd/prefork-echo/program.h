/*
 * program.h: the state of the program, and its hooks for a reload.
 */
#ifndef ECHO_PROGRAM_H
#define ECHO_PROGRAM_H

#include "config.h"

struct program {
	int argc;
	char **argv;
	struct config *config;
	struct config *old; /* while a reload is being tried */
	struct pidfile *pid_file;
	int detached; /* to say ready on, or -1 */
};

/*
 * main.c: the log level in force, and the library's part of the configuration.
 */
void program_set_log_level(const struct config *c);
struct pfk_master_config program_master_config(const struct config *c);

/* reload.c: hooks; arg is the program. */
int reload_prepare(int fd, void *arg);
int reload_try(struct pfk_master_config *mc, void *arg);
void reload_done(bool ok, void *arg);

#endif

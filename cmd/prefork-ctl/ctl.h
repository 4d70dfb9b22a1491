/*
 * ctl.h: shared by the parts of prefork-ctl.
 */
#ifndef CTL_H
#define CTL_H

#include <prefork.h>

/* The command line. */
struct ctl {
	bool help, version;
	char *socket, *pid_file, *name; /* one of them at most */
	uint64_t timeout_ns;
	bool json, now;
	char *by;             /* connections: "source", "slot" or NULL */
	char *output;         /* metrics: a file, or NULL */
	int top;              /* the most rows of them; 0: all */
	const char *words[2]; /* the command and its argument, or NULL */
};

/* A service's control socket that answers a connect. */
struct instance {
	char path[PFK_CONTROL_SIZE];
	pid_t pid;
	uid_t uid;
	int fd;
};

/* options.c: an exit status; err (PFK_ERROR_SIZE bytes) has the message. */
int options_read(struct ctl *c, int argc, char *const *argv, char *err);
int options_usage(void);
void options_free(struct ctl *c);

/* The request's line without its end. */
int options_request(const struct ctl *c, char *line, size_t size, char *err);

/*
 * find.c: connect to the service that is meant; EX_OK or an exit status.  If a master
 * that has died was the last at its socket, found->path is that, and otherwise "".
 */
int find_service(const struct ctl *c, struct instance *found, char *err);

/*
 * orphans.c: status or stop of the workers that a dead master's socket is known to;
 * an exit status.  err has a message already, which it replaces.
 */
int orphans_obey(const struct ctl *c, const char *path, char *err);

/* talk.c: send the line, print the answer; an exit status. */
int talk(const struct ctl *c, int fd, const char *line);
/* The same, but *text is the answer, without its "OK"; the caller frees it. */
int talk_fetch(const struct ctl *c, int fd, const char *line, char **text);

/* clean.c: replace the bytes of the answer that a terminal could obey. */
void clean(char *text, size_t len);

/* top.c: show the service at that socket until the user ends it. */
int top_run(const struct ctl *c, const char *path);

/* output.c: write it to c->output, which is replaced; an exit status. */
int output_replace(const struct ctl *c, const char *text, size_t len);

/* connections.c: print that command's answer; an exit status. */
int connections_print(const struct ctl *c, char *text);

#endif

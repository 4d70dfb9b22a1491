/*
 * settings.h: the settings of the library, and the program's configuration.
 *
 * The program's configuration lies behind the library's settings in one piece of
 * memory, so that one table (table.c) has the options of both.
 */
#ifndef PFK_MAIN_SETTINGS_H
#define PFK_MAIN_SETTINGS_H

#include <prefork.h>

struct pfk__main;

/* One --bind, as written and taken apart. */
struct pfk__bind {
	char *text;
	char host[PFK_HOST_SIZE];
	int port; /* -1: the --port */
	bool tcp, udp;
	int service;
};

/* A quarter of max_connections, where that is given; but not for loopback. */
#define PFK__PER_SOURCE_AUTO (-1)

struct pfk__settings {
	const struct pfk_program *program;
	const struct pfk_option *options; /* all of them */
	/* The task. */
	bool help, version, test, dump;
	char *signal;
	char *file;
	bool daemon;
	/* Addresses. */
	int workers; /* 0: auto */
	int port;
	struct pfk__bind *binds;
	size_t n_binds;
	bool ipv4, ipv6;
	/* The process. */
	char *pid_file;
	char *log;
	enum pfk_log_format log_format;
	enum pfk_log_time log_time;
	char *user;
	char *control, *name, *control_group, *exporter;
	bool verbose, quiet;
	uint64_t shutdown_ns, drain_ns, stop_delay_ns, hang_ns, orphan_ns;
	char *poller;
	bool coalesce;
	bool keeper;
	enum pfk_sandbox sandbox;
	/* Connections. */
	int max_connections; /* 0: from RLIMIT_NOFILE */
	int max_per_source;  /* or PFK__PER_SOURCE_AUTO */
	uint64_t idle_ns;
	/* Sockets. */
	int backlog;
	int64_t receive_buffer, send_buffer, unsent_limit;
	bool nodelay, quickack, defer_accept;
	struct pfk_sockopts keepalive; /* its four fields */
	uint64_t user_timeout_ns;
	int fastopen;

	/* Derived by pfk__settings_look_up or _receive, then _finish. */
	struct pfk_sockopts sockopts;
	uid_t uid;
	gid_t gid;
	char *user_name;
	gid_t control_gid;
	struct pfk_setup setup;
};

/*
 * Read the command line, then the file that it names, then the command line
 * again, which wins.  `again` is for a reload, which waits for nobody and takes
 * regular files only.  NULL with err's text and the exit status.
 */
struct pfk__settings *pfk__settings_read(const struct pfk__main *m, bool again,
    char *err, int *status);

/*
 * Look up hosts, users and groups.  -1 with err's text and the exit status, which is EX_TEMPFAIL where a later call may succeed.
 */
int pfk__settings_look_up(struct pfk__settings *s, char *err, int *status);

/* Derive the rest from settings and answers, and call the program's check. */
int pfk__settings_finish(struct pfk__settings *s, char *err, int *status);

/*
 * findings.c: write the answers of the look-ups to fd, and take it from there into
 * settings that would look the same up.  -1: errno, or err.
 */
int pfk__settings_send(const struct pfk__settings *s, int fd);
int pfk__settings_receive(struct pfk__settings *s, const void *data,
    size_t size, char *err);

void pfk__settings_forget(struct pfk__settings *s);
void pfk__settings_free(struct pfk__settings *s);

int pfk__settings_workers(const struct pfk__settings *s);

/* The bound for one source, over all workers; 0: none. */
size_t pfk__settings_per_source(const struct pfk__settings *s);

/* user.c: the ids of --user and --control-group. */
int pfk__settings_users(struct pfk__settings *s, char *err, int *status);

/* endpoints.c: from --bind, --port, -4 and -6 to the setup's endpoints. */
int pfk__settings_endpoints(struct pfk__settings *s, char *err, int *status);

/* bind.c: an option's value. */
int pfk__bind_parse(void *settings, const char *value, bool first,
    const char **errstr);
bool pfk__bind_format(const void *settings, int i, char *buf, size_t size);
void pfk__binds_free(struct pfk__settings *s);

/*
 * bind.c: whether value is *, PORT, :PORT, HOST or HOST:PORT; no name is looked up.
 * -1 with *errstr.
 */
int pfk__host_check(const char *value, const char **errstr);

/* options.c: the library's own, with defaults in words. */
extern const struct pfk_option pfk__main_options[];
/* By enum pfk_sandbox. */
extern const char *const pfk__sandbox_names[];

#endif

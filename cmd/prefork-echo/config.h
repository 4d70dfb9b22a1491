/*
 * config.h: the configuration of prefork-echo.
 */
#ifndef ECHO_CONFIG_H
#define ECHO_CONFIG_H

#include <prefork.h>

/* One --bind, as written and taken apart. */
struct bind {
	char *text;
	char host[PFK_HOST_SIZE];
	int port; /* -1: the --port */
	bool tcp, udp;
	bool once;
};

/* One socket that every worker opens. */
struct endpoint {
	struct pfk_listen listen;
	bool once;
};

struct config {
	/* The task. */
	bool help, version, test, dump;
	char *signal;
	char *file;
	bool daemon;
	/* The service. */
	int workers; /* 0: auto */
	int port;
	struct bind *binds;
	size_t n_binds;
	bool ipv4, ipv6;
	bool once;
	bool loop_guard;
	int udp_per_source, udp_per_network; /* 0: no limit */
	/* The process. */
	char *pid_file;
	char *log;
	enum pfk_log_format log_format;
	enum pfk_log_time log_time;
	char *user;
	char *control, *name, *control_group;
	bool verbose, quiet;
	uint64_t shutdown_ns, drain_ns, hang_ns, orphan_ns;
	char *poller;
	bool coalesce;
	bool keeper;
	/* Connections. */
	int max_connections; /* 0: from RLIMIT_NOFILE */
	int max_per_source;
	uint64_t idle_ns;
	/* Sockets. */
	int backlog;
	int64_t receive_buffer, send_buffer;
	bool nodelay, quickack, defer_accept;
	struct pfk_sockopts keepalive; /* its four fields */
	uint64_t user_timeout_ns;
	int fastopen;

	/* Derived from it by config_check. */
	struct pfk_sockopts sockopts;
	struct endpoint *endpoints;
	size_t n_endpoints;
	uid_t uid;
	gid_t gid;
	char *user_name;
	gid_t control_gid;
};

extern const struct pfk_option config_options[];

/*
 * Read the command line, then the file that it names, then the command line
 * again, which wins.  `again` is for a reload, which waits for nobody and takes
 * regular files only.  NULL with err's text and the exit status.
 */
struct config *config_read(int argc, char *const *argv, bool again, char *err,
    int *status);

/*
 * Look up hosts, user and group.  -1 with err's text and the exit status, which
 * is EX_TEMPFAIL where a later call may succeed.
 */
int config_check(struct config *c, char *err, int *status);

/* The same without look-ups, with the answers that config_send has written. */
int config_take(struct config *c, const void *findings, size_t size, char *err,
    int *status);

/*
 * findings.c: write the answers that config_check has looked up to fd, and take
 * it from there into a configuration that would look the same up.  -1: errno,
 * or err.
 */
int config_send(const struct config *c, int fd);
int config_receive(struct config *c, const void *data, size_t size, char *err);

void config_free(struct config *c);

/* Print the configuration in force. */
int config_dump(const struct config *c);

int config_workers(const struct config *c);

/* endpoints.c: from --bind, --port, -4 and -6 to endpoints. */
int config_endpoints(struct config *c, char *err, int *status);

/* bind.c: an option's value. */
int bind_parse(void *config, const char *value, bool first,
    const char **errstr);
bool bind_format(const void *config, int i, char *buf, size_t size);
void binds_free(struct config *c);

#endif

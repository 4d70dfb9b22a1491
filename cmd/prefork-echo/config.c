/*
 * config.c: from the command line and the file to a checked configuration.
 */
#include "config.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define HANG_MIN_NS (100 * PFK_MSEC_NS)

static bool
set_defaults(struct config *c)
{
	c->port = 8888;
	c->loop_guard = true;
	c->nodelay = true;
	c->coalesce = true;
	c->keeper = true;
	c->shutdown_ns = 8 * PFK_SECOND_NS;
	c->hang_ns = 5 * PFK_SECOND_NS;
	c->orphan_ns = 60 * PFK_SECOND_NS;
	c->idle_ns = 300 * PFK_SECOND_NS;
	c->backlog = PFK_UNSET;
	c->receive_buffer = c->send_buffer = PFK_UNSET;
	pfk_sockopts_init(&c->keepalive);
	c->log = strdup("-");
	c->poller = strdup("auto");
	return c->log != NULL && c->poller != NULL;
}

void
config_free(struct config *c)
{
	if (c == NULL)
		return;
	pfk_options_free(config_options, c);
	binds_free(c);
	free(c->poller);
	free(c->endpoints);
	free(c->user_name);
	free(c);
}

static int
read_argv(struct config *c, int argc, char *const *argv, char *err, int *status)
{
	int first = pfk_options_argv(config_options, c, argc, argv, err);

	*status = EX_USAGE;
	if (first == -1)
		return -1;
	if (first == argc)
		return 0;
	snprintf(err, PFK_ERROR_SIZE,
	    "unexpected argument '%.100s'; see %s --help", argv[first],
	    getprogname());
	return -1;
}

static int
check_combination(const struct config *c, char *err, int *status)
{
	const char *why = NULL;

	if (c->ipv4 && c->ipv6)
		why = "--ipv4 and --ipv6 exclude each other; leave both out "
		      "for both";
	else if (c->verbose && c->quiet)
		why = "--verbose and --quiet exclude each other";
	else if (c->signal != NULL && c->pid_file == NULL)
		why = "--signal needs --pid-file, to find the master";
	else if (c->hang_ns > 0 && c->hang_ns < HANG_MIN_NS)
		why = "--worker-timeout is 0 or at least 0.1: a healthy "
		      "worker may wait as long for a CPU";
	else if (c->pid_file != NULL &&
	    (strcmp(c->pid_file, c->log) == 0 ||
		(c->file != NULL && strcmp(c->pid_file, c->file) == 0)))
		why = "--pid-file needs a file of its own; --log or --config "
		      "names the same";
	if (why == NULL)
		return 0;
	strlcpy(err, why, PFK_ERROR_SIZE);
	*status = EX_USAGE;
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

struct config *
config_read(int argc, char *const *argv, bool again, char *err, int *status)
{
	struct config *c = calloc(1, sizeof(*c));

	*status = EX_OSERR;
	if (c == NULL || !set_defaults(c)) {
		strlcpy(err, "out of memory", PFK_ERROR_SIZE);
		config_free(c);
		return NULL;
	}
	if (read_argv(c, argc, argv, err, status) == -1)
		goto fail;
	if (c->file != NULL && !c->help && !c->version) {
		*status = EX_CONFIG;
		if (again && check_readable_again(c->file, err) == -1)
			goto fail;
		if (pfk_options_file(config_options, c, c->file, err) == -1 ||
		    read_argv(c, argc, argv, err, status) == -1)
			goto fail;
	}
	if (check_combination(c, err, status) == -1)
		goto fail;
	return c;
fail:
	config_free(c);
	return NULL;
}

/* strtonum(3) takes blanks and signs, too, and so " 0" for root. */
static long long
parse_id(const char *name, const char **errstr)
{
	*errstr = "invalid";
	if (name[0] == '\0' || name[strspn(name, "0123456789")] != '\0')
		return -1;
	return strtonum(name, 0, UINT32_MAX - 1, errstr);
}

/*
 * A name, or a number, as chown(1) takes them.  A number need not be in the
 * passwd file, which a container may lack; then a group must be given with it,
 * and there are no supplementary groups.
 */
static int
find_user(struct config *c, const char *name, bool has_group)
{
	const struct passwd *pw = getpwnam(name);
	const char *errstr = NULL;

	if (pw == NULL) {
		c->uid = (uid_t)parse_id(name, &errstr);
		pw = errstr == NULL ? getpwuid(c->uid) : NULL;
	}
	if (pw == NULL)
		return errstr == NULL && has_group ? 0 : -1;
	c->uid = pw->pw_uid;
	c->gid = pw->pw_gid;
	c->user_name = strdup(pw->pw_name);
	return c->user_name != NULL ? 0 : -1;
}

static int
find_group(gid_t *gid, const char *name)
{
	const struct group *gr = getgrnam(name);
	const char *errstr;
	long long id;

	if (gr != NULL) {
		*gid = gr->gr_gid;
		return 0;
	}
	id = parse_id(name, &errstr);
	*gid = (gid_t)id;
	return errstr == NULL ? 0 : -1;
}

static int
check_user(struct config *c, char *err, int *status)
{
	char text[256], *group = text;
	const char *name;

	if (c->user == NULL)
		return 0;
	strlcpy(text, c->user, sizeof(text));
	name = strsep(&group, ":");
	*status = EX_NOUSER;
	if (find_user(c, name, group != NULL) == -1) {
		snprintf(err, PFK_ERROR_SIZE,
		    "no such user: '%.100s'; name one of the passwd file, or "
		    "give two numbers, as in 65534:65534",
		    name);
		return -1;
	}
	if (group != NULL && find_group(&c->gid, group) == -1) {
		snprintf(err, PFK_ERROR_SIZE,
		    "no such group: '%.100s'; name one of the group file, or "
		    "give a number",
		    group);
		return -1;
	}
	if (geteuid() != 0 && geteuid() != c->uid) {
		*status = EX_NOPERM;
		snprintf(err, PFK_ERROR_SIZE,
		    "cannot become user '%s': only root can; start as root "
		    "or leave out --user",
		    name);
		return -1;
	}
	return 0;
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

static int
check_control(const struct config *c, char *err, int *status)
{
	*status = c->file != NULL ? EX_CONFIG : EX_USAGE;
	if (c->name != NULL && !is_good_name(c->name)) {
		snprintf(err, PFK_ERROR_SIZE,
		    "name '%.100s': it takes 1 to 64 letters, digits and "
		    "._-@+, and does not begin with a dot",
		    c->name);
		return -1;
	}
	if (c->control != NULL && c->control[0] == '\0') {
		strlcpy(err, "control: the path is empty; 'off' turns it off",
		    PFK_ERROR_SIZE);
		return -1;
	}
	return 0;
}

static int
check_control_group(struct config *c, char *err, int *status)
{
	const char *group = c->control_group;

	if (group == NULL || find_group(&c->control_gid, group) == 0)
		return 0;
	*status = EX_NOUSER;
	snprintf(err, PFK_ERROR_SIZE, "no such control-group: '%.100s'", group);
	return -1;
}

static void
derive_sockopts(struct config *c)
{
	struct pfk_sockopts *o = &c->sockopts;

	*o = c->keepalive;
	o->backlog = c->backlog;
	o->receive_buffer = (int)c->receive_buffer;
	o->send_buffer = (int)c->send_buffer;
	o->nodelay = c->nodelay;
	o->quickack = c->quickack;
	o->defer_accept = c->defer_accept;
	if (c->user_timeout_ns > 0)
		o->user_timeout = (int)((c->user_timeout_ns + PFK_MSEC_NS - 1) /
		    PFK_MSEC_NS); /* up, because 0 is the system's */
	if (c->fastopen > 0)
		o->fastopen = c->fastopen;
}

static void
forget_findings(struct config *c)
{
	free(c->user_name);
	c->user_name = NULL;
	free(c->endpoints);
	c->endpoints = NULL;
	c->n_endpoints = 0;
}

int
config_check(struct config *c, char *err, int *status)
{
	forget_findings(c);
	if (check_control(c, err, status) == -1 ||
	    check_user(c, err, status) == -1 ||
	    check_control_group(c, err, status) == -1)
		return -1;
	derive_sockopts(c);
	*status = c->file != NULL ? EX_CONFIG : EX_USAGE;
	return config_endpoints(c, err, status);
}

int
config_take(struct config *c, const void *findings, size_t size, char *err,
    int *status)
{
	forget_findings(c);
	if (check_control(c, err, status) == -1)
		return -1;
	derive_sockopts(c);
	*status = EX_CONFIG;
	return config_receive(c, findings, size, err);
}

int
config_workers(const struct config *c)
{
	return c->workers > 0 ? c->workers : pfk_cpus();
}

int
config_dump(const struct config *c)
{
	char name[PFK_ADDR_SIZE];

	for (size_t i = 0; i < c->n_endpoints; i++) {
		const struct endpoint *e = &c->endpoints[i];

		printf("# serves %s %s%s\n",
		    e->listen.kind == PFK_TCP ? "tcp" : "udp",
		    pfk_addr_format(name, &e->listen.addr),
		    e->once ? ", once" : "");
	}
	printf("# workers: %d\n", config_workers(c));
	if (fflush(stdout) != 0)
		return -1;
	return pfk_options_dump(config_options, c, STDOUT_FILENO);
}

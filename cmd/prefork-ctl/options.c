/*
 * options.c: the command line, and the request that it means.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "ctl.h"

#define AT(field) .offset = offsetof(struct ctl, field)

static const struct pfk_option options[] = {
    {'s', "socket", "SOCKET", .type = PFK_OPT_STRING, AT(socket),
	.help = "the control socket's path"},
    {'P', "pid-file", "FILE", .type = PFK_OPT_STRING, AT(pid_file),
	.help = "the service whose master has locked this pid file"},
    {0, "name", "NAME", .type = PFK_OPT_STRING, AT(name),
	.help = "the service of this name"},
    {0, "timeout", "SEC", .type = PFK_OPT_SECONDS, .min = 0, .max = 3600,
	AT(timeout_ns), .help = "longest wait for the result (60)"},
    {0, "json", NULL, .type = PFK_OPT_FLAG, AT(json),
	.help = "status, connections, doctor: JSON in the place of text"},
    {0, "by", "source|slot", .type = PFK_OPT_STRING, AT(by),
	.help = "connections: sum up by source or by slot"},
    {0, "top", "N", .type = PFK_OPT_INT, .min = 1, .max = INT32_MAX, AT(top),
	.help = "connections: the first N rows only"},
    {0, "output", "FILE", .type = PFK_OPT_STRING, AT(output),
	.help = "metrics: replace this file by them"},
    {0, "now", NULL, .type = PFK_OPT_FLAG, AT(now),
	.help = "stop: cut the connections off"},
    {'V', "version", NULL, .type = PFK_OPT_FLAG, AT(version),
	.help = "print the version and exit"},
    {'h', "help", NULL, .type = PFK_OPT_FLAG, AT(help),
	.help = "print this and exit"},
    {0},
};

static const struct command {
	const char *name, *argument, *help;
	const char *option; /* an own one, or NULL */
	bool optional;      /* the argument is */
} commands[] = {
    {"status", NULL, "the state, the last reload's result, a row a slot",
	"json", false},
    {"top", NULL, "the slots with their rates, again and again; q ends it",
	NULL, false},
    {"why", "[SLOT]", "the last deaths of workers, and their causes", NULL,
	true},
    {"connections", NULL, "the connected peers, most bytes first", "json",
	false},
    {"kill", "ADDR:PORT", "end the connection of this peer", NULL, false},
    {"doctor", NULL, "limits and settings that are wrong, with their cures",
	"json", false},
    {"metrics", "[openmetrics]", "all counters, as Prometheus reads them",
	"output", true},
    {"reload", NULL, "read the configuration again and replace the workers",
	NULL, false},
    {"upgrade", NULL, "let the program's file replace the running program",
	NULL, false},
    {"workers", "N", "want N workers until the next reload", NULL, false},
    {"drain", "SLOT", "take a worker out of service; siblings serve for it",
	NULL, false},
    {"undrain", "SLOT", "let the slot's worker serve again", NULL, false},
    {"stop", NULL, "stop gracefully, or with --now at once", "now", false},
    {"reopen", NULL, "reopen the log file, after a rotation", NULL, false},
    {"loglevel", "LEVEL", "error, warning, info or debug until the next reload",
	NULL, false},
    {"dump", NULL, "all that the master knows, for a report of a fault", NULL,
	false},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* Questions and tasks of a new user, with the commands. */
static const char tasks[] =
    "\nHealthy? What did the last reload change? The p99 of the loop?  status\n"
    "Is the backlog too short, or another limit or setting wrong?  doctor\n"
    "    (no line: nothing is)\n"
    "Why did worker 2 die?  why 2\n"
    "Which client has most connections?  connections --by source\n"
    "Upgrade without losing a client: install the new program's file, then\n"
    "    prefork-ctl upgrade\n"
    "Grafana: run prefork-exporter, or give the service its option exporter; let\n"
    "    Prometheus scrape localhost:9488, and import\n"
    "    /usr/share/doc/prefork/monitoring/grafana.json\n"
    "Kubernetes: make image, then\n"
    "    kubectl apply -f /usr/share/doc/prefork/kubernetes/echo.yaml\n"
    "make install has both files in /usr/local/share/doc/prefork.\n";

int
options_usage(void)
{
	printf("usage: %s [-s SOCKET | -P FILE | --name NAME] [--timeout SEC]\n"
	       "                   COMMAND\n\n"
	       "Command a service built on libprefork by its control socket.  "
	       "Without -s, -P\nand --name it is the only one of this user.  "
	       "Defaults in brackets.\n\n",
	    getprogname());
	for (size_t i = 0; i < N_COMMANDS; i++) {
		const struct command *c = &commands[i];

		printf("  %s%s%-*s%s\n", c->name,
		    c->argument != NULL ? " " : "",
		    26 - (int)strlen(c->name) - (c->argument != NULL),
		    c->argument != NULL ? c->argument : "", c->help);
	}
	printf("\n");
	if (fflush(stdout) != 0 ||
	    pfk_options_usage(options, STDOUT_FILENO) == -1 ||
	    fputs(tasks, stdout) == EOF || fflush(stdout) != 0) {
		pfk_complain("cannot write: %s", strerror(errno));
		return EX_IOERR;
	}
	return EX_OK;
}

void
options_free(struct ctl *c)
{
	pfk_options_free(options, c);
}

static int
bad_usage(char *err, const char *why)
{
	snprintf(err, PFK_ERROR_SIZE, "%s; see %s --help", why, getprogname());
	return EX_USAGE;
}

int
options_read(struct ctl *c, int argc, char *const *argv, char *err)
{
	size_t n = 0;

	c->timeout_ns = 60 * PFK_SECOND_NS;
	/* Options may also follow a word, so each is the next round's argv[0]. */
	for (int i = 0;;) {
		int first = pfk_options_argv(options, c, argc - i, argv + i,
		    err);

		if (first == -1)
			return EX_USAGE;
		i += first;
		if (i >= argc)
			break;
		if (n == 2)
			return bad_usage(err, "too many arguments");
		c->words[n++] = argv[i];
	}
	if ((c->socket != NULL) + (c->pid_file != NULL) + (c->name != NULL) > 1)
		return bad_usage(err,
		    "--socket, --pid-file and --name exclude each other");
	if (n > 0 && strcmp(c->words[0], "help") == 0)
		c->help = true;
	if (n == 0 && !c->help && !c->version)
		return bad_usage(err, "a command is missing");
	return EX_OK;
}

/* An argument is a word of the line: it must not become two. */
static bool
is_word(const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s <= ' ' || *s > '~')
			return false;
	}
	return true;
}

static bool
is_of(const struct command *c, const char *option)
{
	return c->option != NULL && strcmp(c->option, option) == 0;
}

int
options_request(const struct ctl *c, char *line, size_t size, char *err)
{
	const char *name = c->words[0], *argument = c->words[1];
	const struct command *found = NULL;

	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0)
			found = &commands[i];
	}
	if (found == NULL) {
		snprintf(err, PFK_ERROR_SIZE,
		    "unknown command '%.100s'; see %s --help", name,
		    getprogname());
		return EX_USAGE;
	}
	if (c->json && !is_of(found, "json"))
		return bad_usage(err,
		    "--json is for status, connections and doctor");
	if ((c->by != NULL || c->top != 0) && strcmp(name, "connections") != 0)
		return bad_usage(err, "--by and --top are for connections");
	if (c->by != NULL && strcmp(c->by, "source") != 0 &&
	    strcmp(c->by, "slot") != 0)
		return bad_usage(err, "--by takes source or slot");
	if (c->output != NULL && !is_of(found, "output"))
		return bad_usage(err, "--output is for metrics");
	if (c->now && !is_of(found, "now"))
		return bad_usage(err, "--now is for stop");
	if (found->argument == NULL && argument != NULL)
		return bad_usage(err, "too many arguments");
	if (argument == NULL && found->optional) {
		snprintf(line, size, "1 %s", name);
		return EX_OK;
	}
	if (found->argument != NULL &&
	    (argument == NULL || argument[0] == '\0' || !is_word(argument) ||
		strlen(argument) > 64)) {
		snprintf(err, PFK_ERROR_SIZE, "%s takes %s; see %s --help",
		    name, found->argument, getprogname());
		return EX_USAGE;
	}
	if (strcmp(name, "connections") != 0 && (c->json || c->now))
		argument = c->json ? "json" : "now";
	snprintf(line, size, "1 %s%s%s", name, argument != NULL ? " " : "",
	    argument != NULL ? argument : "");
	return EX_OK;
}

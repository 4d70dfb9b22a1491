/*
 * command.c: the commands of the control socket's clients.
 *
 * Layer: process.  A command that takes time leaves its client with a wish, and
 * pfk__control_maintain answers when the wish has come true.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/log.h"
#include "process/control.h"
#include "process/doctor.h"
#include "process/kill.h"
#include "process/master.h"
#include "process/orders.h"
#include "process/report.h"

/* describing */

struct answer {
	char *text;
	size_t size;
	FILE *f;
};

/* False: the client is answered already. */
static bool
begin_answer(struct pfk__client *c, struct answer *a)
{
	*a = (struct answer){0};
	a->f = open_memstream(&a->text, &a->size);
	if (a->f != NULL)
		fputs("OK\n", a->f);
	else
		pfk__client_fail(c, EX_OSERR, "out of memory");
	return a->f != NULL;
}

static void
end_answer(struct pfk__client *c, struct answer *a)
{
	if (fclose(a->f) == 0) {
		pfk__client_answer(c, a->text, a->size);
		return;
	}
	free(a->text);
	pfk__client_fail(c, EX_OSERR, "out of memory");
}

static void
status(struct pfk__client *c, const char *argument)
{
	bool json = argument != NULL && strcmp(argument, "json") == 0;
	struct answer a;

	if (argument != NULL && !json) {
		pfk__client_fail(c, EX_USAGE, "status takes json or nothing");
	} else if (begin_answer(c, &a)) {
		if (json)
			pfk__report_json(a.f, c->control->master);
		else
			pfk__report_text(a.f, c->control->master);
		end_answer(c, &a);
	}
}

static void
metrics(struct pfk__client *c, const char *argument)
{
	bool open = argument != NULL && strcmp(argument, "openmetrics") == 0;
	struct answer a;

	if (argument != NULL && !open) {
		pfk__client_fail(c, EX_USAGE,
		    "metrics takes openmetrics or nothing");
	} else if (begin_answer(c, &a)) {
		pfk__report_metrics(a.f, c->control->master, open);
		end_answer(c, &a);
	}
}

static void
doctor(struct pfk__client *c, const char *argument)
{
	bool json = argument != NULL && strcmp(argument, "json") == 0;
	struct pfk__findings findings;
	struct pfk__facts facts;
	struct answer a;

	if (argument != NULL && !json) {
		pfk__client_fail(c, EX_USAGE, "doctor takes json or nothing");
	} else if (begin_answer(c, &a)) {
		pfk__facts_of_system(&facts, "");
		pfk__facts_of_service(&facts, c->control->master);
		pfk__doctor_judge(&findings, &facts);
		if (json)
			pfk__doctor_json(a.f, &findings);
		else
			pfk__doctor_text(a.f, &findings);
		end_answer(c, &a);
	}
}

static void
why(struct pfk__client *c, const char *argument)
{
	const char *errstr = NULL;
	struct answer a;
	int slot = -1;

	if (argument != NULL)
		slot = (int)strtonum(argument, 0, PFK_WORKERS_MAX - 1, &errstr);
	if (errstr != NULL) {
		pfk__client_fail(c, EX_USAGE,
		    "the slot is %s; why takes 0 to %d, or nothing", errstr,
		    PFK_WORKERS_MAX - 1);
	} else if (begin_answer(c, &a)) {
		pfk__deaths_text(a.f, c->control->master, slot);
		end_answer(c, &a);
	}
}

static void
connections(struct pfk__client *c, const char *argument)
{
	(void)argument;
	pfk__listing_ask(c);
}

static void
dump(struct pfk__client *c, const char *argument)
{
	struct answer a;

	(void)argument;
	if (begin_answer(c, &a)) {
		pfk__report_dump(a.f, c->control->master);
		end_answer(c, &a);
	}
}

/* changing */

static bool
is_stopping(struct pfk__client *c)
{
	if (c->control->master->stop == PFK__STOP_NONE)
		return false;
	pfk__client_fail(c, EX_TEMPFAIL, "the service is stopping");
	return true;
}

/* One that runs has read its configuration: this is the one after it. */
static void
reload(struct pfk__client *c, const char *argument)
{
	struct pfk__master *m = c->control->master;

	(void)argument;
	if (is_stopping(c))
		return;
	pfk__client_wait(c, PFK__WISH_RELOAD, c->control->reload.begun + 1);
	pfk__orders_reload(m);
}

static void
workers(struct pfk__client *c, const char *argument)
{
	struct pfk__master *m = c->control->master;
	const char *errstr = "missing";
	int n = 0;

	if (argument != NULL)
		n = (int)strtonum(argument, 1, PFK_WORKERS_MAX, &errstr);
	if (errstr != NULL) {
		pfk__client_fail(c, EX_USAGE,
		    "the number of workers is %s; it takes 1 to %d", errstr,
		    PFK_WORKERS_MAX);
		return;
	}
	if (is_stopping(c))
		return;
	if (!m->started) {
		pfk__client_fail(c, EX_TEMPFAIL,
		    "the service is starting; try again");
		return;
	}
	pfk__client_wait(c, PFK__WISH_WORKERS, (uint64_t)n);
	pfk__drains_end(m);
	if (n != m->workers)
		pfk__orders_workers(m, n);
	else
		pfk__master_wake(m);
}

/* A second one does not begin the time anew. */
static void
stop(struct pfk__client *c, const char *argument)
{
	struct pfk__master *m = c->control->master;
	bool now = argument != NULL && strcmp(argument, "now") == 0;

	if (argument != NULL && !now) {
		pfk__client_fail(c, EX_USAGE, "stop takes now or nothing");
		return;
	}
	pfk__client_wait(c, PFK__WISH_STOP, 0);
	if (now && m->stop != PFK__STOP_FAST)
		pfk__orders_stop_now(m);
	else if (!now && !pfk__orders_stopping(m))
		pfk__orders_stop(m, m->config.shutdown_ns);
}

/* The stand-in answers, when the new program serves (standin.c). */
static void
upgrade(struct pfk__client *c, const char *argument)
{
	const char *why;

	(void)argument;
	why = pfk__upgrade_begin(c->control->master);
	if (why != NULL)
		pfk__client_fail(c, EX_TEMPFAIL, "upgrade refused: %s", why);
	else
		pfk__client_wait(c, PFK__WISH_UPGRADE, 0);
}

static void
drain(struct pfk__client *c, const char *argument)
{
	pfk__drain_order(c, argument, true);
}

static void
undrain(struct pfk__client *c, const char *argument)
{
	pfk__drain_order(c, argument, false);
}

static void
reopen(struct pfk__client *c, const char *argument)
{
	(void)argument;
	if (!pfk__log_is_file())
		pfk__client_done(c, "the log is no file: nothing to reopen");
	else if (pfk__orders_reopen(c->control->master) == 0)
		pfk__client_done(c, "reopened the log");
	else
		pfk__client_fail(c, EX_CANTCREAT, "cannot reopen the log: %s",
		    strerror(errno));
}

static void
loglevel(struct pfk__client *c, const char *argument)
{
	static const char *const names[] = {[PFK_ERROR] = "error",
	    [PFK_WARNING] = "warning",
	    [PFK_INFO] = "info",
	    [PFK_DEBUG] = "debug"};
	struct pfk__message msg = {.type = PFK__MSG_LEVEL};

	for (int i = PFK_ERROR; argument != NULL && i <= PFK_DEBUG; i++) {
		if (strcmp(argument, names[i]) != 0)
			continue;
		msg.status = i;
		pfk_log_set_level((enum pfk_level)i);
		pfk__children_tell(c->control->master, &msg, -1);
		pfk__client_done(c, "the log level is %s until the next reload",
		    names[i]);
		return;
	}
	pfk__client_fail(c, EX_USAGE,
	    "the log level is error, warning, info or debug");
}

static const struct {
	const char *name;
	enum pfk__right right;
	bool argument;
	void (*run)(struct pfk__client *c, const char *argument);
} commands[] = {{"status", PFK__RIGHT_READ, true, status},
    {"why", PFK__RIGHT_READ, true, why},
    {"connections", PFK__RIGHT_READ, false, connections},
    {"metrics", PFK__RIGHT_READ, true, metrics},
    {"doctor", PFK__RIGHT_READ, true, doctor},
    {"kill", PFK__RIGHT_COMMAND, true, pfk__kill_order},
    {"reload", PFK__RIGHT_COMMAND, false, reload},
    {"upgrade", PFK__RIGHT_COMMAND, false, upgrade},
    {"workers", PFK__RIGHT_COMMAND, true, workers},
    {"drain", PFK__RIGHT_COMMAND, true, drain},
    {"undrain", PFK__RIGHT_COMMAND, true, undrain},
    {"stop", PFK__RIGHT_COMMAND, true, stop},
    {"reopen", PFK__RIGHT_COMMAND, false, reopen},
    {"loglevel", PFK__RIGHT_COMMAND, true, loglevel},
    {"dump", PFK__RIGHT_COMMAND, false, dump}};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void
unknown(struct pfk__client *c)
{
	char names[20 * N_COMMANDS] = "";

	for (size_t i = 0; i < N_COMMANDS; i++) {
		const char *between = i == 0 ? ""
		    : i + 1 < N_COMMANDS     ? ", "
					     : " or ";

		strlcat(names, between, sizeof(names));
		strlcat(names, commands[i].name, sizeof(names));
	}
	pfk__client_fail(c, EX_USAGE, "unknown command; it is %s", names);
}

void
pfk__command_run(struct pfk__client *c, char *line)
{
	const char *version, *name, *argument, *errstr;

	line[strcspn(line, "\r")] = '\0';
	version = strsep(&line, " ");
	name = strsep(&line, " ");
	argument = strsep(&line, " ");
	strtonum(version, PFK__CONTROL_VERSION, PFK__CONTROL_VERSION, &errstr);
	if (errstr != NULL || name == NULL) {
		pfk__client_fail(c, EX_PROTOCOL,
		    "a request is '%d COMMAND [ARGUMENT]'; this is version %d "
		    "of the protocol",
		    PFK__CONTROL_VERSION, PFK__CONTROL_VERSION);
		return;
	}
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(name, commands[i].name) != 0)
			continue;
		if (c->right < commands[i].right)
			pfk__client_fail(c, EX_NOPERM,
			    "'%s' is not permitted to this user", name);
		else if (line != NULL ||
		    (argument != NULL && !commands[i].argument))
			pfk__client_fail(c, EX_USAGE,
			    "'%s' has too many arguments", name);
		else
			commands[i].run(c, argument);
		return;
	}
	unknown(c);
}

/* wishes */

/* NULL: not yet.  Else the answer, which may be a failure's. */
static const char *
look_at_workers(const struct pfk__master *m, int *failed)
{
	const struct pfk__child *child;

	for (int i = 0; i < m->workers; i++) {
		if (m->places[i].serving != NULL)
			continue;
		*failed = i;
		return m->places[i].slot.state == PFK__SLOT_BACKOFF
		    ? "keeps dying or does not start; the log has the cause"
		    : NULL;
	}
	LIST_FOREACH(child, &m->children, link) {
		if (child->slot >= m->workers &&
		    child->phase != PFK__PHASE_LEAVING)
			return NULL;
	}
	return "";
}

static void
maintain_workers(struct pfk__client *c)
{
	const struct pfk__master *m = c->control->master;
	int failed = -1, n = (int)c->number;
	const char *answer;

	if (m->workers != n) {
		pfk__client_fail(c, EX_TEMPFAIL,
		    "overtaken: %d workers are wanted now", m->workers);
		return;
	}
	answer = look_at_workers(m, &failed);
	if (answer == NULL)
		return;
	if (failed != -1)
		pfk__client_fail(c, EX_SOFTWARE, "worker %d %s", failed,
		    answer);
	else
		pfk__client_done(c, "%d worker%s", n, n == 1 ? "" : "s");
}

void
pfk__control_maintain(struct pfk__master *m)
{
	struct pfk__client *c, *next;

	if (m->control == NULL)
		return;
	TAILQ_FOREACH_SAFE(c, &m->control->clients, link, next) {
		if (m->stop != PFK__STOP_NONE && c->wish != PFK__WISH_NONE &&
		    c->wish != PFK__WISH_STOP &&
		    c->wish != PFK__WISH_CONNECTIONS)
			pfk__client_fail(c, EX_TEMPFAIL,
			    "the service is stopping");
		else if (c->wish == PFK__WISH_WORKERS)
			maintain_workers(c);
		else if (c->wish == PFK__WISH_DRAIN ||
		    c->wish == PFK__WISH_UNDRAIN)
			pfk__drain_maintain(c);
	}
}

void
pfk__control_upgrade_failed(struct pfk__master *m, const char *why)
{
	struct pfk__client *c, *next;

	TAILQ_FOREACH_SAFE(c, &m->control->clients, link, next) {
		if (c->wish == PFK__WISH_UPGRADE)
			pfk__client_fail(c, EX_UNAVAILABLE,
			    "upgrade refused: %s; nothing has changed", why);
	}
}

/* reloads */

void
pfk__control_reload_begun(struct pfk__master *m)
{
	struct pfk__reload_note *r = &m->control->reload;

	pfk__notify_reloading(m);
	*r = (struct pfk__reload_note){.begun = r->begun + 1,
	    .running = true,
	    .at = time(NULL),
	    .at_ns = pfk_loop_now(m->loop)};
}

void
pfk__control_reload_changes(struct pfk__master *m, const char *text)
{
	strlcpy(m->control->reload.changes, text,
	    sizeof(m->control->reload.changes));
}

void
pfk__control_reload_ended(struct pfk__master *m, int status, const char *fmt,
    ...)
{
	struct pfk__control_socket *k = m->control;
	struct pfk__reload_note *r = &k->reload;
	struct pfk__client *c, *next;
	va_list ap;

	if (status == EX_OK) {
		k->configured = r->at;
		k->configured_ns = r->at_ns;
	}
	/* A configuration that was not taken has changed nothing. */
	if (status == EX_CONFIG || status == EX_UNAVAILABLE)
		r->changes[0] = '\0';
	r->running = false;
	r->status = status;
	r->at = time(NULL);
	r->at_ns = pfk_loop_now(m->loop);
	va_start(ap, fmt);
	vsnprintf(r->text, sizeof(r->text), fmt, ap);
	va_end(ap);
	pfk__notify_ready(m);
	TAILQ_FOREACH_SAFE(c, &k->clients, link, next) {
		if (c->wish != PFK__WISH_RELOAD || c->number > r->begun)
			continue;
		if (status == EX_OK)
			pfk__client_done(c, "%s%s%s", r->text,
			    r->changes[0] != '\0' ? ", changed: " : "",
			    r->changes);
		else
			pfk__client_fail(c, status, "%s", r->text);
	}
}

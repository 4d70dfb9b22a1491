/*
 * top.c: the slots of a service with their rates, again and again.
 *
 * It reads the metrics, because their names are stable, and shows the changes
 * since the last time.  On a terminal it goes on until q is typed; elsewhere it
 * prints the rates of one second and ends.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sysexits.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"

#define SLOTS_MAX PFK_WORKERS_MAX
#define EVERY_MS 1000

enum column { CONNS, QUEUE, ACCEPTED, MESSAGES, IN, OUT, CPU, RESTARTS, N };

/* The metrics that make up a column; gauges are shown as they are. */
static const struct {
	const char *metric;
	enum column column;
} sources[] = {{"prefork_connections", CONNS}, {"prefork_accept_queue", QUEUE},
    {"prefork_connections_accepted_total", ACCEPTED},
    {"prefork_messages_received_total", MESSAGES},
    {"prefork_datagrams_received_total", MESSAGES},
    {"prefork_received_bytes_total", IN},
    {"prefork_datagrams_received_bytes_total", IN},
    {"prefork_sent_bytes_total", OUT},
    {"prefork_datagrams_sent_bytes_total", OUT},
    {"prefork_cpu_seconds_total", CPU}, {"prefork_restarts_total", RESTARTS}};

struct sample {
	double at; /* seconds */
	int slots;
	double values[SLOTS_MAX][N];
};

static volatile sig_atomic_t ended;

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* reading */

/* NAME{service="...",slot="N"...} VALUE */
static void
read_line(struct sample *s, const char *line)
{
	size_t n = strcspn(line, "{");
	const char *slot = strstr(line, ",slot=\""), *value;
	long i;

	value = strrchr(line, ' ');
	if (slot == NULL || value == NULL)
		return;
	i = strtol(slot + strlen(",slot=\""), NULL, 10);
	if (i < 0 || i >= SLOTS_MAX)
		return;
	for (size_t k = 0; k < sizeof(sources) / sizeof(sources[0]); k++) {
		if (strlen(sources[k].metric) != n ||
		    strncmp(line, sources[k].metric, n) != 0)
			continue;
		s->values[i][sources[k].column] += strtod(value, NULL);
		if (i >= s->slots)
			s->slots = (int)i + 1;
	}
}

static int
read_sample(const struct ctl *c, const char *path, struct sample *s)
{
	struct ctl at = {.socket = (char *)(uintptr_t)path,
	    .timeout_ns = c->timeout_ns};
	struct instance service;
	char err[PFK_ERROR_SIZE], *text = NULL, *rest, *line;
	int status = find_service(&at, &service, err);

	memset(s, 0, sizeof(*s));
	if (status != EX_OK) {
		pfk_complain("%s", err);
		return status;
	}
	status = talk_fetch(c, service.fd, "1 metrics", &text);
	close(service.fd);
	s->at = now();
	rest = text;
	while (status == EX_OK && (line = strsep(&rest, "\n")) != NULL) {
		if (line[0] != '#')
			read_line(s, line);
	}
	free(text);
	return status;
}

/* showing */

static const char *
short_number(char *dst, size_t size, double value)
{
	static const char units[] = " kMGTPE";
	int i = 0;

	for (; value >= 999.5 && i < 6; i++)
		value /= 1000;
	if (i == 0)
		snprintf(dst, size, "%.0f", value);
	else
		snprintf(dst, size, value < 9.95 ? "%.1f%c" : "%.0f%c", value,
		    units[i]);
	return dst;
}

static void
show_row(const char *name, const double *v, const char *eol)
{
	char text[6][16];

	printf("%5s %7s %7s %9s %11s %9s %9s %5.0f%% %8.0f%s\n", name,
	    short_number(text[0], 16, v[CONNS]),
	    short_number(text[1], 16, v[QUEUE]),
	    short_number(text[2], 16, v[ACCEPTED]),
	    short_number(text[3], 16, v[MESSAGES]),
	    short_number(text[4], 16, v[IN]), short_number(text[5], 16, v[OUT]),
	    v[CPU] * 100, v[RESTARTS], eol);
}

static void
rates(const struct sample *was, const struct sample *is, int slot, double *v)
{
	double passed = is->at - was->at;

	for (int k = 0; k < N; k++) {
		v[k] = is->values[slot][k];
		if (k >= ACCEPTED && k <= CPU)
			v[k] = passed > 0
			    ? (v[k] - was->values[slot][k]) / passed
			    : 0;
	}
}

/* rows: as many as the terminal has room for; eol clears the rest of a line. */
static int
show(const struct sample *was, const struct sample *is, int rows,
    const char *eol)
{
	double all[N] = {0}, v[N];
	char name[16];

	printf("%5s %7s %7s %9s %11s %9s %9s %6s %8s%s\n", "SLOT", "CONNS",
	    "QUEUE", "ACCEPT/s", "MESSAGES/s", "IN B/s", "OUT B/s", "CPU",
	    "RESTARTS", eol);
	for (int i = 0; i < is->slots; i++) {
		rates(was, is, i, v);
		for (int k = 0; k < N; k++)
			all[k] += v[k];
		snprintf(name, sizeof(name), "%d", i);
		if (i < rows)
			show_row(name, v, eol);
	}
	show_row("all", all, eol);
	return fflush(stdout) == 0 && !ferror(stdout) ? EX_OK : EX_IOERR;
}

/* the terminal */

static void
on_signal(int signo)
{
	(void)signo;
	ended = 1;
}

static int
rows_of_terminal(void)
{
	struct winsize size;

	/* Head, sum and the line that the cursor is in. */
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == -1 || size.ws_row < 5)
		return SLOTS_MAX;
	return size.ws_row - 3;
}

/* Whether it goes on after a second without q. */
static bool
rest(void)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	char key;

	if (poll(&p, 1, EVERY_MS) != 1)
		return ended == 0;
	return read(STDIN_FILENO, &key, 1) == 1 && key != 'q' && key != 'Q';
}

static int
run(const struct ctl *c, const char *path, struct sample *a, struct sample *b)
{
	int status = read_sample(c, path, a);

	while (status == EX_OK && ended == 0 && rest()) {
		struct sample *t = a;

		status = read_sample(c, path, b);
		if (status != EX_OK)
			break;
		/* Overwritten in place, so that nothing flickers. */
		fputs("\033[H", stdout);
		status = show(a, b, rows_of_terminal(), "\033[K");
		fputs("\033[J", stdout);
		fflush(stdout);
		a = b;
		b = t;
	}
	return status;
}

static int
run_on_terminal(const struct ctl *c, const char *path, struct sample *a,
    struct sample *b)
{
	struct sigaction sa = {.sa_handler = on_signal};
	struct termios old, raw;
	int status;

	tcgetattr(STDIN_FILENO, &old);
	raw = old;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	/* The other screen, without a cursor. */
	fputs("\033[?1049h\033[?25l\033[H", stdout);
	fflush(stdout);
	status = run(c, path, a, b);
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &old);
	return status;
}

static int
run_once(const struct ctl *c, const char *path, struct sample *a,
    struct sample *b)
{
	int status = read_sample(c, path, a);

	if (status == EX_OK) {
		poll(NULL, 0, EVERY_MS);
		status = read_sample(c, path, b);
	}
	return status == EX_OK ? show(a, b, SLOTS_MAX, "") : status;
}

int
top_run(const struct ctl *c, const char *path)
{
	struct sample *samples = calloc(2, sizeof(*samples));
	int status;

	if (samples == NULL) {
		pfk_complain("out of memory");
		return EX_OSERR;
	}
	if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		status = run_on_terminal(c, path, samples, samples + 1);
	else
		status = run_once(c, path, samples, samples + 1);
	free(samples);
	return status;
}

/*
 * main.c: prefork-exporter, which shows services built on libprefork to
 * Prometheus, to probes and to people.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "door.h"

#define N_SIGNALS 3

#define AT(field) .offset = offsetof(struct settings, field)

static const struct pfk_option options[] = {
    {'l', "listen", "ADDR", .type = PFK_OPT_STRING, AT(listen),
	.help = "HOST, HOST:PORT, :PORT or * to serve HTTP on "
		"(localhost:9488)"},
    {0, "channel", "FD", .type = PFK_OPT_INT, .min = 3, .max = INT32_MAX,
	AT(channel),
	.help = "ask only the service at the other end of this descriptor, "
		"and end with it; a service with an exporter sets it"},
    {'q', "quiet", NULL, .type = PFK_OPT_FLAG, AT(quiet),
	.help = "log warnings and errors only"},
    {'V', "version", NULL, .type = PFK_OPT_FLAG, AT(version),
	.help = "print the version and exit"},
    {'h', "help", NULL, .type = PFK_OPT_FLAG, AT(help),
	.help = "print this and exit"},
    {0},
};

static int
usage(void)
{
	printf("usage: %s [-l ADDR] [SOCKET...]\n\n"
	       "Serve the metrics of services built on libprefork to "
	       "Prometheus, their status\nas JSON and as a page, and their "
	       "health to probes.  The services are those of\nthe control "
	       "sockets, or all that this user may ask.  Defaults in "
	       "brackets.\n\n",
	    getprogname());
	if (fflush(stdout) == 0 &&
	    pfk_options_usage(options, STDOUT_FILENO) == 0)
		return EX_OK;
	pfk_complain("cannot write: %s", strerror(errno));
	return EX_IOERR;
}

static int
read_settings(struct settings *s, int argc, char **argv)
{
	char err[PFK_ERROR_SIZE];
	int first = pfk_options_argv(options, s, argc, argv, err);

	if (first == -1) {
		pfk_complain("%s", err);
		return EX_USAGE;
	}
	s->sockets = argv + first;
	s->n_sockets = argc - first;
	if (s->channel != 0 && s->n_sockets > 0) {
		pfk_complain("--channel takes no sockets besides");
		return EX_USAGE;
	}
	if (s->n_sockets > SERVICES_MAX) {
		pfk_complain("%d sockets are too many; it asks at most %d",
		    s->n_sockets, SERVICES_MAX);
		return EX_USAGE;
	}
	for (int i = 0; i < s->n_sockets; i++) {
		size_t len = strlen(s->sockets[i]);

		if (len > 0 && len < PFK_CONTROL_SIZE)
			continue;
		pfk_complain("'%.200s' is no path of a socket: it has %s",
		    s->sockets[i], len == 0 ? "no byte" : "over 107 bytes");
		return EX_USAGE;
	}
	return EX_OK;
}

static void
on_stop(void *arg, int signo)
{
	pfk_log(PFK_INFO, "got %s; stopping", strsignal(signo));
	pfk_loop_stop(arg);
}

/* Nothing is sent to us: it is the end, or no channel. */
static void
on_channel(void *arg, unsigned ready)
{
	(void)ready;
	pfk_log(PFK_INFO, "the service has ended; stopping");
	pfk_loop_stop(arg);
}

/* NULL: after a complaint. */
static struct pfk_io *
watch_channel(struct pfk_loop *l, int fd)
{
	struct pfk_io *io = NULL;

	/* Not open, it would be called a misuse of the library. */
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
		io = pfk_io_add(l, fd, PFK_READ, on_channel, l);
	if (io == NULL) {
		pfk_complain("--channel %d: %s", fd, strerror(errno));
		return NULL;
	}
	find_by_channel(fd);
	return io;
}

static bool
watch_signals(struct pfk_loop *l, struct pfk_signal **signals)
{
	static const int numbers[N_SIGNALS] = {SIGTERM, SIGINT, SIGQUIT};

	for (int i = 0; i < N_SIGNALS; i++) {
		signals[i] = pfk_signal_add(l, numbers[i], on_stop, l);
		if (signals[i] == NULL)
			return false;
	}
	return true;
}

static int
serve(const struct settings *s)
{
	struct pfk_signal *signals[N_SIGNALS] = {NULL};
	struct pfk_loop *l = pfk_loop_new(NULL);
	struct pfk_io *channel = NULL;
	int status = EX_OSERR;

	if (l == NULL) {
		pfk_complain("cannot create the event loop: %s",
		    strerror(errno));
		return EX_OSERR;
	}
	if (!watch_signals(l, signals)) {
		pfk_complain("cannot watch for signals: %s", strerror(errno));
	} else if (s->channel != 0 &&
	    (channel = watch_channel(l, s->channel)) == NULL) {
		status = EX_USAGE;
	} else if (http_start(l, s) == 0) {
		status = door_open(l,
		    s->listen != NULL ? s->listen : "localhost");
		if (status == EX_OK) {
			harden();
			pfk_log(PFK_INFO, "ready");
			status = pfk_loop_run(l) == 0 ? EX_OK : EX_OSERR;
		}
		door_close();
		http_stop();
	}
	pfk_io_cancel(&channel);
	for (int i = 0; i < N_SIGNALS; i++)
		pfk_signal_cancel(&signals[i]);
	pfk_loop_free(l);
	return status;
}

int
main(int argc, char **argv)
{
	struct settings s = {0};
	int status;

	pfk_ensure_stdio();
	signal(SIGPIPE, SIG_IGN);
	pfk_log_set_process("exporter");
	pfk_log_set_time(PFK_LOG_TIME_AUTO);
	status = read_settings(&s, argc, argv);
	if (s.quiet)
		pfk_log_set_level(PFK_WARNING);
	/* The service's log process names it. */
	if (s.channel != 0)
		pfk_log_set_process("");
	if (status == EX_OK && s.help) {
		status = usage();
	} else if (status == EX_OK && s.version) {
		printf("%s %s\n", getprogname(), PFK_VERSION);
		status = fflush(stdout) == 0 ? EX_OK : EX_IOERR;
	} else if (status == EX_OK) {
		status = serve(&s);
	}
	pfk_options_free(options, &s);
	return status;
}

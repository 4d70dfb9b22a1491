/*
 * alone.c: free the log process of the master's descriptors and signals.
 *
 * Layer: logger.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fds.h"
#include "base/log.h"
#include "event/poller.h"
#include "logger/inside.h"

void
pfk__alone_signals(void)
{
	static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT,
	    SIGTRAP, SIGSYS};
	sigset_t none;

	for (int signo = 1; signo < NSIG; signo++)
		signal(signo, SIG_IGN);
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		signal(fatal[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void
pfk__alone_descriptors(struct pfk__logger *lg, int target)
{
	int *keep = calloc((size_t)lg->used + 2, sizeof(*keep));
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	size_t n = 0;

	if (keep == NULL)
		_exit(1);
	/* Its own last words go where the log goes. */
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	if (target != STDERR_FILENO)
		dup2(target != -1 ? target : null, STDERR_FILENO);
	keep[n++] = lg->control;
	keep[n++] = pfk__log_sink()->fd;
	for (int i = 0; i < lg->used; i++) {
		struct pfk__source *src = &lg->sources[i];

		/* A child that is not forked yet has no name yet. */
		src->in_use = src->in_use && (i == 0 || src->writer == -1);
		if (src->in_use)
			keep[n++] = src->fd;
	}
	pfk__close_others(keep, n);
	free(keep);
}

/* A sandbox may deny epoll's calls. */
const struct pfk__poller *
pfk__alone_poller(void **instance)
{
	static const struct pfk__poller *const pollers[] = {&pfk__poller_epoll,
	    &pfk__poller_poll};
	const char *failed;

	for (size_t i = 0; i < 2; i++) {
		*instance = pollers[i]->open(-1, &failed);
		if (*instance != NULL)
			return pollers[i];
	}
	return NULL;
}

/*
 * violation.c: log a system call that the sandbox denies.
 *
 * Layer: sandbox.  seccomp(2): the kernel has not made the call, raises SIGSYS, and
 * takes the handler back before it runs.
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "sandbox/sandbox.h"

/* si_code; its name SYS_SECCOMP is not in the C library's headers. */
#define BY_SECCOMP 1

/* A mistake of the program's, or an attack: the process ends in any case. */
static void
on_violation(int signo, siginfo_t *info, void *context)
{
	char line[320], prefix[64], call[48];
	int n;

	(void)context;
	/* Another process may send the signal. */
	if (info->si_code != BY_SECCOMP)
		goto end;
	pfk__filter_name(info->si_syscall, call, sizeof(call));
	pfk__log_text_prefix(prefix, sizeof(prefix));
	n = snprintf(line, sizeof(line),
	    "%sthe sandbox denied the system call %s (%d): ending; if a "
	    "protocol of the program needs it, see pfk_sandbox_allow in "
	    "libprefork(3), or start with --sandbox off\n",
	    prefix, call, info->si_syscall);
	if (n > 0 && write(pfk__log_text_fd(), line, (size_t)n) == -1)
		signo = SIGSYS;
end:
	/* The disposition is the default again. */
	raise(signo);
}

void
pfk__violation_catch(void)
{
	struct sigaction sa = {.sa_sigaction = on_violation,
	    .sa_flags = (int)SA_RESETHAND | SA_NODEFER | SA_SIGINFO};

	sigaction(SIGSYS, &sa, NULL);
}

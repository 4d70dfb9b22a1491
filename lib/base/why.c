/*
 * why.c: errno in words that name the limit to raise.
 *
 * Layer: base.  strerror(3) has "Resource temporarily unavailable" for a fork(2)
 * that a limit forbids.
 */
#include "base/why.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

const char *
pfk__why(int error)
{
	switch (error) {
	case EAGAIN:
		/* RLIMIT_NPROC does not bind root. */
		return geteuid() == 0
		    ? "no process can be started; raise pids.max of the "
		      "control group (TasksMax in a systemd unit)"
		    : "no process can be started; raise RLIMIT_NPROC "
		      "(ulimit -u) or pids.max of the control group";
	case EMFILE:
		return "no descriptor is free in this process; raise "
		       "RLIMIT_NOFILE (ulimit -n)";
	case ENFILE:
		return "no descriptor is free on this machine; raise "
		       "fs.file-max";
	default:
		return strerror(error);
	}
}

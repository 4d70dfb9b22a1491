/*
 * inside.h: the table that the master and, by fork, the log process have.
 *
 * Invariants:
 *  1. a source is in use from _prepare until the log process has reported its
 *     end, or _cancel;
 *  2. the master holds the reading end of each source in use, and the writing
 *     end only between _prepare and _announce, but for its own.
 */
#ifndef PFK_LOGGER_INSIDE_H
#define PFK_LOGGER_INSIDE_H

#include <prefork.h>
#include <sys/types.h>

#include "logger/lines.h"

/* Twice the workers of a reload, the leaving ones, and the master. */
#define PFK__LOGGER_SOURCES 4096

struct pfk__source {
	bool in_use;
	int fd;     /* reading end */
	int writer; /* writing end, or -1 */
	pid_t pid;  /* of the keeper, or of the worker that has none */
	char name[32];
	bool announced; /* the log process has it */
	/* In the log process. */
	int workers[2];     /* pids of the latest, and of the one before */
	uint64_t reported;  /* of the dropped lines */
	uint64_t latest_ns; /* of its lines */
	struct pfk__lines *lines;
	bool unwatched; /* for want of watches or memory: read every 100 ms */
	bool ended;     /* but the master does not know yet */
};

struct pfk__logger {
	struct pfk_loop *loop;
	struct pfk_io *io;
	struct pfk_timer *retry; /* of start or announcements */
	int control;             /* to the log process; -1: it is dead */
	pid_t pid;
	uint64_t started_ns;
	uint64_t delay_ns; /* before the next start */
	char *pages;       /* one a source: struct pfk__relay_page */
	size_t page_bytes;
	struct pfk__source sources[PFK__LOGGER_SOURCES];
	int used;           /* no source from here on is in use */
	bool reopen_wanted; /* the log process has not got the new file */
};

struct pfk__relay_page *pfk__logger_page(const struct pfk__logger *lg,
    int index);

/*
 * origin.c: the pid of a line's writer.  The pipe says which slot it is, the
 * line only which of its keeper and workers: another process is not believed.
 */
int pfk__source_pid(struct pfk__source *src, int claimed);

/*
 * alone.c: ignore all signals but those of a fault; close all descriptors but
 * the pipes, the control socket and target, the log's descriptor (-1: the log
 * is the syslog daemon's).
 */
struct pfk__poller;

void pfk__alone_signals(void);
/* The first back-end of a loop that works here, with an instance; or NULL. */
const struct pfk__poller *pfk__alone_poller(void **instance);
void pfk__alone_descriptors(struct pfk__logger *lg, int target);

/* The log process, after its fork: never returns. */
void pfk__scribe_run(struct pfk__logger *lg) __attribute__((noreturn));

#endif

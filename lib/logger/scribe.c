/*
 * scribe.c: the log process: read the pipes, write the target.
 *
 * Layer: logger.  While the target takes no more, the pipes are not read: each
 * holds as many lines as fit, and its writer counts the rest.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <prefork.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/title.h"
#include "event/poller.h"
#include "logger/inside.h"
#include "logger/merge.h"
#include "logger/outlet.h"
#include "logger/wire.h"

#define CHUNK_BYTES 4096 /* as pfk__merge_has_room has it */
#define CHUNKS 16        /* from one pipe, before the others have their turn */
#define CHUNKS_ALL 256   /* as many as a full pipe has, and then some */
#define EVENTS 256
/* In place of a source's index. */
#define CONTROL UINT32_MAX

/*
 * After each turn of a burst.  Meanwhile writers find a process that need not
 * be woken, which would cost them more than the write.
 */
#define REST_NS 250000
#define BURST_NS PFK_MSEC_NS

/* When the master takes no message. */
#define RETRY_MS 100

/* For a slow reader, once all writers have gone. */
#define LINGER_NS (2 * PFK_SECOND_NS)

static struct scribe {
	struct pfk__logger *logger;
	struct pfk__merge merge;
	struct pfk__outlet outlet;
	const struct pfk__poller *poller;
	void *waiting;
	int control; /* to the master, or -1: it has died */
	int open;    /* sources; unwatched: of them */
	int unwatched;
	bool flush_wanted;
	bool untold; /* the master does not know yet that a source ended */
	struct pfk__source own;
} the = {.own.name = "log"};

static uint64_t
now_ns(void)
{
	return pfk__log_clock_ns(CLOCK_MONOTONIC);
}

/* lines */

static int
index_of(const struct pfk__source *src)
{
	return (int)(src - the.logger->sources);
}

/* A writer's claim: its time must not be in the future or go back. */
static void
on_line(void *arg, const struct pfk__relayed *claim)
{
	struct pfk__source *src = arg;
	struct pfk__relayed line = *claim;
	uint64_t now = now_ns();
	int pid = line.pid;

	if (line.time_ns == 0 || line.time_ns > now)
		line.time_ns = now;
	if (line.time_ns > src->latest_ns)
		src->latest_ns = line.time_ns;
	line.time_ns = src->latest_ns;
	if (pid == 0 && src != &the.own)
		pid = pfk__logger_page(the.logger, index_of(src))->pid;
	line.pid = line.keeper ? src->pid : pfk__source_pid(src, pid);
	pfk__merge_add(&the.merge, src, &line);
}

/* About a source, by the log process. */
static void
note(struct pfk__source *src, enum pfk_level level, const char *message)
{
	struct pfk__relayed line = {.level = level, .message = message};

	on_line(src, &line);
}

static void
report_dropped(struct pfk__source *src)
{
	struct pfk__relay_page *page = pfk__logger_page(the.logger,
	    index_of(src));
	uint64_t dropped = __atomic_load_n(&page->dropped, __ATOMIC_RELAXED);
	uint64_t n = dropped - src->reported;
	char text[120];

	if (n == 0)
		return;
	src->reported = dropped;
	snprintf(text, sizeof(text), "%llu log line%s dropped, %s",
	    (unsigned long long)n, n == 1 ? "" : "s",
	    pfk__outlet_cause(&the.outlet));
	note(src, PFK_WARNING, text);
}

/* "worker-2", or "keeper-2" of the same source. */
static void
name_process(const struct pfk__merged *line, char *name, size_t size)
{
	const char *slot = strchr(line->source->name, '-');

	if (line->keeper && slot != NULL)
		snprintf(name, size, "keeper%s", slot);
	else
		strlcpy(name, line->source->name, size);
}

/* Lines that are not later than until_ns go out; true: all that are held. */
static bool
put_out(uint64_t until_ns)
{
	int64_t offset = (int64_t)pfk__log_clock_ns(CLOCK_REALTIME) -
	    (int64_t)now_ns();
	const struct pfk__merged *merged;
	char name[40];

	for (;;) {
		struct pfk__line line;

		if (!pfk__outlet_has_room(&the.outlet) &&
		    !pfk__outlet_write(&the.outlet))
			return false;
		merged = pfk__merge_next(&the.merge, until_ns);
		if (merged == NULL)
			break;
		name_process(merged, name, sizeof(name));
		line = (struct pfk__line){.level = merged->level,
		    .process = name,
		    .pid = merged->pid,
		    .time_ms = (merged->time_ns + (uint64_t)offset) /
			PFK_MSEC_NS,
		    .message = the.merge.texts + merged->text};
		pfk__outlet_put(&the.outlet, &line);
	}
	return pfk__outlet_write(&the.outlet) &&
	    pfk__merge_is_empty(&the.merge);
}

/* sources */

static int
watch(int fd, uint32_t index, unsigned was, unsigned want)
{
	return the.poller->set(the.waiting, fd, index, was, want);
}

static void
end_source(struct pfk__source *src)
{
	pfk__lines_end(src->lines, on_line, src);
	report_dropped(src);
	free(src->lines);
	/* The master has a duplicate, so close alone would not do it. */
	watch(src->fd, (uint32_t)index_of(src), PFK_READ, 0);
	close(src->fd);
	the.open--;
	the.unwatched -= src->unwatched;
	src->unwatched = false;
	/* Its lines are still held, and have its name. */
	src->latest_ns = now_ns();
	src->ended = true;
}

/*
 * Tell the master which places it may use again, because all lines of their
 * writers are written.
 */
static void
tell_ended(uint64_t until_ns)
{
	the.untold = false;
	for (int i = 0; i < the.logger->used; i++) {
		struct pfk__source *src = &the.logger->sources[i];
		struct pfk__wire w = {.type = PFK__WIRE_ENDED, .index = i};

		if (!src->ended || src->latest_ns > until_ns)
			continue;
		src->ended = the.control != -1 &&
		    pfk__wire_send(the.control, &w, -1) == -1 &&
		    errno == EAGAIN;
		src->in_use = src->ended;
		the.untold = the.untold || src->ended;
	}
}

static void
try_to_watch(struct pfk__source *src)
{
	the.unwatched -= src->unwatched;
	src->unwatched = watch(src->fd, (uint32_t)index_of(src), 0, PFK_READ) ==
	    -1;
	the.unwatched += src->unwatched;
}

static int
take_source(struct pfk__source *src)
{
	src->lines = calloc(1, sizeof(*src->lines));
	if (src->lines == NULL) {
		close(src->fd);
		src->in_use = false;
		return -1;
	}
	try_to_watch(src);
	src->in_use = true;
	the.open++;
	return 0;
}

/* Read it, but not for ever. */
static void
read_source(struct pfk__source *src, int chunks)
{
	char chunk[CHUNK_BYTES];
	ssize_t n = -1;

	for (int i = 0; i < chunks && pfk__merge_has_room(&the.merge); i++) {
		n = read(src->fd, chunk, sizeof(chunk));
		if (n <= 0)
			break;
		pfk__lines_feed(src->lines, chunk, (size_t)n, on_line, src);
	}
	if (n == 0)
		end_source(src);
	else if (pfk__merge_has_room(&the.merge))
		report_dropped(src);
}

/* the master */

static void
answer_flush(void)
{
	struct pfk__wire w = {.type = PFK__WIRE_FLUSHED,
	    .error = pfk__outlet_error(&the.outlet)};

	the.flush_wanted = pfk__wire_send(the.control, &w, -1) == -1 &&
	    errno == EAGAIN;
}

/* Write all that is there; an answer waits for a reader, not for a fault. */
static void
flush(void)
{
	for (int i = 0; i < the.logger->used; i++) {
		struct pfk__source *src = &the.logger->sources[i];

		if (!src->in_use || src->ended)
			continue;
		if (!pfk__merge_has_room(&the.merge))
			put_out(UINT64_MAX);
		read_source(src, CHUNKS_ALL);
	}
	if (put_out(UINT64_MAX) || pfk__outlet_error(&the.outlet) != 0)
		answer_flush();
}

static void
hear_source(const struct pfk__wire *w, int fd)
{
	struct pfk__source *src = &the.logger->sources[w->index];

	*src = (struct pfk__source){.fd = fd, .writer = -1, .pid = w->pid};
	strlcpy(src->name, w->name, sizeof(src->name));
	if (w->index >= the.logger->used)
		the.logger->used = w->index + 1;
	if (fd == -1 || take_source(src) == -1)
		note(&the.own, PFK_ERROR,
		    "cannot take the pipe of a writer: out of descriptors or "
		    "memory; its lines are lost");
	else if (src->unwatched)
		note(&the.own, PFK_WARNING,
		    "cannot watch a writer's pipe; reading it every 100 ms");
}

static void
hear_master(void)
{
	struct pfk__wire w;
	int fd, rc;

	while ((rc = pfk__wire_receive(the.control, &w, &fd)) == 1) {
		if (w.type == PFK__WIRE_SOURCE)
			hear_source(&w, fd);
		else if (w.type == PFK__WIRE_REOPEN && fd != -1)
			pfk__outlet_move(&the.outlet, fd);
		else if (w.type == PFK__WIRE_FLUSH)
			the.flush_wanted = true;
	}
	if (rc == -1 && errno == EAGAIN)
		return;
	watch(the.control, CONTROL, PFK_READ, 0);
	close(the.control);
	the.control = -1;
	the.flush_wanted = false;
}

static void
tell_trouble(int error)
{
	struct pfk__wire w = {.type = PFK__WIRE_TROUBLE, .error = error};

	/* If the master has much to read, the log says it later anyway. */
	if (the.control != -1)
		pfk__wire_send(the.control, &w, -1);
}

/* the loop */

/* Whether all writers have gone, or cannot be polled; lines may be unread yet. */
static bool
is_deserted(void)
{
	for (int i = 0; i < the.logger->used; i++) {
		struct pfk__source *src = &the.logger->sources[i];
		struct pollfd p = {.fd = src->fd};

		if (src->in_use && !src->ended && poll(&p, 1, 0) != -1 &&
		    (p.revents & POLLHUP) == 0)
			return false;
	}
	return the.control == -1;
}

/* The target takes no more: wait for it, and listen to the master. */
static void
wait_for_outlet(void)
{
	struct pollfd p[] = {{.fd = the.control, .events = POLLIN},
	    {.fd = pfk__outlet_fd(&the.outlet), .events = POLLOUT}};
	int error = pfk__outlet_new_trouble(&the.outlet);
	int ms = pfk__outlet_retry_ms(&the.outlet);

	if (error != 0)
		tell_trouble(error);
	if (poll(p, 2, ms) == -1)
		usleep((useconds_t)ms * 1000);
	if (the.control != -1)
		hear_master();
	pfk__outlet_write(&the.outlet);
}

static struct pfk__ready ready[EVENTS];

static int
wait_for_any(int timeout_ms)
{
	return the.poller->wait(the.waiting, ready, EVENTS, timeout_ms);
}

static void
read_unwatched(void)
{
	for (int i = 0; the.unwatched > 0 && i < the.logger->used; i++) {
		if (the.logger->sources[i].unwatched) {
			try_to_watch(&the.logger->sources[i]);
			read_source(&the.logger->sources[i], CHUNKS);
		}
	}
}

/* All that have lines, though a poller gives only EVENTS at a time. */
static void
read_sources(void)
{
	int n = EVENTS;

	for (int seen = 0; n == EVENTS && seen <= the.open; seen += n) {
		n = wait_for_any(0);
		for (int i = 0; i < n; i++) {
			if (ready[i].generation != CONTROL)
				read_source(&the.logger
						 ->sources[ready[i].generation],
				    CHUNKS);
		}
	}
}

/*
 * Read all pipes, then put out the lines up to the time before the reading: no
 * pipe has an earlier one any more.
 */
static void
turn(void)
{
	uint64_t until;

	if (pfk__merge_is_empty(&the.merge))
		wait_for_any(the.untold || the.unwatched > 0 ? RETRY_MS : -1);
	until = now_ns();
	/* First, because lines about a new process come after its pipe. */
	if (the.control != -1)
		hear_master();
	read_unwatched();
	read_sources();
	if (!pfk__merge_has_room(&the.merge))
		until = UINT64_MAX;
	if (put_out(until))
		tell_ended(UINT64_MAX);
	else if (!pfk__outlet_is_blocked(&the.outlet))
		tell_ended(until);
}

/* If this turn came at once after the one before. */
static void
rest_in_burst(uint64_t *last_ns)
{
	static const struct timespec rest = {.tv_nsec = REST_NS};
	uint64_t now = now_ns();

	if (now - *last_ns <= BURST_NS && !the.flush_wanted)
		nanosleep(&rest, NULL);
	*last_ns = now;
}

static void
serve(void)
{
	uint64_t deserted = 0, last_turn = 0;

	while (the.open > 0 || !pfk__merge_is_empty(&the.merge) ||
	    pfk__outlet_is_blocked(&the.outlet)) {
		if (the.flush_wanted)
			flush();
		if (!pfk__outlet_is_blocked(&the.outlet)) {
			turn();
			rest_in_burst(&last_turn);
			continue;
		}
		wait_for_outlet();
		if (!is_deserted())
			deserted = 0;
		else if (deserted == 0)
			deserted = now_ns();
		else if (now_ns() - deserted > LINGER_NS)
			return;
	}
}

/* the start */

static int
prepare(struct pfk__logger *lg)
{
	the.poller = pfk__alone_poller(&the.waiting);
	if (the.poller == NULL ||
	    watch(lg->control, CONTROL, 0, PFK_READ) == -1)
		return -1;
	for (int i = 0; i < lg->used; i++) {
		if (lg->sources[i].in_use && take_source(&lg->sources[i]) == -1)
			return -1;
	}
	return 0;
}

void
pfk__scribe_run(struct pfk__logger *lg)
{
	pfk__alone_signals();
	pfk__title_set("log");
	pfk__log_relay(-1, NULL, false);
	pfk_log_set_process("log");
	the.logger = lg;
	the.own.pid = getpid();
	the.control = lg->control;
	pfk__outlet_init(&the.outlet, pfk__log_sink());
	pfk__alone_descriptors(lg, pfk__outlet_target(&the.outlet));
	if (prepare(lg) == 0)
		serve();
	_exit(0);
}

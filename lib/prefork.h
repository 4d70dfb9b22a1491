/*
 * prefork: multi-process, pre-forked SO_REUSEPORT servers.
 *
 * The one public header.  The vocabulary is asyncio's; the name there stands
 * in brackets.  Rules that hold everywhere and are not repeated:
 *
 *  - A function that can fail returns 0 or a pointer, and on failure -1 or NULL
 *    with errno set and nothing half done.  A contract names the errors that a
 *    program can act on; ENOMEM and the errors of the system calls named there
 *    come besides.
 *  - A function that starts an operation returns a handle.  NULL is "nothing
 *    pending"; every cancelling call takes the handle's address, accepts a NULL
 *    handle and clears it.
 *  - Callbacks come from the loop and never from inside a call of the user's,
 *    but for those of pfk_datagram_open, pfk_loop_each, pfk_zone_show,
 *    pfk_server_set_user, pfk_worker_set_user and the tables of options, as
 *    their contracts say.  They may call anything, also close their own object.
 *  - Nothing here is thread-safe but pfk_wake, and no object is used on the
 *    other side of a fork.
 *  - A mistake of the program that can be seen when it is made fails with
 *    EINVAL, EBADF, EBUSY or ECHILD, and one line in the log names it, "misuse
 *    of libprefork: ...".  A function without a result does nothing then but
 *    set errno.  There is no line where a user or a peer may have chosen the
 *    value: a host, an address, an option's value, the key of an item, the path
 *    of pfk_unix_sendto, the name of a system call.
 *  - A callback may fork, and its child ends by _exit(2) or execve(2); a child
 *    that returns from the callback is ended.
 *  - Times are nanoseconds (_ns) on CLOCK_MONOTONIC, sizes are bytes.
 */
#ifndef PREFORK_H
#define PREFORK_H

#include <sys/types.h>

#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* The version of this header, 0xMMmmpp: 1.2.3 is 0x010203. */
#define PFK_VERSION_NUMBER 0x010000u

#define PFK_SECOND_NS UINT64_C(1000000000)
#define PFK_MSEC_NS UINT64_C(1000000)

#define PFK_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))

/* ---------------------------------------------------------------- base */

/*
 * The PFK_VERSION_NUMBER of the library that the program runs with, which is the
 * header's or, with a shared library of the same soname, a later one's.
 */
unsigned pfk_version_number(void);

enum pfk_level { PFK_ERROR, PFK_WARNING, PFK_INFO, PFK_DEBUG };

/*
 * Send the log to target: "-" (standard error), "syslog", or a file, which is
 * appended to, and made with mode 0640; a FIFO needs no reader.  "/dev/stderr",
 * "/dev/stdout" and "/dev/fd/N" are the descriptor itself.  On failure the old
 * target stays.  For use before pfk_master_run.  The string is copied.
 *
 * A file must be regular, belong to root or to the effective user (EPERM) and
 * have one hard link (EMLINK); it must not be a symbolic link, nor be reached
 * by one in a directory that other users may change (ELOOP, ENOTDIR).  For
 * "syslog", errno is that of connect(2) to /dev/log: ENOENT, no daemon runs.
 * EBUSY: under pfk_master_run.
 */
int pfk_log_open(const char *target);

/*
 * Send the log to the program: call(arg, line) gets each line, in the form of
 * pfk_log_set_format and without a newline, until pfk_log_open names a target.
 * It must not log.  For use before pfk_master_run, under which the log process
 * calls it, for the lines of all processes; there the standard descriptors are
 * /dev/null, and the program's others are closed.  EBUSY: under pfk_master_run.
 */
int pfk_log_to(void (*call)(void *arg, const char *line), void *arg);

/*
 * Open the log's file anew, after a rotation; does nothing for the other
 * targets.  On failure the old file stays in use, and errno is as by
 * pfk_log_open.  Under pfk_master_run, USR1 to the master does it for all
 * processes.
 */
int pfk_log_reopen(void);

/*
 * Log messages of this level and above; PFK_INFO until called.  Another number counts
 * as PFK_DEBUG, and a message with another level is not written.
 */
void pfk_log_set_level(enum pfk_level level);

/*
 * Whether a message of this level would be written; for messages that are
 * costly to make.
 */
bool pfk_log_wants(enum pfk_level level);

/*
 * The form of a line; PFK_LOG_TEXT until called, which is "[process (pid)]
 * message".  PFK_LOG_JSON is an object with the strings time, level, process
 * and message and the number pid, PFK_LOG_LOGFMT the same as time, level,
 * process, pid and msg.
 */
enum pfk_log_format { PFK_LOG_TEXT, PFK_LOG_JSON, PFK_LOG_LOGFMT };
void pfk_log_set_format(enum pfk_log_format format);

/*
 * Whether lines have a time, in UTC by RFC 3339 with milliseconds;
 * PFK_LOG_TIME_OFF until called, PFK_LOG_TIME_ON, or PFK_LOG_TIME_AUTO, which
 * is in a file and on a terminal.
 */
enum pfk_log_time { PFK_LOG_TIME_AUTO, PFK_LOG_TIME_ON, PFK_LOG_TIME_OFF };
void pfk_log_set_time(enum pfk_log_time time);

/*
 * The word before the process number: "[word (pid)] message".  At most 31
 * bytes of it are kept.  Call it again after a fork.  Under pfk_master_run the
 * processes have the names "master" and "worker-N", which a worker cannot
 * change.
 */
void pfk_log_set_process(const char *word);

/*
 * Write one line.  Control bytes are escaped and a line is cut at 1,000 bytes.
 * It does not wait for a reader, but for 10 ms for a syslog daemon that took
 * the line before.  Lines that a slow reader or a full disk does not take are
 * dropped, and the log says their number later.  errno is preserved.
 *
 * Under pfk_master_run master and workers write to a pipe of their own, and a
 * log process writes all lines to the target, so that no worker has the log
 * open and none can write in the name of another process.  A worker's standard
 * error is the same pipe: each line written to it is a line of the log.  Its
 * standard input and output are /dev/null, and it has a session of its own, so
 * that it cannot reach the terminal that the service was started from; signals
 * of that terminal come to the master only.
 */
void pfk_log(enum pfk_level level, const char *fmt, ...) PFK_PRINTF(2, 3);

/* The same at PFK_WARNING, followed by ": " and errno's text. */
void pfk_warn(const char *fmt, ...) PFK_PRINTF(1, 2);

/*
 * Tell the user why the program cannot go on: the program's name and the
 * message on standard error, in one line, and in the log where that is
 * elsewhere.
 */
void pfk_complain(const char *fmt, ...) PFK_PRINTF(1, 2);

/*
 * The number of CPUs that this process may use: its affinity mask, and the
 * quota of its cgroup (v2 cpu.max, v1 cpu.cfs_quota_us) rounded up.  At least
 * 1: a good number of workers.
 */
int pfk_cpus(void);

/*
 * Open /dev/null in the place of standard descriptors that are closed, so that
 * no socket gets their numbers.  For the first line of main.
 */
void pfk_ensure_stdio(void);

/*
 * Ignore the signals that would end the program and that nobody sends to end a
 * server: USR2, PIPE, ALRM, VTALRM, PROF, IO, PWR, STKFLT, XCPU, XFSZ and the
 * real-time signals, unless they have handlers.  Block HUP, USR1, TTIN and
 * TTOU, the commands to a master, until pfk_master_run takes them.  For the
 * first lines of main.
 */
void pfk_signals_prepare(void);

/*
 * Block all signals but those of a crash until pfk_master_run takes them, and
 * again once it has returned, so that none ends the program before it has
 * tidied up.  To be called before the program takes a thing that it must give
 * back, as a pid file.
 */
void pfk_signals_hold(void);

/*
 * Whether the workers of pfk_master_run have the descriptor too.  Without this
 * call they have each one that is open when that is called, those of syslog(3)
 * and stdio included, and none that a hook in the master opens later.  A
 * successor of a killed worker has the same.  It is for the file that is open
 * now: once fd is closed, its number means nothing.
 * EINVAL: a standard descriptor.  EBADF: it is closed.
 */
int pfk_keep_fd(int fd, bool keep);

/*
 * Whether this program replaces a master's in its process (SIGUSR2): then it is
 * detached already, its pid file names it, and pfk_master_run takes over the
 * workers.
 */
bool pfk_upgrading(void);

enum pfk_option_type {
	PFK_OPT_FLAG,    /* bool; no argument; in a file: on, off or nothing */
	PFK_OPT_ONOFF,   /* bool; on or off */
	PFK_OPT_INT,     /* int; min to max, decimal digits */
	PFK_OPT_SIZE,    /* int64_t; min to max, decimal digits and k, M or G */
	PFK_OPT_SECONDS, /* uint64_t ns; min to max seconds; 0.5, rounded up */
	PFK_OPT_STRING,  /* char * from malloc(3), the configuration's */
	PFK_OPT_CUSTOM   /* parse and format */
};

#define PFK_OPT_ARGV_ONLY 1u /* not a key of the file, not in the dump */

/*
 * One option: argv, configuration file, usage and dump all come from a table
 * of these, closed by an entry without a name.
 */
struct pfk_option {
	int letter;        /* 0 for none */
	const char *name;  /* the long option and the file's key */
	const char *value; /* its value's name in --help; NULL for flags */
	enum pfk_option_type type;
	unsigned flags;
	size_t offset;    /* of the field in the configuration's struct */
	int64_t min, max; /* bounds, inclusive */
	/*
	 * They read and write a value of PFK_OPT_CUSTOM; field is `offset`
	 * bytes behind the start of the configuration.  parse returns 0, or -1
	 * with the reason in *errstr; first is true for the first value from
	 * one source, argv or file, so that a list can start anew there.
	 * format writes value number i to buf as parse would take it, and
	 * returns false when there is none.
	 */
	int (*parse)(void *field, const char *value, bool first,
	    const char **errstr);
	bool (*format)(const void *field, int i, char *buf, size_t size);
	const char *help;
};

/* Room for any message of the two parsers below. */
#define PFK_ERROR_SIZE 512

/*
 * Parse argv into config, as getopt_long(3) does, up to the first operand.
 * Returns the operand's index, or -1 with a message in err (PFK_ERROR_SIZE
 * bytes), which names the option and the cure.  The values before the fault are
 * set by then.  EINVAL: argv is wrong.  E2BIG: table has more than 128 options.
 */
int pfk_options_argv(const struct pfk_option *table, void *config, int argc,
    char *const *argv, char *err);

/*
 * Parse the file at path into config: "key value" or "key = value" a line, with
 * # comments, and with backslash escapes and continued lines as fparseln(3) has
 * them.  Byte order marks and CR before LF are skipped, and Unicode's spaces
 * are blanks.  "/dev/null" is no file, and nothing is parsed.  A pipe is waited
 * for, which must not happen in a reload.  Returns 0, or -1 with a message in
 * err (PFK_ERROR_SIZE bytes), which names the file and the line.
 *
 * A file that may be half written is refused, before a value is set: an empty
 * one, zero bytes, a last line without a newline or one that goes on.  So are
 * more than 16 MiB (EFBIG) and, for root, a file that everybody may write to.
 * After a wrong line the values of the lines before it are set, so parse into a
 * fresh configuration.  EINVAL: wrong contents.  E2BIG: as above.  Else errno
 * is that of open(2) or read(2).
 */
int pfk_options_file(const struct pfk_option *table, void *config,
    const char *path, char *err);

/*
 * Release the strings of config and set them to NULL; custom fields stay the
 * caller's.
 */
void pfk_options_free(const struct pfk_option *table, void *config);

/* Print the options of table to fd, for --help.  -1: the errno of write(2). */
int pfk_options_usage(const struct pfk_option *table, int fd);

/*
 * Print config to fd in the form of a file, without the options of
 * PFK_OPT_ARGV_ONLY.  -1: the errno of write(2).
 */
int pfk_options_dump(const struct pfk_option *table, const void *config,
    int fd);

/*
 * Write the options that two configurations have different values for into dst:
 * "workers 2 -> 4, idle-timeout 300 -> 10".  An option that size has no room
 * for is left out, but counted.  Returns their number.
 */
int pfk_options_diff(const struct pfk_option *table, const void *was,
    const void *is, char *dst, size_t size);

/* --------------------------------------------------------------- event */

struct pfk_loop;
struct pfk_timer;
struct pfk_io;
struct pfk_signal;

#define PFK_READ 1u
#define PFK_WRITE 2u
#define PFK_FAULT 4u /* only reported, see pfk_io_add */

/* How to stop serving; each goes further than the one before. */
enum pfk_drain {
	/*
	 * Accept the queued connections, then stop accepting; connections go
	 * on.
	 */
	PFK_DRAIN_LEAVE,
	/*
	 * And the connections are to end soon: the protocols are told, of 64
	 * connections of a server at once and of the others within a second, so
	 * that their peers do not all come back in one moment.
	 */
	PFK_DRAIN_STOP,
	/*
	 * Close all that are left, even with unsent bytes; the peer is reset
	 * only if it sent bytes that nobody read.
	 */
	PFK_DRAIN_NOW
};

/*
 * A new event loop.  backend is "epoll", "poll", or NULL or "auto" for the
 * best that works here.  EINVAL: no such backend.
 */
struct pfk_loop *pfk_loop_new(const char *backend);

/*
 * Release the loop: pending callbacks are dropped, none is called, and old
 * signal dispositions come back.  The operations of pfk_connect and of
 * pfk_datagram_connect end as if they were cancelled.  Descriptors other
 * than its own stay open.  Other handles of l, but for those of timers,
 * which are cleared, mean nothing any more.  In a child of the process that
 * made it, it only closes.  NULL is no loop.  EBUSY: from a callback of l, or
 * while it has connections, servers or endpoints, which end by pfk_loop_drain
 * and pfk_loop_run: it does nothing, and the log says so.
 */
void pfk_loop_free(struct pfk_loop *l);

/* The back-end's name. */
const char *pfk_loop_backend(const struct pfk_loop *l);

/*
 * Run until pfk_loop_stop, until nothing is left to wait for or, once drained,
 * until the last transport is gone and nothing holds the loop, even if there
 * are timers and descriptors [run_forever].  A turn has a fixed order:
 * soon-queue, ready descriptors, timers, soon-queue; additions meanwhile wait
 * for the next turn.  In a worker the library calls it.  -1: the back-end
 * failed.  EBUSY: it runs already.  ECHILD: it belongs to the process that has
 * forked this one.
 */
int pfk_loop_run(struct pfk_loop *l);

/*
 * To embed the loop in another one: run one turn and do not wait in it.  Returns
 * 1 while there is something to wait for, 0 where pfk_loop_run would return, or
 * -1 as that does.  *wait_ms is then, as for poll(2), how long the other loop
 * may wait until the next turn; it calls for one sooner when the descriptor of
 * pfk_loop_fd is readable, and after it has called functions of this library
 * from outside of their callbacks.
 *
 * pfk_loop_fd: the back-end's descriptor, which stays the loop's, for as long as
 * the loop lives.  -1 with EOPNOTSUPP: the back-end "poll" has none.
 */
int pfk_loop_turn(struct pfk_loop *l, int *wait_ms);
int pfk_loop_fd(const struct pfk_loop *l);

/* Let pfk_loop_run return after this turn [stop]. */
void pfk_loop_stop(struct pfk_loop *l);

/*
 * Every server on l stops accepting, in the soon-queue's next round;
 * pfk_loop_run returns after the last transport.  Bytes that have come already
 * are delivered before.  It may be called again with a larger `how`, to go
 * further.  In a worker the library calls it.  EINVAL: another number; it does
 * nothing, and the log says so.
 */
void pfk_loop_drain(struct pfk_loop *l, enum pfk_drain how);

/*
 * Let pfk_loop_run go on until pfk_loop_release has been called as often, also
 * when nothing else is left.  Timers, descriptors and, in a worker, connections
 * that it has opened by pfk_connect do not hold a drained loop: they are cut
 * off when it ends.  A worker that must finish its work on these holds the loop
 * until then.  A drain's time limit and pfk_loop_stop end it all the same.
 * EINVAL: l is not held.
 */
void pfk_loop_hold(struct pfk_loop *l);
int pfk_loop_release(struct pfk_loop *l);

/* The turn's time [time]. */
uint64_t pfk_loop_now(const struct pfk_loop *l);

/*
 * Call cb(arg) in the soon-queue's next round, in order: at this turn's end or
 * at the next one's start [call_soon].  It cannot be cancelled, so the object
 * that arg points to must exist until then, even if a connection is lost in
 * between.  ENOMEM.
 */
int pfk_soon(struct pfk_loop *l, void (*cb)(void *arg), void *arg);

/*
 * Call cb(arg) once, ns from now or a little later [call_later].  It cannot be
 * cancelled; see pfk_timer_set.  ENOMEM.
 */
int pfk_later(struct pfk_loop *l, uint64_t ns, void (*cb)(void *arg),
    void *arg);

/*
 * The same with a handle: *t is NULL, or a timer that was set by the same t,
 * which is then set anew for this time, callback and argument and cannot fail.
 * The library clears *t before it calls cb, when the timer is cancelled and
 * when the loop is freed, so *t is not NULL exactly while cb is going to be
 * called.  Until then t stays where it is: it is not copied, moved or freed.
 * ENOMEM.
 */
int pfk_timer_set(struct pfk_timer **t, struct pfk_loop *l, uint64_t ns,
    void (*cb)(void *arg), void *arg);

/*
 * Clear *t; cb is not called afterwards.  Does nothing where *t is NULL, so
 * that it may be called at any time, in cb too.
 */
void pfk_timer_cancel(struct pfk_timer **t);

/*
 * Call cb(arg, ready) while fd is ready for `want`: PFK_READ, PFK_WRITE or both
 * [add_reader, add_writer].  It is called again as long as fd stays ready.  fd
 * is non-blocking and stays the caller's.  ready has the readiness found, and
 * PFK_FAULT for an error or a hang-up, which is reported while something is
 * wanted; or PFK_FAULT alone for a descriptor that the back-end cannot watch,
 * such as a regular file's with epoll.  A watch for which the kernel lacks
 * memory or room (fs.epoll.max_user_watches) is logged and tried again every
 * 100 ms.  EEXIST: fd is registered already.  EBADF: fd is not open.
 */
struct pfk_io *pfk_io_add(struct pfk_loop *l, int fd, unsigned want,
    void (*cb)(void *arg, unsigned ready), void *arg);

/* Want something else from now on; 0 is nothing. */
void pfk_io_want(struct pfk_io *io, unsigned want);

/* End the calls.  Do it before fd is closed. */
void pfk_io_cancel(struct pfk_io **io);

/*
 * Call cb(arg, signo) from the loop after a signal [add_signal_handler].
 * EBUSY: the signal has a callback already, as TERM, QUIT and INT have in a
 * worker, or another loop of the process has signals.  EINVAL: it cannot be
 * caught.
 */
struct pfk_signal *pfk_signal_add(struct pfk_loop *l, int signo,
    void (*cb)(void *arg, int signo), void *arg);

/* End the calls; the old disposition comes back [remove_signal_handler]. */
void pfk_signal_cancel(struct pfk_signal **s);

/*
 * A way to wake the loop: call cb(arg) from it, once for one or several calls
 * of pfk_wake [call_soon_threadsafe].  That is the one function that may be
 * called in any thread and in a signal handler; not after pfk_wake_cancel, which
 * the loop's thread calls before it frees the loop.  ENOMEM, or the errno of
 * eventfd(2).
 */
struct pfk_wake;
struct pfk_wake *pfk_wake_new(struct pfk_loop *l, void (*cb)(void *arg),
    void *arg);
void pfk_wake(const struct pfk_wake *w);
void pfk_wake_cancel(struct pfk_wake **w);

/*
 * Metrics of the program's own, which prefork-ctl(8) shows beside the
 * library's.  Counters and times go on over restarts, reloads and upgrades.
 */
enum pfk_metric_kind {
	PFK_COUNTER, /* a sum that only grows; its name ends in _total */
	PFK_GAUGE,   /* a value that each worker has; they are added up */
	PFK_TIMES    /* a histogram of times; its name ends in _seconds */
};

/*
 * Define a metric, before pfk_master_run and in the same order at each start.
 * name has at most 63 lower-case letters, digits and underscores, and begins
 * with the program's own prefix, "chat_lines_total"; "prefork_" is taken.  help
 * is one line, of which 127 bytes are kept.  Returns the metric's number, or
 * -1.  EINVAL: name, help or kind has another form.  EEXIST: the name is defined
 * already.  ENOSPC: 32 counters and gauges, or 4 of times, are.
 */
int pfk_metric_define(enum pfk_metric_kind kind, const char *name,
    const char *help);

/*
 * In a worker: add to a counter, set a gauge, or count a time of ns.  A number
 * that pfk_metric_define has not returned, and a metric of another kind, do
 * nothing.
 */
void pfk_metric_add(struct pfk_loop *l, int metric, uint64_t n);
void pfk_metric_set(struct pfk_loop *l, int metric, uint64_t value);
void pfk_metric_time(struct pfk_loop *l, int metric, uint64_t ns);

/*
 * A zone: a table of keys and values in memory that all workers of a service share.
 * Keys and values are bytes; an item may have a time to live, and 32 bits that mean
 * something to the program.  If there is no room, items that were not read lately
 * are evicted.
 *
 * A worker that is killed in one of these calls blocks and breaks nothing: its
 * successor goes on at once.  In a callback that is a transaction (pfk_block), a change
 * is visible to others at once, before the callback returns; but when it runs again
 * in a successor, a change that was made is not made again, and the call gives the
 * result that it gave.  That holds for the first 4,096 changes of a transaction; the
 * library ends one between two messages before there are more.
 */
struct pfk_zone;

#define PFK_ZONE_KEY_MAX 1024

/* The properties of an item: as a call found them, or as a change sets them. */
struct pfk_zone_item {
	uint64_t version; /* another one after each change */
	uint64_t ttl_ns;  /* how long it lives on; 0: until it is evicted */
	uint32_t flags;   /* the program's */
	size_t len;       /* of the value */
};

/* Which item is to be there already: any or none; none; one; of that version. */
enum pfk_zone_when {
	PFK_ZONE_ALWAYS,
	PFK_ZONE_NEW,
	PFK_ZONE_OLD,
	PFK_ZONE_SAME
};

struct pfk_zone_stats {
	uint64_t items, evicted;
	uint64_t bytes, free_bytes; /* for items */
};

/*
 * Make a zone of that many bytes, 1 MiB at least, to be called before
 * pfk_master_run or pfk_main and never freed.  With path NULL it lives as long as
 * the master.  Else it is a file, on a tmpfs that nobody else may write to, as in
 * /run: the next master of the same program finds it again, after an upgrade or a
 * death, with all items.  It takes all of its memory at once.
 *
 * EINVAL: too small.  EPERM: the file is not a regular one of the effective user's,
 * or others may open it.  EEXIST: others use it, as a zone of another size or by
 * another version of the library.
 * ENOSPC.
 */
struct pfk_zone *pfk_zone_open(const char *path, size_t bytes);

/*
 * Copy the value, of which at most room bytes, to buf, and tell of the item, where
 * info is not NULL.  ENOENT.
 */
int pfk_zone_get(struct pfk_zone *z, const void *key, size_t key_len, void *buf,
    size_t room, struct pfk_zone_item *info);

/*
 * Call show with the item and its value, which is not copied: n vectors of the zone's
 * memory, valid until show returns.  pfk_writev in it sends a large value with one
 * copy less than pfk_zone_get and pfk_write.  The workers that need this part
 * of the zone wait meanwhile; so show is short, and calls of it on this zone give EDEADLK.
 * ENOENT; ENOMEM: show is not called.
 */
int pfk_zone_show(struct pfk_zone *z, const void *key, size_t key_len,
    void (*show)(void *arg, const struct pfk_zone_item *item,
	const struct iovec *value, int n),
    void *arg);

/*
 * Put an item there, in place of another one or none, as `when` says.  how->ttl_ns
 * and how->flags are the item's, how->version is that of PFK_ZONE_SAME; NULL is all
 * zero.  EEXIST: there is one (NEW); ENOENT: there is none (OLD, SAME); ESTALE: it has
 * changed (SAME).  E2BIG: it is larger than 4 MiB, or a small zone, or the 64th part of
 * a large one.  EINVAL: the key is empty, or longer than PFK_ZONE_KEY_MAX, or
 * `when` is another number.
 */
int pfk_zone_put(struct pfk_zone *z, const void *key, size_t key_len,
    const void *value, size_t len, enum pfk_zone_when when,
    const struct pfk_zone_item *how);

/*
 * Add to a number, which is an item of decimal digits, or with down subtract, and not
 * below 0.  *result is its new value.  ENOENT; EINVAL: it is no number.
 */
int pfk_zone_add(struct pfk_zone *z, const void *key, size_t key_len,
    uint64_t n, bool down, uint64_t *result);

/* Let it live for ttl_ns from now; 0: until it is evicted.  ENOENT. */
int pfk_zone_touch(struct pfk_zone *z, const void *key, size_t key_len,
    uint64_t ttl_ns);

/* Take it out; ENOENT.  And take all out. */
int pfk_zone_delete(struct pfk_zone *z, const void *key, size_t key_len);
void pfk_zone_clear(struct pfk_zone *z);

/* Add up the figures of all items; other workers may change them meanwhile. */
void pfk_zone_stats(struct pfk_zone *z, struct pfk_zone_stats *s);

enum pfk_dropped { PFK_DROPPED_LOOP_GUARD, PFK_DROPPED_LIMIT };

/*
 * Count n datagrams that the program has refused because of
 * PFK_DROPPED_LOOP_GUARD or PFK_DROPPED_LIMIT, in prefork_dropped_total.
 */
void pfk_count_dropped(struct pfk_loop *l, enum pfk_dropped why, uint64_t n);

/* ----------------------------------------------------------------- net */

struct pfk_addr {
	socklen_t len;
	union {
		struct sockaddr sa;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
	};
};

/* Room for any address as text. */
#define PFK_ADDR_SIZE 80
/* Room for any host name. */
#define PFK_HOST_SIZE 256

/*
 * Split "HOST", "HOST:PORT", "V6" or "[V6]:PORT" into host (PFK_HOST_SIZE
 * bytes) and *port, which keeps its value where str has none.  EINVAL: str has
 * another form, and *errstr, a constant text, says which fault; else *errstr is
 * NULL.
 */
int pfk_host_split(const char *str, char *host, uint16_t *port,
    const char **errstr);

/*
 * The numeric address of host, in the forms of inet_pton(3).  A zone after
 * it, as in fe80::1%eth0, counts for link-local and multicast addresses; the
 * kernel ignores it for others, and so does this call.  EINVAL: any other
 * host: names, but also 127.1 and the like, which no look-up of the library
 * finds either.
 */
int pfk_addr_parse(struct pfk_addr *a, const char *host, uint16_t port);

/*
 * Write "127.0.0.1:8888" or "[::1]:8888" to dst (PFK_ADDR_SIZE bytes), or
 * "unix" for a peer of AF_UNIX, without its path and with port 0.  Returns dst.
 */
const char *pfk_addr_format(char *dst, const struct pfk_addr *a);

/* The port, in the host's byte order; 0 where the family has none. */
uint16_t pfk_addr_port(const struct pfk_addr *a);

/*
 * Whether both have the same family, address, port and, in IPv6, zone.  False
 * where one is not an Internet address.
 */
bool pfk_addr_equal(const struct pfk_addr *a, const struct pfk_addr *b);

/*
 * Write all addresses of host, in getaddrinfo(3)'s order, at most max, to
 * addrs; family is AF_UNSPEC, AF_INET or AF_INET6.  It blocks for timeout_ns at
 * most, so that it is for a program's start; pfk_connect looks names up without
 * blocking.  A child does the look-up, so that the caller opens no socket.
 * Returns their number, at least 1, or -1, and *errstr, valid until
 * the next call, says why.
 *
 * EINVAL: host is neither an address nor a name; family is another one; max is
 * less than 1.  ENODEV: there is no interface
 * of its zone's name.  ENOENT: it is a name without such an address.  EAGAIN: no
 * name server answers now, or no process can be started.  ETIMEDOUT.  EPERM: the
 * worker is in a sandbox.  Others are possible.
 */
int pfk_resolve(const char *host, uint16_t port, int family,
    uint64_t timeout_ns, struct pfk_addr *addrs, int max, const char **errstr);

/* The system's value. */
#define PFK_UNSET (-1)

/* The buffers of a UDP socket that pfk_worker_listen opens, unless set. */
#define PFK_UDP_BUFFER 8388608

/* The unsent_limit of a TCP listener that pfk_worker_listen opens, unless set. */
#define PFK_UNSENT_LIMIT 131072

/*
 * Socket options, as in socket(7) and tcp(7).  Each may be PFK_UNSET, the
 * system's value, so begin with pfk_sockopts_init.  Connections inherit the
 * options of their listener.
 *
 * A UDP socket has no autotuning, and packets that wait for the hardware
 * address of a silent neighbour fill its send buffer.  So pfk_worker_listen
 * gives it buffers of PFK_UDP_BUFFER bytes, 8 MiB, where receive_buffer or
 * send_buffer is unset.  A process with CAP_NET_ADMIN sets the buffers of UDP
 * past net.core.rmem_max and net.core.wmem_max.
 *
 * unsent_limit bounds the bytes of a connection that the kernel keeps unsent,
 * because the peer or the network does not take them yet; more stay with their
 * writer, pfk_write or the echo, which then reads no more.  A peer that never reads costs
 * unsent_limit bytes, and not the up to 4 MiB of net.ipv4.tcp_wmem; bytes that are
 * on their way do not count.  0 is the system's, net.ipv4.tcp_notsent_lowat.
 * pfk_worker_listen sets it to PFK_UNSENT_LIMIT, 128 KiB, where it is unset.
 *
 * nodelay, quickack and reuse_port are for connections that the program opens;
 * pfk_worker_listen refuses them, see struct pfk_server_options.  pfk_connect takes
 * 1 for nodelay unless it is set: Nagle's algorithm holds back a small segment that
 * follows another one, until the peer has acknowledged that, which may take 40 ms.
 *
 * With defer_accept a listener's connections are accepted when their first
 * bytes have come, or after that time (1, 3, 7, ... s).  A worker that dies
 * resets no client that has not sent yet, and an accepted connection can be
 * read at once.  It is not for protocols in which the server speaks first.
 */
struct pfk_sockopts {
	int backlog;        /* listen(2); unset: net.core.somaxconn */
	int receive_buffer; /* SO_RCVBUF, bytes asked; UDP: SO_RCVBUFFORCE */
	int send_buffer;    /* SO_SNDBUF, bytes asked; UDP: SO_SNDBUFFORCE */
	int nodelay;        /* TCP_NODELAY, 0 or 1 */
	int quickack;       /* TCP_QUICKACK, 0 or 1, set again each receive */
	int keepalive;      /* SO_KEEPALIVE, 0 or 1 */
	int keep_idle;      /* TCP_KEEPIDLE, seconds */
	int keep_interval;  /* TCP_KEEPINTVL, seconds */
	int keep_count;     /* TCP_KEEPCNT */
	int user_timeout;   /* TCP_USER_TIMEOUT, milliseconds */
	int fastopen;       /* TCP_FASTOPEN, queue length */
	int defer_accept;   /* TCP_DEFER_ACCEPT, seconds */
	int reuse_port;     /* SO_REUSEPORT, 0 or 1 */
	int syn_retries;    /* TCP_SYNCNT, of a connection that we open */
	int unsent_limit;   /* TCP_NOTSENT_LOWAT, bytes */
};

/* Set each option to PFK_UNSET. */
void pfk_sockopts_init(struct pfk_sockopts *o);

/*
 * Listen for streams of AF_UNIX, before pfk_master_run or pfk_main: all workers
 * inherit the descriptor, which is returned, and each of them gives it to
 * pfk_serve in worker_init.  They share its queue, because this family has no
 * SO_REUSEPORT.  backlog is listen(2)'s or PFK_UNSET.
 *
 * path gets a socket of that mode, by rename(2), in place of one that a dead
 * service has left, or an older master's while its workers serve on; so clients
 * find one at each moment.  PATH.lock stays beside it.  The path is not removed
 * at the end.  A path that begins with @ is an abstract name without a file, and
 * taken until the last process that has it ends.  Since Linux 6.16 a client that sends
 * a descriptor gets EPERM; an older kernel passes it on, and closes it as the worker
 * reads, which may wait for a hostile one.
 *
 * A reload hands connections over, but not to the workers of a new master, which
 * has a socket of its own.  When a worker is killed, those that survive go on
 * (struct pfk_protocol) unless bytes are on their way in the worker, because the
 * kernel does not count the bytes of this family.
 *
 * EADDRINUSE: it serves somebody.  EEXIST: the path is no socket.  EINVAL: it is
 * empty, or backlog is negative.  ENAMETOOLONG: over 103 bytes.
 */
int pfk_unix_listen(const char *path, mode_t mode, int backlog);

/*
 * Connect to a path, or with @ to an abstract name, at once: the descriptor is
 * for pfk_attach.  Errors are those of connect(2); EAGAIN: the queue is full.
 */
int pfk_unix_connect(const char *path);

/*
 * The same two for datagrams of AF_UNIX: a socket that all workers inherit, and each
 * of them gives to pfk_datagram_open in worker_init; and one that is connected, with
 * an abstract name of its own, at which the server answers.
 *
 * A peer is known by its path, struct pfk_packet, and by no address that could be
 * kept.  One without a name cannot be answered (EDESTADDRREQ).  A receiver's queue
 * holds net.unix.max_dgram_qlen datagrams: when it is full, an answer is dropped, as
 * in UDP, and a sender waits or gets EAGAIN.  But the kernel sets no such bound to
 * the answers for a client that is connected: those that it does not read lie in the
 * send buffer of the service's socket, of PFK_UDP_BUFFER bytes where that is allowed,
 * and when it is full nobody is answered.  So let only trusted users connect,
 * by mode, or serve streams.  A new master has a socket of its own at the path, so
 * that a connected client gets ECONNREFUSED then, and connects again.
 */
int pfk_unix_bind(const char *path, mode_t mode);
int pfk_unix_datagram(const char *path);

/* ----------------------------------------------------------- transport */

struct ucred;
struct pfk_transport;
struct pfk_server;
struct pfk_datagram;

/*
 * The callbacks of a stream protocol, which outlives all of its connections;
 * any but connection_made may be NULL.
 */
struct pfk_protocol {
	/*
	 * A connection is there, and may be written to and closed already.  arg
	 * is the argument of pfk_serve or pfk_connect.  Returns self, which all
	 * others get: a struct that it has allocated, or simply tr; NULL
	 * refuses the connection, and nothing else is called.  tr is the
	 * library's, and may be used until connection_lost returns.
	 */
	void *(*connection_made)(struct pfk_transport *tr, void *arg);
	/*
	 * Bytes were received.  They are as they came, in pieces or several
	 * messages at once, unless pfk_receive_until or pfk_receive_exactly
	 * asks for messages, and consumed but for those of pfk_unread.  buf is
	 * the library's and ends with the call.
	 */
	void (*data_received)(void *self, const void *buf, size_t len);
	/*
	 * The peer has sent its end.  True keeps the write side open, for the
	 * program to close; false, or no such callback, is as pfk_close.
	 */
	bool (*eof_received)(void *self);
	/*
	 * More than the high mark is unsent: stop writing; no more than the low
	 * mark is left: go on.  Where many peers do not read, pause_writing
	 * comes at the first unsent byte already: a worker keeps unsent bytes in
	 * 65,536 chunks of 16 KiB, or in fewer where the system grants less
	 * memory, and runs short when more than a quarter of them is in use.
	 * They come from the loop and not from inside pfk_write, so a program
	 * that writes much in one callback looks at pfk_write_buffered, too.
	 */
	void (*pause_writing)(void *self);
	void (*resume_writing)(void *self);
	/* The process is about to stop: end soon.  NULL: as pfk_close. */
	void (*draining)(void *self);
	/*
	 * The last call, exactly once: free self.  error is 0 where both sides
	 * agreed, else an errno such as ECONNRESET, ECONNABORTED after
	 * pfk_abort, or PFK_HANDED_OVER.
	 */
	void (*connection_lost)(void *self, int error);
	/*
	 * On a reload the connection goes to the successor, so that the peer
	 * notices nothing.  hand_over writes the protocol's state of it to buf,
	 * which has room for 1 MiB, and returns its length; or PFK_LATER in the
	 * middle of something, to be asked again after 200 ms; or PFK_NEVER,
	 * and the connection stays in the old worker until it ends.  It may
	 * close or abort the connection instead.  Nothing can be written from
	 * then on until connection_lost comes with PFK_HANDED_OVER or, where
	 * nobody has taken it, until the next callback.
	 *
	 * connection_resumed of the server's protocol, even after
	 * pfk_set_protocol, is the counterpart of connection_made over there,
	 * with that state; NULL refuses.  Unsent and unread bytes, limits and
	 * pauses come along by themselves: if pause_writing was the last that
	 * was called here, resume_writing is the next over there.
	 *
	 * hand_over needs connection_resumed, and connection_resumed needs
	 * hand_over or survives.
	 */
	ssize_t (*hand_over)(void *self, void *buf, size_t room);
	void *(*connection_resumed)(struct pfk_transport *tr, void *arg,
	    const void *buf, size_t len);
	/*
	 * A connection goes on when its worker is killed, because its block
	 * (pfk_block) holds all that the protocol knows of it: block_bytes
	 * bytes, at most PFK_BLOCK_MAX, none by default, and none without
	 * survives.  The servers of a loop
	 * have blocks of the size of the first one's, or of fewer bytes.  The
	 * successor calls connection_resumed of the server's protocol with the
	 * block, and runs the callback again that was interrupted.  Otherwise
	 * the connections of a killed worker are closed.  See "SURVIVING" in
	 * libprefork(3).
	 */
	bool survives;
	size_t block_bytes;
};

/* The largest block. */
#define PFK_BLOCK_MAX 65536

/* hand_over's answers without a state. */
#define PFK_LATER (-1)
#define PFK_NEVER (-2)

/*
 * A hand_over for protocols that keep all of their state in the block: it goes
 * along, and connection_resumed finds it by pfk_block.  With a successor whose
 * blocks have another size it is zero there, and is only in buf.  It is not to
 * be called.
 */
ssize_t pfk_hand_over_block(void *self, void *buf, size_t room);

/* connection_lost's error for a connection that lives on elsewhere. */
#define PFK_HANDED_OVER (-1)

/*
 * The limits of all servers of a loop together; 0 is no limit.  Above
 * max_connections more wait in the accept queue.  max_per_source is for one IPv4
 * address or IPv6 /64, twice that for a /56 and three times for a /48; more are
 * closed.  With a zone, it is for the connections of all workers together, and else
 * for those of each.  The zone needs 256 bytes for each source that is connected, in
 * IPv6 three times as much; a source that it has no room for is counted by each
 * worker.
 */
struct pfk_limits {
	size_t max_connections;
	size_t max_per_source;
	bool exempt_loopback;  /* max_per_source is not for 127/8 and ::1 */
	struct pfk_zone *zone; /* where max_per_source counts, or NULL */
};

/*
 * Set the limits of a loop that has no server yet (EBUSY); there are none unless
 * set.  Out of descriptors, accepting pauses and one waiting connection is closed,
 * with or without limits.  *limits is copied.
 */
int pfk_loop_limit(struct pfk_loop *l, const struct pfk_limits *limits);

struct pfk_server_options {
	uint64_t idle_ns; /* close after no traffic; 0: never */
	bool quickack;    /* TCP_QUICKACK after each receive */
	bool nagle;       /* do not set TCP_NODELAY */
};

/*
 * Accept connections on the listening, non-blocking fd, which the server owns
 * from then on [create_server]; on failure the caller still does.  proto and
 * arg outlive it; options may be NULL and are copied.  EINVAL: fd is no
 * listening, non-blocking stream socket; proto has no connection_made, a
 * callback that needs another one, or a larger block than the first server's.
 *
 * idle_ns: an idle connection is closed up to a sixteenth later than asked; a
 * hand-over to another process does not begin the time anew.
 *
 * quickack acknowledges at once, by a system call and a packet after each
 * receive, which for an echo is half again the processor time per message.
 *
 * nagle: connections inherit the listener's TCP_NODELAY, which pfk_serve sets
 * to 1, so that an answer that is written in parts does not wait for the peer's
 * acknowledgements; or with nagle to 0.  It ignores an error, because a
 * protocol that is not TCP may lack the option.
 */
struct pfk_server *pfk_serve(struct pfk_loop *l, int fd,
    const struct pfk_protocol *proto, void *arg,
    const struct pfk_server_options *options);

/* Stop accepting and close fd; connections are left alone [Server.close]. */
void pfk_server_close(struct pfk_server **s);

/*
 * The number of the server's connections, and that of all servers of the loop.
 * Those that pfk_connect has opened do not count.
 */
size_t pfk_server_connections(const struct pfk_server *s);
size_t pfk_loop_connections(const struct pfk_loop *l);

/*
 * Before this returns, call call(self, arg) for each open connection of the
 * loop that has this protocol now, in no order: from the return of
 * connection_made or connection_resumed on, until it closes, is lost or is
 * being handed over.  call may write to any connection, close it or abort
 * it.
 */
void pfk_loop_each(struct pfk_loop *l, const struct pfk_protocol *proto,
    void (*call)(void *self, void *arg), void *arg);

/*
 * The server that accepted the connection, or NULL: the program opened it.  It
 * may be used until connection_lost returns.
 */
struct pfk_server *pfk_transport_server(const struct pfk_transport *tr);

/*
 * Give the server a pointer of the program's; NULL until then.  destroy(user),
 * unless destroy is NULL, is called once: when the server has stopped accepting
 * and its last connection is gone, or with the next call of this.  It may come
 * from inside a call.
 */
void pfk_server_set_user(struct pfk_server *s, void *user,
    void (*destroy)(void *user));
void *pfk_server_user(const struct pfk_server *s);

/*
 * Where and how to connect.  `first` goes with the SYN where the server has
 * given a cookie (TCP Fast Open, RFC 7413), else once the connection stands, in
 * any case before the bytes that connection_made writes.  With the SYN it may
 * come twice, and to each of the host's addresses.
 */
struct pfk_connect_options {
	const char *host; /* a name, or numeric */
	uint16_t port;
	int family;                          /* AF_UNSPEC, AF_INET, AF_INET6 */
	const struct pfk_addr *source;       /* to bind to; NULL: any */
	const struct pfk_sockopts *sockopts; /* NULL: none set */
	uint64_t timeout_ns; /* of look-up and all attempts; 0: none */
	const void *first;   /* TCP: the bytes to send first, or NULL */
	size_t first_len;
};

/* Room for the causes that pfk_connect's failed gets. */
#define PFK_CAUSES_SIZE 1024

/* failed's error for a host that has no address. */
#define PFK_ENOHOST (-2)

struct pfk_connector;

/*
 * Connect to a host, trying all of its addresses as RFC 8305 says
 * [create_connection].  Then either proto's connection_made is called with arg,
 * or failed, once, with the first attempt's errno, ETIMEDOUT, or PFK_ENOHOST
 * for a host without an address, and with every cause as text, in less than
 * PFK_CAUSES_SIZE bytes.  Nothing of options is kept.  The connection belongs
 * to the loop and drains with it; a worker does not stay for it
 * (pfk_loop_hold), and it is not handed over.  EINVAL: no host, no failed,
 * another family, or a proto as in pfk_serve.
 *
 * An attempt that would connect to itself, which TCP allows where nobody
 * listens and the own port is the server's, is ECONNREFUSED.
 */
struct pfk_connector *pfk_connect(struct pfk_loop *l,
    const struct pfk_connect_options *options, const struct pfk_protocol *proto,
    void *arg, void (*failed)(void *arg, int error, const char *causes));

/*
 * Go on with the connected, non-blocking stream socket fd as a connection that
 * the program has opened: one of TCP, or AF_UNIX, as of socketpair(2), over
 * which a protocol can be tested.  The connection owns fd from then on; on
 * failure the caller still does.  Options of the socket stay as they are.
 * connection_made is called with arg, from the loop, and never if the loop is
 * drained by PFK_DRAIN_NOW before.  EINVAL: fd is no such socket, or proto as
 * in pfk_serve.
 */
struct pfk_transport *pfk_attach(struct pfk_loop *l, int fd,
    const struct pfk_protocol *proto, void *arg);

/*
 * Neither connection_made nor failed is called any more.  Once one of them has
 * been called, the handle means nothing, and cancelling it does nothing, in the
 * callback and later, even if other operations have been started since.
 */
void pfk_connect_cancel(struct pfk_connector **c);

/*
 * Send the bytes, and queue a copy of those that the kernel does not take.  The
 * small writes of a callback leave together when it returns, when it writes to
 * another connection, or by pfk_flush; outside of callbacks they leave at once.
 * EPIPE: closing, or the write side is shut.  EINVAL: more than SSIZE_MAX
 * bytes, or n is negative.  Any other failure ends the connection:
 * connection_lost follows.
 *
 * pfk_writev: the same for the bytes of n vectors, in order, as writev(2).
 *
 * pfk_write_owned: the same without a copy.  buf stays as it is until the loop
 * calls release(arg), once, when the bytes are sent or the connection is lost;
 * release may be NULL, for bytes that never change.  On failure it is not
 * called.  A connection that survives its worker copies the bytes once, into
 * its transaction, and so does a hand-over to another process.
 */
int pfk_write(struct pfk_transport *tr, const void *buf, size_t len);
int pfk_writev(struct pfk_transport *tr, const struct iovec *iov, int n);
int pfk_write_owned(struct pfk_transport *tr, const void *buf, size_t len,
    void (*release)(void *arg), void *arg);

/* Send now, not when the callback returns. */
void pfk_flush(struct pfk_transport *tr);

/* The most bytes that a connection keeps unconsumed. */
#define PFK_RECEIVE_MAX 1114112

/*
 * In data_received: the last n of the bytes that it was given are not consumed.
 * They come again, with more behind them.  EINVAL: it was given fewer.
 * EMSGSIZE: more than PFK_RECEIVE_MAX.
 */
int pfk_unread(struct pfk_transport *tr, size_t n);

/*
 * Divide the input into messages: from now on data_received is called for each
 * message once it is whole, and with its bytes alone; several calls may follow
 * each other.  Also in data_received, for the messages behind the one that it
 * got, and in connection_made.  No message is delivered while more than the
 * high mark is unsent, so that a peer that does not read is not read from.
 *
 * pfk_receive_exactly: messages of n bytes [readexactly].
 *
 * pfk_receive_until: up to and with the first byte `last` [readuntil].  A
 * longer one than max bytes comes in pieces of max, of which only the last one
 * ends with that byte.
 *
 * pfk_receive_any: as it was at first, the bytes as they come [read].
 *
 * EINVAL: n or max is 0, or more than PFK_RECEIVE_MAX.
 */
int pfk_receive_exactly(struct pfk_transport *tr, size_t n);
int pfk_receive_until(struct pfk_transport *tr, char last, size_t max);
void pfk_receive_any(struct pfk_transport *tr);

/*
 * The bytes that were received and not consumed, and their number: in
 * eof_received the beginning of a message that never became whole
 * [IncompleteReadError].  Valid until the callback returns.  A hand-over and a
 * killed worker's successor keep them by themselves.
 */
const void *pfk_unconsumed(struct pfk_transport *tr, size_t *len);

/* Send FIN after the queued bytes; go on reading [write_eof]. */
void pfk_write_eof(struct pfk_transport *tr);

/*
 * Stop delivering, send the queued bytes and FIN, then wait for the peer's end
 * (2 s at most, discarding) so that no reset overtakes the data; then
 * connection_lost [close].
 */
void pfk_close(struct pfk_transport *tr);

/* Reset the connection now; connection_lost follows [abort]. */
void pfk_abort(struct pfk_transport *tr);

/* Whether nothing can be written any more [is_closing]. */
bool pfk_is_closing(const struct pfk_transport *tr);

/*
 * The connection's block: block_bytes bytes of its server's protocol, zero at
 * first, aligned to 64 bytes.  A callback of a protocol that survives is a
 * transaction: its changes to blocks, its writes and closes, on any connection
 * of the loop, count all together when it returns, or not at all if the worker
 * is killed before.  The pointer is valid until the callback returns; ask again
 * in the next one.  NULL: the connection has no block, and a line in the log says so
 * once.
 *
 * So is a callback of a timer, of pfk_soon, and of a descriptor, a signal, a
 * wake-up or a subprocess of the program's; but no successor runs it again.
 * Timers and descriptors end with the worker: note in the block, or in
 * pfk_loop_state, the work that is still to be done and its time, and clear
 * the note in the callback that does it; connection_resumed or worker_init
 * sets the timer anew, from the note.  But a change of a zone counts at once
 * in such a callback.
 */
void *pfk_block(struct pfk_transport *tr);

/*
 * The worker's own state, `bytes` bytes, zero at first, at most 1 MiB: in the
 * same way part of the transactions, and handed to a killed worker's successor.
 * A reload begins with a new one.  NULL with EINVAL: too many bytes.
 */
void *pfk_loop_state(struct pfk_loop *l, size_t bytes);

/*
 * For tests: let the process be killed (SIGKILL, by itself) at the n-th point
 * from now, 0 never.  Points are before and after each system call and callback
 * on a connection's way and each step of a commit.  A successor does not die of
 * it again.
 */
void pfk_die_at(struct pfk_loop *l, uint64_t n);

/*
 * Go on with another protocol and the same self [set_protocol]; from a
 * callback, connection_made and connection_resumed included.  EINVAL: it is
 * NULL, or has a callback that needs another one.
 */
int pfk_set_protocol(struct pfk_transport *tr,
    const struct pfk_protocol *proto);

/*
 * Deliver nothing until reading is resumed, so that the peer has to wait when
 * the kernel's buffers are full [pause_reading, resume_reading].
 */
void pfk_pause_reading(struct pfk_transport *tr);
void pfk_resume_reading(struct pfk_transport *tr);

/*
 * Forward the bytes that `from` receives to `to`, or back where they are the
 * same, without data_received: a proxy's and an echo's work.  Bulk is not
 * copied to user space.  `from` is not read while `to` has unsent bytes, so the
 * peers' pace passes through, and pfk_write to `to` keeps the order.
 *
 * It ends with pfk_unjoin, when `from` has ended (then eof_received as usual),
 * when `to` is closing, its write side shut or either is lost; bytes that were
 * read by then are still sent, and data_received gets the rest.  A transport
 * that is joined to another one is not handed over.  Where SIGPIPE is at its
 * default it is ignored from the first bulk on.  Where splice(2) is refused, by
 * a sandbox say, bulk is copied.  Urgent data is ordinary data in its place:
 * connections of pfk_worker_listen's listeners, of AF_UNIX, and of pfk_connect
 * have SO_OOBINLINE.  On a socket without it the urgent byte is skipped, as by
 * recv(2).
 *
 * EBUSY: `from` has a sink already, or `to` a source.  EPIPE: one of them is
 * closing.  EINVAL: they are on different loops.
 */
int pfk_join(struct pfk_transport *from, struct pfk_transport *to);
void pfk_unjoin(struct pfk_transport *from);

/*
 * Deadlines [timeout]; each replaces the one before it, and 0 is none.  A
 * connection that misses one is closed at once, and connection_lost gets
 * ETIMEDOUT.
 *
 * pfk_set_read_deadline: the program calls it again within ns.  In
 * connection_made and after each answer it bounds the time for the next request,
 * whichever way its bytes trickle in.
 *
 * pfk_set_write_deadline: the bytes written so far are sent within ns, which is
 * when the kernel has taken them.  A peer that reads slowly is bounded by it.
 *
 * The successor of a killed worker goes on with them; a hand-over ends them, and
 * connection_resumed may set others.  ENOMEM.
 */
int pfk_set_read_deadline(struct pfk_transport *tr, uint64_t ns);
int pfk_set_write_deadline(struct pfk_transport *tr, uint64_t ns);

/*
 * Set the marks of resume_writing and pause_writing; 16 KiB and 64 KiB unless
 * set [set_write_buffer_limits].  While the worker is short of room for unsent bytes,
 * pause_writing comes at the first one.  EINVAL: low is above high, or high above
 * UINT32_MAX.
 */
int pfk_set_write_limits(struct pfk_transport *tr, size_t low, size_t high);

/* The number of unsent bytes [get_write_buffer_size]. */
size_t pfk_write_buffered(const struct pfk_transport *tr);

/* The peer's address, valid until connection_lost returns [get_extra_info]. */
const struct pfk_addr *pfk_peername(const struct pfk_transport *tr);

/*
 * The socket's own address, until connection_lost returns [get_extra_info].
 * -1: the errno of getsockname(2).
 */
int pfk_sockname(const struct pfk_transport *tr, struct pfk_addr *a);

/*
 * Ask the kernel about the connection until connection_lost returns
 * [get_extra_info].  name is a socket option's in socket(7) or tcp(7), such
 * as "SO_RCVBUF" or "TCP_NODELAY": its int in force goes to value (buffer
 * sizes are twice those asked for); or "tcp_info" or, of AF_UNIX,
 * "SO_PEERCRED", for as much of struct tcp_info or struct ucred as size
 * holds.  EINVAL: too small a size.  ENOENT: no such name.
 */
int pfk_extra_info(const struct pfk_transport *tr, const char *name,
    void *value, size_t size);

/* A received datagram; all of it is the library's and ends with the call. */
struct pfk_packet {
	const void *buf;
	size_t len; /* 0 is a datagram as any other */
	const struct pfk_addr *from;
	const struct pfk_addr *to; /* the address that was asked */
	bool unicast;              /* false: multicast or broadcast */
	/*
	 * Of AF_UNIX, else NULL: the sender's name as for pfk_unix_sendto, with @
	 * if it is abstract, "" if there is none; and its process, user and group.
	 */
	const char *path;
	const struct ucred *cred;
};

/*
 * The callbacks of a datagram protocol, which outlives its endpoints.  Any
 * member may be NULL.
 */
struct pfk_datagram_protocol {
	/*
	 * The endpoint is there.  Returns self, which all others get; without
	 * it self is d.  It is called before pfk_datagram_open returns, or from
	 * the loop after pfk_datagram_connect.
	 */
	void *(*connection_made)(struct pfk_datagram *d, void *arg);
	/* A datagram; p and all that it points to end with the call. */
	void (*datagram_received)(void *self, const struct pfk_packet *p);
	/* A send failed, or ICMP has reported so; the endpoint stays open. */
	void (*error_received)(void *self, int error);
	/* The last call: free self. */
	void (*connection_lost)(void *self, int error);
	/*
	 * A datagram that was being handled when the worker was killed is
	 * delivered again to its successor; without it such a one is dropped.
	 * An answer from that packet's buffer (pfk_sendto) leaves once.
	 */
	bool survives;
};

/*
 * Receive on the bound, non-blocking UDP or AF_UNIX socket fd, which the endpoint owns
 * from then on [create_datagram_endpoint]; on failure the caller still does.
 * Reads and answers go in batches; UDP_GRO is set on the socket, and each
 * datagram is delivered by itself.  connection_made, which gives self, is
 * called before this returns.  A datagram of AF_UNIX that is longer than 64 KiB is
 * dropped, and error_received gets EMSGSIZE.  EINVAL: fd is no such socket, or proto
 * is NULL.  EEXIST: fd is registered already.
 */
struct pfk_datagram *pfk_datagram_open(struct pfk_loop *l, int fd,
    const struct pfk_datagram_protocol *proto, void *arg);

/*
 * Connect a UDP socket to the first of host's addresses that there is a way to
 * [create_datagram_endpoint, remote_addr].  Then either proto's connection_made
 * is called with arg, and the endpoint is the program's to close, or failed, as
 * by pfk_connect; pfk_connect_cancel cancels.  Only that peer's datagrams are
 * received, and ICMP's errors reach error_received.  The kernel's choice of the
 * own port is repeated while it is the peer's port; ECONNREFUSED: the socket's
 * own address is the peer's.  EINVAL: no host, no failed, another family, or no
 * proto.
 */
struct pfk_connector *pfk_datagram_connect(struct pfk_loop *l,
    const struct pfk_connect_options *options,
    const struct pfk_datagram_protocol *proto, void *arg,
    void (*failed)(void *arg, int error, const char *causes));

/* The connected peer [get_extra_info].  ENOTCONN: there is none. */
int pfk_datagram_peername(const struct pfk_datagram *d, struct pfk_addr *a);

/*
 * Send one datagram to `to` (NULL: the connected peer), from the local address
 * `from` (NULL: the socket's own) [sendto].  An answer goes `to` the packet's
 * `from`, `from` the packet's `to`, so that it is right on a socket that is
 * bound to 0.0.0.0 or ::, too; one that is bound to an address ignores `from`.
 * Called from datagram_received it is sent with the batch, in order with other
 * datagrams to the same `to`, and together with them where the kernel offers
 * UDP_SEGMENT: from that packet's buffer uncopied, and from other memory by a
 * copy, unless that is too large.  It never waits: a full socket buffer drops
 * the datagram and counts it.
 *
 * In AF_UNIX, `to` is the `from` of the datagram that is being handled, not a copy.
 */
void pfk_sendto(struct pfk_datagram *d, const void *buf, size_t len,
    const struct pfk_addr *to, const struct pfk_addr *from);

/*
 * Send one datagram from a socket of AF_UNIX to any path at once; else as pfk_sendto.
 * EINVAL, ENAMETOOLONG: as by pfk_unix_listen, and EINVAL: more than SSIZE_MAX
 * bytes.  EAFNOSUPPORT: it is another socket.
 */
int pfk_unix_sendto(struct pfk_datagram *d, const void *buf, size_t len,
    const char *path);

/*
 * Datagrams dropped because the socket's send buffer was full.  An endpoint
 * that is not connected logs at most once a minute how many it dropped: these,
 * those that found its receive buffer full, and those that could not be sent.
 */
uint64_t pfk_datagram_dropped(const struct pfk_datagram *d);

/* Close the endpoint and its socket; connection_lost follows [close]. */
void pfk_datagram_close(struct pfk_datagram **d);

/* -------------------------------------------------------------- stream */

/*
 * A reader and a writer over a connection [StreamReader, StreamWriter].  At
 * most twice the limit is read ahead of the program; then the peer waits.  When
 * the loop stops serving, the received bytes can still be read, and then the
 * end.  On a reload a stream stays in the old worker until it ends.
 */
struct pfk_stream;

#define PFK_STREAM_LIMIT 65536

/*
 * How a call ended.  The calls that take cb end with one cb(arg, r) from the
 * loop, in which the next one may be started.  cb may be NULL: then
 * pfk_run_until fetches the result; one such call of a stream at a time
 * (EBUSY).  Closing the stream drops the calls: no callback follows.
 */
struct pfk_result {
	/*
	 * The bytes of a read, in the stream's memory: valid until the callback
	 * returns; without a callback until the next call or turn.
	 */
	const void *buf;
	size_t len;
	int error; /* 0, or the errno */
};

/*
 * Accept connections on the listening, non-blocking fd, as pfk_serve, and call
 * connected with each [start_server].  The stream is then the program's, to be
 * closed in any case, also after an error.  Fails as pfk_serve.
 */
struct pfk_server *pfk_stream_serve(struct pfk_loop *l, int fd,
    void (*connected)(struct pfk_stream *s, void *arg), void *arg,
    const struct pfk_server_options *options);

/*
 * Connect as pfk_connect does [open_connection].  On failure the result's error
 * is the one that `failed` gets there, and its bytes are the causes.  The
 * stream is to be closed in any case; before it is open, that cancels.  Fails
 * as pfk_connect.
 */
struct pfk_stream *pfk_stream_open(struct pfk_loop *l,
    const struct pfk_connect_options *options,
    void (*cb)(void *arg, const struct pfk_result *r), void *arg);

/*
 * Set the limit of pfk_read_until and of the bytes that are read ahead;
 * PFK_STREAM_LIMIT unless set.  EINVAL: 0, or over SIZE_MAX / 4.
 */
int pfk_stream_set_limit(struct pfk_stream *s, size_t limit);

/*
 * For addresses and extra info; NULL before the stream is open and once the
 * connection is lost.  Reading, writing and closing are the stream's.
 */
struct pfk_transport *pfk_stream_transport(const struct pfk_stream *s);

/*
 * Read; one of these at a time (EBUSY), on an open stream (ENOTCONN).  When the
 * connection breaks, the received bytes can still be read; then the result's
 * error is the connection's.
 *
 * pfk_read: 1 to max bytes, as soon as there are any; len 0 without an error is
 * the peer's end [read].  EINVAL: max is 0.
 *
 * pfk_read_exactly: n bytes, also more than the limit.  The end before that is
 * the error ENODATA, with the bytes before it in buf [readexactly,
 * IncompleteReadError].  EINVAL: n is 0.
 *
 * pfk_read_until: up to and with the first byte `last`, such as a newline.  The
 * end before that is ENODATA in the same way, with len 0 where nothing is left.
 * More than the limit before it is EMSGSIZE; then nothing is consumed, and
 * pfk_read gets it [readuntil, LimitOverrunError].
 */
int pfk_read(struct pfk_stream *s, size_t max,
    void (*cb)(void *arg, const struct pfk_result *r), void *arg);
int pfk_read_exactly(struct pfk_stream *s, size_t n,
    void (*cb)(void *arg, const struct pfk_result *r), void *arg);
int pfk_read_until(struct pfk_stream *s, char last,
    void (*cb)(void *arg, const struct pfk_result *r), void *arg);

/*
 * Whether the peer has ended, or the connection is lost, and all that was
 * received is read [at_eof].
 */
bool pfk_stream_at_eof(const struct pfk_stream *s);

/*
 * Send, as pfk_write does.  A program that writes much drains in between, or
 * the queue grows [write].  ENOTCONN: the stream is not open yet.  EPIPE: its
 * write side is shut, or the connection is lost.  EINVAL: as pfk_write.
 */
int pfk_stream_write(struct pfk_stream *s, const void *buf, size_t len);

/*
 * The call ends at once while no more than the high mark, 64 KiB, is unsent,
 * else when no more than the low mark, 16 KiB, is [drain].  The result's error
 * is the lost connection's, ECONNRESET where it has none.  EBUSY: one is
 * pending.  ENOTCONN: the stream is not open yet.
 */
int pfk_stream_drain(struct pfk_stream *s,
    void (*cb)(void *arg, const struct pfk_result *r), void *arg);

/*
 * Send FIN after the queued bytes; go on reading [write_eof].  Does nothing
 * before the stream is open and once the connection is lost.
 */
void pfk_stream_write_eof(struct pfk_stream *s);

/*
 * Send the queued bytes and close as pfk_close does, or reset the connection as
 * pfk_abort does, while the loop runs [close].  Pending calls are dropped.
 */
void pfk_stream_close(struct pfk_stream **s);
void pfk_stream_abort(struct pfk_stream **s);

/*
 * For client programs, never from a callback: run the loop until the call that
 * has no callback ends, and fetch its result.  ETIMEDOUT: it has not ended by
 * deadline_ns, on pfk_loop_now's clock, and goes on; UINT64_MAX is never.
 * ECANCELED: the loop was stopped, or a callback has closed the stream.
 * EINVAL: there is no such call.  Else as pfk_loop_run.
 */
int pfk_run_until(struct pfk_loop *l, struct pfk_stream *s,
    uint64_t deadline_ns, struct pfk_result *r);

/* ------------------------------------------------------------- process */

struct pfk_worker;

enum pfk_kind { PFK_TCP, PFK_UDP };

/*
 * A listener that every worker opens for itself.  With port 0 in addr it gets a
 * free port, the same for all such listeners of all workers, and keeps it over
 * reloads; the log has its number.  An optional one is skipped where the
 * machine lacks the address.  SO_REUSEPORT is the library's matter: a second
 * instance on the address is refused with EX_TEMPFAIL.
 */
struct pfk_listen {
	enum pfk_kind kind;
	struct pfk_addr addr;
	bool optional;
	const struct pfk_sockopts *options; /* NULL: the system's */
};

/*
 * How workers are confined once they serve, see pfk_sandbox_allow: not at all;
 * as far as the build and the kernel can; or the same, and with less they do
 * not start (EX_CONFIG).
 */
enum pfk_sandbox { PFK_SANDBOX_OFF, PFK_SANDBOX_AUTO, PFK_SANDBOX_ON };

struct pfk_master_config {
	int workers;          /* 1 to PFK_WORKERS_MAX */
	uint64_t shutdown_ns; /* bound of a graceful stop; 0: none */
	/*
	 * Bound of the connections that a reload leaves over; 0: until they end,
	 * but a worker that leaves over more than 8 reloads, and for more than
	 * 1 s, is killed.
	 */
	uint64_t drain_ns;
	/*
	 * A graceful stop begins so long after its order.  Meanwhile all is
	 * served, but the service is reported as not ready, so that balancers
	 * leave it; a second order stops at once.
	 */
	uint64_t stop_delay_ns;
	/*
	 * Abort and replace a worker when its loop is blocked or stopped for so
	 * long, or computes for 3 s without a turn, or for hang_ns where that
	 * is less; 0: never.  Waiting for a CPU does not count, nor does a
	 * debugger.  After a quarter of it, a worker that clients wait for and
	 * no sibling can help is replaced as by a reload.
	 */
	uint64_t hang_ns;
	/*
	 * When the master dies, its workers serve on for so long and wait for
	 * the next master of the same name, which takes them over; 0: they
	 * drain and end.  It needs the control socket and keepers.
	 */
	uint64_t orphan_ns;
	/* The event back-end, as for pfk_loop_new. */
	const char *poller;
	/* Start no keepers: connections end with their worker. */
	bool no_keeper;
	/*
	 * A worker rests for 50 us before it waits, while more comes in that
	 * way: one that is faster than its peers is otherwise woken for every
	 * single event, at its cost and theirs.  A loop that has turned more
	 * than 16,000 times a second for 16 ms tries it, every other 2 ms for
	 * 64 ms at most, and rests when most of those show a gain, for 0.5 to
	 * 2 s; then, or when the work has changed, it tries again.  Where there
	 * is no gain it does so after 1 to 16 s.  A loop with less to do does
	 * not begin to rest, and ceases to within 2 s.  As the coalescing of
	 * interrupts, ethtool(8).  It sets the timer slack to 1 us
	 * (PR_SET_TIMERSLACK, prctl(2)).  True: it does not.
	 */
	bool no_coalesce;
	/* As in pfk_sandbox_allow; 0 is PFK_SANDBOX_OFF. */
	enum pfk_sandbox sandbox;
	/*
	 * The path of the control socket, for prefork-ctl(8); "off"; or NULL
	 * for the default place, which is NAME.sock in the first of these
	 * directories that can be used: RUNTIME_DIRECTORY in the environment
	 * (systemd.exec(5)), /run/prefork for root, prefork in XDG_RUNTIME_DIR,
	 * and /tmp/prefork-UID.  A directory that other users could write to is
	 * not used.  Without any, the service runs without a control socket,
	 * and the log says so.  A path that cannot be used ends the start with
	 * EX_CANTCREAT.  A reload does not move the socket.
	 */
	const char *control;
	/*
	 * The service's name.  The master holds a lock on NAME.lock, beside the
	 * socket, so that a second master of this name ends with EX_TEMPFAIL.
	 * NULL: the program's name and `address`, with the pid where the port
	 * is 0 or there is no address.  A reload does not change it.
	 */
	const char *name;
	/* The first listener, for the name; it is not opened.  May be NULL. */
	const struct pfk_listen *address;
	/*
	 * Its members may read the status; 0: none.  Commands are for root and
	 * the master's own user.
	 */
	gid_t control_group;
	/*
	 * The user and group to which workers drop; the control socket takes no
	 * commands from that user; 0: they do not.  With a sandbox, the master and
	 * workers that boot keep no capabilities but CAP_DAC_OVERRIDE,
	 * CAP_KILL, CAP_SETUID, CAP_SETGID, CAP_SETPCAP, CAP_NET_BIND_SERVICE,
	 * CAP_NET_ADMIN, CAP_SYS_PTRACE and CAP_SYS_RESOURCE.
	 */
	uid_t worker_user;
	gid_t worker_group;
	/*
	 * Run prefork-exporter(8) on this address, as its --listen takes it, with
	 * the workers' user and group; NULL: do not.  A reload changes it.
	 */
	const char *exporter;
	/*
	 * The program's version, and the file that was read for this
	 * configuration, which prefork-ctl(8) shows; may be NULL.
	 */
	const char *version;
	const char *config_file;
};

#define PFK_WORKERS_MAX 1024

/* Room for the path of a control socket, sun_path's in unix(7). */
#define PFK_CONTROL_SIZE 108

/*
 * The program's callbacks, by gunicorn's names; any but worker_init may be
 * NULL.  All get the arg of pfk_master_run.  worker_init, worker_leaving and
 * worker_exit run in the worker, prepare_reload in a process of its own, and
 * all others in the master, which does nothing else meanwhile, so they must not
 * block.
 */
struct pfk_hooks {
	/*
	 * Listen, serve, give up privileges, and return 0; the loop then runs.
	 * Or return -1, after pfk_worker_fail has said why: on the first start
	 * that ends the master, with that status and that line; later the
	 * worker is tried again, after a growing delay.
	 */
	int (*worker_init)(struct pfk_worker *w, void *arg);
	/* The worker has served its last. */
	void (*worker_exit)(struct pfk_worker *w, void *arg);
	/*
	 * The worker is to end: `why` is PFK_DRAIN_LEAVE after a reload or a
	 * resize, PFK_DRAIN_STOP with the service, and PFK_DRAIN_NOW when it is
	 * cut off.  It is called again for each further step.  until_ns, on
	 * pfk_loop_now's clock, is when the worker will be cut off; 0: never.
	 */
	void (*worker_leaving)(struct pfk_worker *w, enum pfk_drain why,
	    uint64_t until_ns, void *arg);
	/*
	 * All workers serve.  Not 0: stop, with that exit status, unless they
	 * were taken over from another master and have connections.
	 */
	int (*on_ready)(void *arg);
	/*
	 * The part of a reload that may take time, at most 30 s, before
	 * on_reload and while the master goes on: check the new configuration,
	 * look up names and users, and write the answers to fd, which has room
	 * for 16 MiB.  Or return -1, which refuses the reload, after
	 * pfk_reload_fail has said why.  Changes of memory are lost with the
	 * process; descriptors but fd, the standard ones and the log are
	 * closed.
	 */
	int (*prepare_reload)(int fd, void *arg);
	/*
	 * Fill in the configuration for the workers to come, with the answers
	 * of pfk_reload_prepared, and describe it by pfk_reload_changes; -1
	 * refuses the reload, after pfk_reload_fail, and nothing changes.  New
	 * workers are forked from the master, so they see its memory.
	 */
	int (*on_reload)(struct pfk_master_config *config, void *arg);
	/* Whether the first new worker came up with it: commit, or go back. */
	void (*reload_done)(bool ok, void *arg);
	/* Another number of workers is wanted, by a signal or a reload. */
	void (*workers_changed)(int workers, void *arg);
	/*
	 * A worker has ended, with the status of waitpid(2); also where its
	 * keeper has started the next one already.
	 */
	void (*child_exit)(int slot, pid_t pid, int status, void *arg);
	/* The last call, with the exit status. */
	void (*on_exit)(int status, void *arg);
};

/*
 * Fork the workers and supervise them until a signal says stop:
 *
 * - HUP: reload: replace the workers, two at a time.  Each new worker has 30 s to
 *   become ready: without the first one nothing changes; a later one is left
 *   behind, and the log names its slot.  During a reload: reload again when it
 *   has ended.
 * - TERM: stop, once stop_delay_ns has passed; connections may end within
 *   shutdown_ns.  A second one, a second later or more: at once.
 * - QUIT: stop, without that bound.
 * - INT: stop at once.
 * - USR1: reopen the log.
 * - USR2: upgrade: execute the program's file with its arguments in this
 *   process.  First a child executes it with the argument -t before all others,
 *   which must test the configuration and end with 0 within 10 s.  The new
 *   program must come to pfk_master_run within 30 s; it takes the workers over
 *   and replaces them.  Until it has, any failure brings the old program back.
 *   It needs keepers, a control socket and orphan_ns.
 * - TTIN and TTOU: one worker more, one fewer.
 *
 * Returns an exit status of sysexits(3), in the master only.  EX_TEMPFAIL: a
 * service of this name runs already.  EX_SOFTWARE: the call is wrong, and the
 * log says how.  Signals are blocked as by pfk_signals_hold from the end of the
 * loop until on_exit has returned, and then as they were before.  It binds
 * nothing but the control socket, an AF_UNIX one.  Where the environment has
 * NOTIFY_SOCKET, the master sends its state to the service manager and feeds
 * the manager's watchdog, as by sd_notify(3).  Where it has FDSTORE, too, which
 * systemd sets, or a unit for a systemd older than 254, the manager stores a copy of
 * each listener, and the next start takes those that it is given (LISTEN_FDS).  Other
 * descriptors from there are closed.
 *
 * Memory that is mapped shared before this call is shared by all workers, also
 * those of a later reload.  Descriptors that are open before this call are open
 * in all workers, but for those that pfk_keep_fd excepts; those of other
 * workers and of the library are not.  Log target and level are inherited.
 * PR_SET_NO_NEW_PRIVS is set, and the limit of open descriptors raised as far
 * as it goes.
 *
 * Output of stdio is flushed before each fork.  Workers end by exit(3), which
 * runs their own handlers of atexit(3) and none that main has registered.
 * Signals that would end master or workers and that nobody sends to end them
 * are ignored, as by pfk_signals_prepare; in a worker they are caught, so that
 * a program that it executes does not inherit that, but TTIN and TTOU are
 * ignored.
 */
int pfk_master_run(const struct pfk_master_config *config,
    const struct pfk_hooks *hooks, void *arg);

/*
 * The master's loop, for the hooks that run in the master: for signals of the
 * program's (those in the list above are the master's), timers, descriptors and
 * subprocesses.  Their callbacks must not block, and workers do not have them.
 * The master gives up what is on the loop when it ends, after on_exit's time to
 * use it.  NULL in a worker, and where no master runs.
 */
struct pfk_loop *pfk_master_loop(void);

/*
 * Say in prepare_reload or on_reload why it refuses, in one line, which the
 * master logs and prefork-ctl(8) prints.  Returns -1.
 */
int pfk_reload_fail(const char *fmt, ...) PFK_PRINTF(1, 2);

/*
 * Describe in on_reload the changes by the new configuration, for the status;
 * pfk_options_diff writes such a text.
 */
void pfk_reload_changes(const char *fmt, ...) PFK_PRINTF(1, 2);

/*
 * The bytes that prepare_reload has written, for on_reload, and their number;
 * they are aligned as by malloc(3), and gone when it returns.
 */
const void *pfk_reload_prepared(size_t *size);

/*
 * For programs that look for control sockets, which are called NAME.sock: write
 * the path of directory number i that may hold some into dst (PFK_CONTROL_SIZE
 * bytes), or "" where it is missing or other users could have put sockets
 * there.  False: there are no more.
 */
bool pfk_control_directory(int i, char *dst);

/* A worker that serves on after its master's death. */
struct pfk_orphan {
	int slot;
	pid_t pid;
};

/*
 * Find the workers that a dead master has left, by the path of its control
 * socket, and write at most max of them, each with its slot and pid, to list.
 * It takes half a second at most, in which the service cannot start.  Returns
 * their number, or -1 with the cause in err (PFK_ERROR_SIZE bytes): the service
 * runs, or its socket belongs to another user.
 */
int pfk_orphans(const char *control, struct pfk_orphan *list, int max,
    char *err);

/*
 * The loop on which the worker serves, and its slot: a number from 0 on, which
 * its successors have, too.
 */
struct pfk_loop *pfk_worker_loop(struct pfk_worker *w);
int pfk_worker_slot(const struct pfk_worker *w);

/*
 * Give the worker a pointer of the program's; NULL until then.  destroy(user),
 * unless destroy is NULL, is called once: when the worker ends, after
 * worker_exit, or with the next call of this.  Not in one that is killed.
 */
void pfk_worker_set_user(struct pfk_worker *w, void *user,
    void (*destroy)(void *user));
void *pfk_worker_user(const struct pfk_worker *w);

/*
 * Open this slot's n listeners, or take them where an earlier worker of the
 * slot has left them in the master's custody.  All or none; on failure the
 * reason is recorded as by pfk_worker_fail, so just return -1.  fds[i] is the
 * worker's to serve on, TCP with pfk_serve or pfk_stream_serve, UDP with
 * pfk_datagram_open; -1 is an optional one that the machine lacks.  Call it
 * once, from worker_init, with the same list in all workers of one
 * configuration.  EBUSY: it has opened listeners before.  EINVAL: n is 0, two are
 * the same, or one has an option of connections.
 */
int pfk_worker_listen(struct pfk_worker *w, const struct pfk_listen *want,
    size_t n, int *fds);

/*
 * Say why worker_init fails: an exit status of sysexits(3), and one line for
 * the log.  Returns -1.
 */
int pfk_worker_fail(struct pfk_worker *w, int status, const char *fmt, ...)
    PFK_PRINTF(3, 4);

struct pfk_subprocess;

/*
 * Start a program [create_subprocess_exec], found by PATH if argv[0] has no
 * slash.  fds, unless it is NULL, has its standard descriptors; -1 in it, and
 * NULL, is the caller's own, which in a worker are /dev/null and the log.  It has
 * no other descriptors, and all signals at their defaults.  Then ended(arg,
 * status) is called once from the loop, with the status of waitpid(2); the
 * handle is no longer valid by then.  In a worker and in the master, and in any
 * other program.
 *
 * A worker that drains does not wait for it (pfk_loop_hold).  If its worker ends
 * or is killed, it goes on; it is then the master's child, which waits for it,
 * and no successor is told.  The other end of a socket pair that it has as a
 * standard descriptor is closed then, and so it can notice.
 *
 * The errno of posix_spawn(3), as ENOENT; EINVAL: no ended, or argv has no
 * program; EBADF: fds has a descriptor that is not open; EPERM: the worker is in
 * a sandbox.
 */
struct pfk_subprocess *pfk_subprocess_start(struct pfk_loop *l,
    char *const *argv, const int *fds, void (*ended)(void *arg, int status),
    void *arg);

/*
 * The same for a process that runs already: ended gets -1 if it is no child of
 * this process, or was waited for elsewhere.  ESRCH: there is no such process.
 * EINVAL: no ended, or pid is less than 1.  EPERM: the worker is in a sandbox.
 */
struct pfk_subprocess *pfk_subprocess_watch(struct pfk_loop *l, pid_t pid,
    void (*ended)(void *arg, int status), void *arg);

/*
 * Its pid; and send it a signal, and no other process that may have that pid
 * later.  -1: the errno of pidfd_send_signal(2); EPERM in a sandbox, too.
 */
pid_t pfk_subprocess_pid(const struct pfk_subprocess *s);
int pfk_subprocess_signal(const struct pfk_subprocess *s, int signo);

/* `ended` is not called any more; a child is left as a zombie. */
void pfk_subprocess_cancel(struct pfk_subprocess **s);

/*
 * Give up root for good: supplementary groups, group, user, in that order.
 * user NULL is a uid without a name, which has no supplementary groups.  For
 * worker_init, after the listeners are open.  Does nothing where the process is
 * that user already.  EPERM: no right to, or root could be got back.
 */
int pfk_drop_privileges(const char *user, uid_t uid, gid_t gid);

/*
 * Allow the workers in their sandbox one more system call, by its name of
 * syscalls(2) and with all arguments: "socket", "openat".  "kill" and "openat"
 * (or "execve") undo the rules of Landlock about signals and files.  Call it
 * before pfk_master_run or pfk_main, or in worker_init.  EINVAL: there is no
 * such call.  ENOSPC: more than 64.  EPERM: the worker is confined already.
 *
 * A worker of a master with PFK_SANDBOX_AUTO or PFK_SANDBOX_ON confines itself
 * for good when worker_init has returned 0.  From then on it has no capability,
 * opens no file and no socket, starts no process or thread, makes no memory
 * executable, signals only itself, and clears O_NONBLOCK of no descriptor.  All
 * calls of this library can be made, but for pfk_worker_listen, pfk_resolve and
 * those to a host's name, which fail with EPERM, and but for pfk_connect and
 * pfk_datagram_connect unless "socket" is allowed.  Each other system call ends
 * the process by SIGSYS, and the log has its name.  Open in worker_init all
 * that the protocols need.  With PFK_SANDBOX_ON a worker that cannot be
 * confined so far does not start.  The default is PFK_SANDBOX_OFF, because only
 * the program knows the calls of its protocols.
 */
int pfk_sandbox_allow(const char *call);

/* ---------------------------------------------------------------- main */

/*
 * A program in one call: command line and configuration file, limits,
 * listeners, socket options, users, log, pid file, daemon, reloads and
 * upgrades.  The program adds its own options and protocols.  "MAIN" in
 * libprefork(3) lists the options.
 */

/*
 * One service of a program: any of tcp, as for pfk_serve, stream, as for
 * pfk_stream_serve, and udp, as for pfk_datagram_open, but not both tcp and
 * stream.  Callbacks get the setup's config as arg.  The first service has no
 * name; each other one is for the addresses with its name, as in --bind
 * ADDR,NAME.  An address opens a listener for each protocol of its service.
 */
struct pfk_service {
	const char *name;
	const struct pfk_protocol *tcp;
	void (*stream)(struct pfk_stream *s, void *config);
	const struct pfk_datagram_protocol *udp;
};

/* A listener of each worker. */
struct pfk_endpoint {
	struct pfk_listen listen; /* in worker_init with the port in use */
	int service;              /* index; check may change it */
};

/* The orders of command line and file. */
struct pfk_setup {
	void *config; /* the program's, of config_bytes bytes */
	struct pfk_endpoint *endpoints;
	size_t n_endpoints;
};

/*
 * The program.  Only services is needed; any other member may be zero or NULL.
 * All of it stays where it is until pfk_main returns.
 */
struct pfk_program {
	/* The answer to --version. */
	const char *version;
	/* A sentence for --help, and arguments that make sense for its end. */
	const char *about;
	const char *example;
	/*
	 * The services: at least one, and then one without protocols, which
	 * ends the list; all the others have some.
	 */
	const struct pfk_service *services;
	/*
	 * The defaults of the options of these names, which --help shows; 0
	 * workers are auto, and an idle_ns of 0 is no limit.
	 */
	uint16_t port;
	int workers;
	uint64_t idle_ns;
	enum pfk_sandbox sandbox;
	/*
	 * A table of the program's own options, with offsets in its
	 * configuration, a struct of config_bytes bytes.  That begins as a copy
	 * of defaults (NULL: zeros), with copies of the strings of
	 * PFK_OPT_STRING, which the library releases.  clear releases all other
	 * memory of a configuration; it is not needed for values in the struct
	 * itself.  A name must not be one of the library's; a letter may be,
	 * and is the program's then.
	 */
	const struct pfk_option *options;
	size_t config_bytes;
	const void *defaults;
	void (*clear)(void *config);
	/*
	 * Check a configuration as a whole; it may change the service of an
	 * endpoint.  -1 with the reason in err (PFK_ERROR_SIZE bytes) refuses
	 * it: at the start the program ends with EX_USAGE or, with a file,
	 * EX_CONFIG; a reload changes nothing, and the log and the answer of
	 * prefork-ctl(8) have the reason.  It runs at the start, for -t, and
	 * twice in a reload: in a child, then in the master, which it must not
	 * block.
	 */
	int (*check)(struct pfk_setup *s, char *err);
	/*
	 * In the worker: worker_init when the listeners are open, with port 0
	 * replaced by the port in use, and before they are served, and root has
	 * not been given up; worker_exit when all are closed.  worker_init
	 * returns 0, or -1 as by pfk_worker_fail.
	 */
	int (*worker_init)(struct pfk_worker *w, const struct pfk_setup *s);
	void (*worker_exit)(struct pfk_worker *w, const struct pfk_setup *s);
	/* As in struct pfk_hooks. */
	void (*worker_leaving)(struct pfk_worker *w, enum pfk_drain why,
	    uint64_t until_ns, const struct pfk_setup *s);
};

/*
 * Run the program: parse argv, carry out its orders, and return main's result,
 * an exit status of sysexits(3); in worker processes it does not return.  It is
 * all of main but pfk_metric_define, pfk_zone_open, pfk_unix_listen, pfk_keep_fd
 * and pfk_sandbox_allow, which come before: it opens the standard descriptors that
 * are closed, closes those above them but the ones of pfk_keep_fd, and prepares
 * the signals.  EX_SOFTWARE: the program is wrong, and one line says how.
 */
int pfk_main(const struct pfk_program *program, int argc, char **argv);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif

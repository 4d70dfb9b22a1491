/*
 * control.h: the control socket: its clients and their requests.
 *
 * control.c admits clients, client.c moves their bytes, command.c decides; report.h
 * describes.
 *
 * The protocol, version 1.  A client sends one line, "1 COMMAND [ARGUMENT]".
 * The answer is "OK\n" or "ERR CODE TEXT\n", where CODE is of sysexits(3), then
 * text or JSON; the end of the stream ends it.  A first byte of 0x02 is that of
 * a binary message of fixed size, which no line begins with.
 *
 * Invariants:
 *  1. nothing here blocks, and no client costs more than its buffers, for longer
 *     than its deadline; all that may not command have one ration of CPU time;
 *  2. a client is reading its line, or waits with a wish, or is being answered;
 *  3. an answer frees the client: the function that caused it does not use the
 *     client any more.
 */
#ifndef PFK_PROCESS_CONTROL_H
#define PFK_PROCESS_CONTROL_H

#include <prefork.h>
#include <sys/queue.h>
#include <time.h>

#include "process/instance.h"
#include "process/listing.h"
#include "process/ration.h"

struct pfk__master;

#define PFK__CONTROL_VERSION 1
#define PFK__CONTROL_BINARY 0x02

/* Each may do what the one before may. */
enum pfk__right {
	PFK__RIGHT_NONE,
	PFK__RIGHT_KNOCK,
	PFK__RIGHT_READ,
	PFK__RIGHT_COMMAND
};

enum pfk__wish {
	PFK__WISH_NONE,
	PFK__WISH_RELOAD,
	PFK__WISH_WORKERS,
	PFK__WISH_STOP,
	PFK__WISH_CONNECTIONS,
	PFK__WISH_DRAIN,
	PFK__WISH_UNDRAIN,
	PFK__WISH_UPGRADE,
	PFK__WISH_KILL
};

struct pfk__client {
	TAILQ_ENTRY(pfk__client) link;
	struct pfk__control_socket *control;
	int fd;
	struct pfk_io *io;
	struct pfk_timer *deadline;
	enum pfk__right right;
	pid_t pid; /* its own, by SO_PEERCRED; and its user */
	uid_t uid;
	int passed; /* a descriptor that came along, or -1 */
	char line[256];
	size_t len;
	enum pfk__wish wish;
	uint64_t number; /* of the reload, slot, workers or kill.h's ticket */
	char peer[PFK_ADDR_SIZE]; /* kill.c: the peer whose connections end; */
	int ended, slot;          /* the number that ended, in that slot; */
	char excuse[320];         /* or why it is not known yet */
	char *answer;             /* NULL until there is one */
	size_t size, sent;
};

/* The last reload, or the one under way. */
struct pfk__reload_note {
	uint64_t begun; /* the number of reloads so far */
	bool running;
	int status; /* of sysexits(3) */
	time_t at;  /* its end, or its beginning while it runs */
	uint64_t at_ns;
	char text[PFK_ERROR_SIZE];
	char changes[1024];
};

struct pfk__control_socket {
	struct pfk__master *master;
	struct pfk__instance instance;
	struct pfk_io *io;
	struct pfk_timer *pause; /* out of descriptors, or of the ration */
	struct pfk__ration ration;
	struct pfk_io *directory; /* inotify(7): is the socket removed? */
	int directory_fd;
	TAILQ_HEAD(pfk__clients, pfk__client) clients;
	int n_clients;
	struct pfk__reload_note reload;
	struct pfk__listing listing;
	uint64_t tickets;    /* kill.h: the last one */
	uint64_t started_ns; /* the service; an upgrade in place keeps that */
	time_t started;
	uint64_t configured_ns; /* when the configuration in force was read */
	time_t configured;
};

/*
 * Make lock and socket and listen.  EX_OK also where there is no place for them,
 * which is logged; else the exit status, after a complaint.
 */
int pfk__control_open(struct pfk__master *m);

/* The socket's path, or NULL; and whether a dead master had left one there. */
const char *pfk__control_path(const struct pfk__master *m);
bool pfk__control_was_stale(const struct pfk__master *m);

/*
 * Stop listening; a client that waits for the stop is kept for
 * pfk__control_end.
 */
void pfk__control_close(struct pfk__master *m);

/*
 * At the end: remove socket and lock, and answer the clients that wait for it.
 */
void pfk__control_end(struct pfk__master *m);

/* The request that the ration has begun with was that of such a client. */
void pfk__control_charge(struct pfk__control_socket *k, enum pfk__right right);

/* A client of the exporter's that may read; fd may be anything. */
void pfk__control_bring(struct pfk__master *m, int fd);

/* Make lock and socket anew where somebody has removed them. */
void pfk__control_restore(struct pfk__master *m);

/* Answer each client that has its wish, or can have it no more. */
void pfk__control_maintain(struct pfk__master *m);

/*
 * Before another program takes this process: accept no client any more, or again;
 * whether one still waits for anything but the upgrade; and tell those to try again.
 */
void pfk__control_admit(struct pfk__master *m, bool yes);
bool pfk__control_busy(const struct pfk__master *m);
void pfk__control_forsake(struct pfk__master *m);

/* The upgrade was refused. */
void pfk__control_upgrade_failed(struct pfk__master *m, const char *why);

/* A reload begins; it ends: with a sysexits(3) status and one line. */
void pfk__control_reload_begun(struct pfk__master *m);
void pfk__control_reload_changes(struct pfk__master *m, const char *text);
void pfk__control_reload_ended(struct pfk__master *m, int status,
    const char *fmt, ...) PFK_PRINTF(3, 4);

/*
 * client.c.  Begin with a client that has its descriptor and rights; it may be
 * answered and gone by the end.  -1: errno; nothing has changed.
 */
int pfk__client_start(struct pfk__client *c);
void pfk__client_drop(struct pfk__client *c);

/* Go on with the answer; the client is freed at its end. */
void pfk__client_write(struct pfk__client *c);

/*
 * Read the rest of the request, so that close(2) does not reset the connection.
 */

/* "OK" and the text, or "ERR". Frees the client. */
void pfk__client_done(struct pfk__client *c, const char *fmt, ...)
    PFK_PRINTF(2, 3);
void pfk__client_fail(struct pfk__client *c, int status, const char *fmt, ...)
    PFK_PRINTF(3, 4);

/* The same with an answer of malloc's, which is taken over. */
void pfk__client_answer(struct pfk__client *c, char *answer, size_t size);

/* Wait for the wish, with the deadline of a result. */
void pfk__client_wait(struct pfk__client *c, enum pfk__wish wish,
    uint64_t number);

/*
 * drain.c: take the worker of the slot out of service, or in again; the client
 * waits, and pfk__drain_maintain answers it when that is done.
 */
void pfk__drain_order(struct pfk__client *c, const char *argument, bool drain);
void pfk__drain_maintain(struct pfk__client *c);

/* command.c: carry the client's line out. */
void pfk__command_run(struct pfk__client *c, char *line);

#endif

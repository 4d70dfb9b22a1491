/*
 * exporter.h: shared by the parts of prefork-exporter.
 *
 * door.c accepts connections and limits them, http.c answers their requests by
 * libmicrohttpd, gather.c asks the services, and merge.c joins their answers.
 */
#ifndef EXPORTER_H
#define EXPORTER_H

#include <prefork.h>
#include <sys/queue.h>

/* The command line. */
struct settings {
	bool help, version, quiet;
	char *listen;
	char **sockets; /* those of the command line */
	int n_sockets;  /* 0: every service of this user */
	int channel;    /* to the only service, which has started us; or 0 */
};

#define SERVICES_MAX 64

/* A control socket, and the name of its service as far as it is known. */
struct service {
	int fd;    /* connected to it, or -1 */
	int error; /* then the errno; EAGAIN: its queue is full */
	char path[PFK_CONTROL_SIZE];
	char name[2 * PFK_CONTROL_SIZE]; /* escaped as a label's value */
};

/*
 * find.c: connect to the services to ask now, at most SERVICES_MAX.  A socket that
 * nobody listens on counts if it was asked for, or has answered before.
 */
int find_services(const struct settings *s, struct service *list);
void find_connect(struct service *s);

/* Ask the service at the other end of this channel, and no other. */
void find_by_channel(int fd);

/* The service has answered by this name. */
void find_learn(const struct service *s);

/* --- gather.c: one question to all services ------------------------------ */

enum question { ASK_METRICS, ASK_OPENMETRICS, ASK_STATUS, ASK_DOCTOR, ASK_END };

/* One service's answer: the text after "OK", or error. */
struct reply {
	struct service service;
	char *text; /* NULL where it has failed */
	size_t len;
	char error[160];
};

struct gather;

/*
 * Ask all services; done(arg) comes from the loop within 3 s, and then the
 * replies are there until gather_free.  NULL: errno.
 */
struct gather *gather_start(struct pfk_loop *l, const struct settings *s,
    enum question q, void (*done)(void *arg), void *arg);
struct reply *gather_replies(struct gather *g, int *n);
void gather_free(struct gather *g);

/* --- merge.c: the replies as one text ------------------------------------ */

/* Each returns the text, by malloc(3), or NULL with errno. */
char *merge_metrics(struct reply *list, int n, bool open, size_t *len);
char *merge_json(struct reply *list, int n, const char *key, size_t *len);

/*
 * Write what is wrong with the services to text, a line each, and return whether
 * nothing is: each answers, and with ready it also serves.
 */
bool merge_health(const struct reply *list, int n, bool ready, char *text,
    size_t size);

/* --- http.c and door.c ---------------------------------------------------- */

/* Begin to answer requests.  -1: after a complaint. */
int http_start(struct pfk_loop *l, const struct settings *s);
void http_stop(void);

/*
 * Listen on the addresses of HOST[:PORT].  0, or an exit status after a complaint:
 * EX_USAGE where it is no address or name, so that another try is in vain.
 */
int door_open(struct pfk_loop *l, const char *where);
void door_close(void);

/* So many connections were cut off, for their slowness or in favour of others. */
uint64_t door_evicted(void);

/* harden.c: give up the rights that serving does not need. */
void harden(void);

#endif

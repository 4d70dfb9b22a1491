/*
 * check.h: a run: its options, its flows, its schedule.
 *
 * A flow is a sequence of messages that must come back whole, once and in
 * order.  Closed loop: a flow's next message follows the last answer.  Open
 * loop: each message is due at its time, however slow the server is, and its
 * latency counts from then.
 *
 * Invariants:
 *  1. numbers[n % window] is about message n for the last `window` of a flow;
 *  2. a message that was sent is WAITING until it is echoed or counted lost,
 *     and is counted exactly once.
 */
#ifndef CHECK_CHECK_H
#define CHECK_CHECK_H

#include <prefork.h>

#include "plot.h"
#include "probe.h"
#include "stats.h"

#define CHECK_ADDRESSES 16
#define UNANSWERED_KEPT 16

struct options {
	bool udp, once, connect;
	bool ipv4, ipv6;
	bool json, tap, plot, strict, quiet, help, version;
	int port;
	int connections;
	int64_t size;
	int rate; /* messages a second; 0: closed loop */
	int pipeline;
	int sources;
	uint64_t duration_ns, timeout_ns;
	char *host;
	/* A prober: */
	char *serve;
	struct targets targets;
	uint64_t interval_ns;
};

enum message_state {
	MESSAGE_NONE,
	MESSAGE_WAITING,
	MESSAGE_ECHOED,
	MESSAGE_UNANSWERED, /* counted as number.loss; an answer is late */
	MESSAGE_LOST,       /* another answer to it counts for nothing */
	MESSAGE_SPOILT      /* lost, because another answer was unreadable */
};

struct number {
	enum message_state state;
	enum fault loss; /* MESSAGE_UNANSWERED */
	uint64_t due_ns;
	uint64_t sent_ns;
	uint64_t before; /* MESSAGE_SPOILT: it, or another before this */
};

/* One that was not answered while its number was in the window. */
struct unanswered {
	uint64_t number;
	enum fault loss; /* FAULTS: none */
};

struct check;

struct flow {
	struct check *check;
	uint32_t id;
	uint64_t next;   /* number of the message to send next */
	uint64_t oldest; /* none before it is waiting */
	unsigned waiting;
	unsigned owed; /* due, not sent */
	struct number *numbers;
	struct unanswered unanswered[UNANSWERED_KEPT];
	unsigned n_unanswered; /* all so far; the last ones are kept */
	/* tcp.c */
	struct pfk_connector *connector;
	struct pfk_transport *tr;
	struct pfk_timer *retry;
	unsigned char *part; /* of a message that has not come whole */
	size_t part_len;
	bool full;  /* the transport has enough unsent */
	bool ended; /* by the server: nothing about it is news */
	/* udp.c */
	struct pfk_datagram *endpoint;
	uint64_t newest; /* echoed, plus one */
};

struct check {
	struct options o;
	struct pfk_loop *loop;
	struct stats stats;
	struct plot plot;
	struct flow *flows;
	unsigned window;
	uint64_t start_ns, end_ns; /* of sending */
	uint64_t due;              /* open loop: messages due so far */
	struct pfk_timer *schedule, *sweep, *live;
	struct pfk_signal *interrupt;
	unsigned char *buf; /* a message to send */
	bool sending;
	bool live_shown;
	bool reached; /* the server has answered, or let us in, once */
	int failed;   /* the errno why it could not start */
	char why[PFK_CAUSES_SIZE];
	char peer[PFK_HOST_SIZE]; /* host's address, once that is known */
	/* -u: the addresses that are left where one refuses at the start. */
	struct pfk_addr addrs[CHECK_ADDRESSES];
	int n_addrs, next_addr;
};

/* run.c */
int check_run(struct check *c);

/* flow.c: shared by both protocols. */
bool flow_may_send(const struct flow *f);
/* Whether there is or will be something to send. */
bool flow_goes_on(const struct flow *f);
/* Make the next message in c->buf and note it; it is to be sent now. */
void flow_sending(struct flow *f);
/* A message came: whole, or the first len bytes of it. */
void flow_received(struct flow *f, const void *buf, size_t len);
/* More came than was sent: len bytes, which nobody waits for. */
void flow_surplus(struct flow *f, const void *buf, size_t len);
/* Those that wait are as good as never sent. */
void flow_forget(struct flow *f);
/* Nothing has come back yet: those that wait are to be sent again. */
void flow_rewind(struct flow *f);
/* All that wait are lost. */
void flow_lost(struct flow *f, enum fault kind);
void flow_count(struct flow *f, enum fault kind);
/* Those that have waited too long are lost; true if there were any. */
bool flow_expire(struct flow *f, uint64_t now);
/* The address to bind to, for this flow's next connection. */
const struct pfk_addr *flow_source(struct flow *f, struct pfk_addr *a);
/* Look the host up only once: the first flow does, and the others wait. */
void check_set_peer(struct check *c, const struct pfk_addr *a);
bool check_may_connect(const struct flow *f);
/* -u: start anew with the host's next address; false: there is none. */
bool check_next_peer(struct check *c);
/* pfk_timer_set; without memory the program ends, since it would wait for ever. */
void check_timer(struct pfk_timer **t, struct pfk_loop *l, uint64_t ns,
    void (*cb)(void *arg), void *arg);
/* The server cannot be reached at all: end with status 2. */
void check_give_up(struct check *c, int error, const char *why);

/* tcp.c, udp.c */
void tcp_pump(struct flow *f);
void tcp_stalled(struct flow *f);
void tcp_close(struct flow *f);
void udp_pump(struct flow *f);
void udp_close(struct flow *f);

/* report.c */
/* Whether faults of this kind make the run fail. */
bool report_fails(const struct check *c, enum fault kind);
/* Whether the run fails. */
bool report_failed(const struct check *c);
void report_live(struct check *c);
/* Leave the live line, if there is one. */
void report_live_end(struct check *c);
void report(const struct check *c);

#endif

/*
 * client.h: a run: its options, the bytes to send, the bytes that came back.
 *
 * A TCP run is one session or more, each a connection: a server that closes
 * after an answer gets the messages that are left on the next one.
 *
 * Invariants:
 *  1. got <= sent, or the run has failed;
 *  2. a session is over when its loop has been stopped by session_over;
 *  3. the first failure is the one that is told.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <prefork.h>

#define EXIT_LOST 1
#define EXIT_NOT_STARTED 2

#define CHUNK_BYTES 65536

struct client;

/* One way to use the library: one of protocol.c, stream.c, poll.c. */
struct mode {
	const char *name;
	/* Connect; from then on pump whenever the connection can take more. */
	void (*start)(struct client *c);
	/* There may be something to send, or all is back: send FIN. */
	void (*pump)(struct client *c);
	/* The session is over: let go of the connection. */
	void (*stop)(struct client *c);
};

extern const struct mode protocol_mode, stream_mode, poll_mode;

struct options {
	const struct mode *mode;
	bool udp, ipv4, ipv6, verify, reuse_port, fastopen;
	bool verbose, quiet, help, version;
	int port;
	int count;
	int nodelay;     /* 0, 1 or PFK_UNSET: the mode's */
	int syn_retries; /* or PFK_UNSET */
	uint64_t interval_ns, connect_timeout_ns, timeout_ns;
	int64_t receive_buffer, send_buffer; /* or PFK_UNSET */
	struct pfk_addr source;              /* len 0: any */
	const char *host;
	const char *const *messages;
	int n_messages;
	bool input; /* standard input is the message */
};

/* A place in the messages: of the next byte to send, or to come back. */
struct cursor {
	int round, index;
	size_t offset;
};

/* verify.c: checksums of blocks that are on their way. */
struct verify {
	uint64_t sent_sum, got_sum;
	size_t sent_len, got_len; /* of the block that is not full yet */
	uint64_t *sums;
	size_t head, len, size;
};

/* input.c: standard input, a piece at a time. */
struct input {
	struct pfk_io *io;
	char *buf;
	size_t at, len;
	bool ready; /* a file: read(2) does not wait */
	bool ended;
};

struct client {
	struct options o;
	struct pfk_loop *loop;
	struct pfk_sockopts sockopts;
	struct pfk_connect_options connect;
	struct input input;
	struct verify verify;
	struct cursor next, back;
	uint64_t sent, got;
	uint64_t got_before; /* this connection */
	uint64_t active_ns, round_ns;
	struct pfk_timer *watch, *pace, *grace;
	bool show;     /* answers to messages go to the terminal */
	bool line;     /* the last of them has not ended its line */
	bool over;     /* this connection */
	bool again;    /* the server has closed: connect once more */
	bool finished; /* all is back, and FIN is on its way */
	int status;
};

/* run.c */
int run_tcp(struct client *c);
/* pfk_timer_set; without memory the program ends, since it would wait for ever. */
void client_timer(struct pfk_timer **t, struct pfk_loop *l, uint64_t ns,
    void (*cb)(void *arg), void *arg);
void session_over(struct client *c);
/* The run fails: one word and the cause on standard error. */
void client_fail(struct client *c, int status, const char *word,
    const char *fmt, ...) PFK_PRINTF(4, 5);
/* It fails for want of a connection; causes may be NULL. */
void client_not_connected(struct client *c, int error, const char *causes);
const char *word_of(int error);

/* transfer.c: shared by the modes. */
/* The next bytes to send, or NULL: none now. */
const void *transfer_next(struct client *c, size_t *len);
void transfer_sent(struct client *c, const void *buf, size_t len);
/*
 * Put the bytes that go with the SYN into c->connect.first; then note them as
 * sent.
 */
void transfer_first(struct client *c);
void transfer_first_sent(struct client *c);
void transfer_received(struct client *c, const void *buf, size_t len);
/* The server has ended: 0 by FIN, else the errno. */
void transfer_ended(struct client *c, int error);
/* All that was to be sent has come back. */
bool transfer_complete(const struct client *c);
/* True once, when it is time to send FIN. */
bool transfer_finish(struct client *c);
/* A session begins. */
void transfer_begin(struct client *c);

/* input.c */
const void *input_next(struct client *c, size_t *len);
void input_used(struct client *c, size_t n);
void input_close(struct client *c);
/* All of it, into room bytes at most; -1 with errno. */
ssize_t input_all(void *buf, size_t room);
/* -1 with errno: standard output does not take it. */
int output(const void *buf, size_t len);

/* An answer is shown on a terminal, each message on a line of its own. */
void show_open(struct client *c);
void show(struct client *c, const void *buf, size_t len);
void show_line_end(struct client *c);

/* verify.c */
int verify_sent(struct verify *v, const void *buf, size_t len);
bool verify_got(struct verify *v, const void *buf, size_t len);
bool verify_end(const struct verify *v);
void verify_free(struct verify *v);

/* system.c: the kernel's limits, for the log. */
void log_connect_limits(const struct options *o);
void log_buffer(const char *name, int value, const char *sysctl);

struct tcp_info;
/* Log the effect of --syn-retries and --fastopen. */
void log_opening(const struct options *o, int syn_retries,
    const struct tcp_info *info);
void log_transport(const struct options *o, const struct pfk_transport *tr);

/* udp.c */
int run_udp(struct client *c);

#endif

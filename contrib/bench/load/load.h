/*
 * load.h: a lean closed loop of load for one core: it must cost less than the
 * servers that it is to keep busy, so it checks counts, order and the ends of
 * the answers, where echo-check checks every byte.
 */
#ifndef LOAD_H
#define LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NS UINT64_C(1000000000)
#define SPAN 4099 /* the pattern's period: in step with no size */
#define WINDOW_MAX (1u << 20)

struct options {
	struct sockaddr_in to;
	const char *mode;
	const char *pids; /* of the server that is measured */
	unsigned connections, idle, size, depth, active, segments;
	uint64_t count; /* messages; 0: for the time given */
	uint64_t warm_ns, run_ns;
};

/* One at a time: warming up, measuring, waiting for the messages on the way. */
enum phase { WARMING, MEASURING, ENDING, DONE };

struct load {
	struct options o;
	enum phase phase;
	uint64_t now_ns, begin_ns, seconds_ns, deadline_ns;
	uint64_t started, messages, lost, on_the_way;
	uint64_t cpu_ns, wait_ns, own_cpu_ns, own_wait_ns, memory;
};

extern struct load load;
extern char pattern[SPAN + WINDOW_MAX];

/* measure.c */
uint64_t clock_ns(void);
bool turn(void);
bool may_start(void);
void count_message(uint64_t since_ns);
void report(void);

/* tcp.c, connect.c, udp.c: each runs the load to its end. */
void run_tcp(void);
void run_connect(void);
void run_udp(void);
bool as_sent(const char *buf, size_t len, uint64_t offset);

#endif

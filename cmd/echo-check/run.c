/*
 * run.c: the schedule: start flows, keep them going, end them.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

#define SWEEP_NS (50 * PFK_MSEC_NS)
#define CLOSED_WINDOW_MIN 64
#define OPEN_WINDOW_MIN 512
#define NUMBERS_MAX (UINT64_C(1) << 22) /* of all flows together */

static void
pump(struct flow *f)
{
	if (f->check->o.udp)
		udp_pump(f);
	else
		tcp_pump(f);
}

static void
close_flows(struct check *c)
{
	for (int i = 0; c->flows != NULL && i < c->o.connections; i++) {
		if (c->o.udp)
			udp_close(&c->flows[i]);
		else
			tcp_close(&c->flows[i]);
	}
}

static void
close_all(struct check *c)
{
	close_flows(c);
	pfk_timer_cancel(&c->schedule);
	pfk_timer_cancel(&c->sweep);
	pfk_timer_cancel(&c->live);
	pfk_signal_cancel(&c->interrupt);
	/* Connections that are closing go on closing; nothing new is sent. */
	pfk_loop_drain(c->loop, PFK_DRAIN_LEAVE);
}

/* Do not send the messages that are due by now. */
static void
drop_owed(struct check *c)
{
	for (int i = 0; c->flows != NULL && i < c->o.connections; i++) {
		c->stats.unsent += c->flows[i].owed;
		c->flows[i].owed = 0;
	}
}

/* And do not wait for answers, nor count those that come now. */
static void
end_now(struct check *c)
{
	drop_owed(c);
	close_flows(c);
	for (int i = 0; c->flows != NULL && i < c->o.connections; i++)
		flow_forget(&c->flows[i]);
	if (c->loop != NULL)
		pfk_loop_stop(c->loop);
}

void
check_timer(struct pfk_timer **t, struct pfk_loop *l, uint64_t ns,
    void (*cb)(void *arg), void *arg)
{
	if (pfk_timer_set(t, l, ns, cb, arg) == -1) {
		pfk_complain("cannot set a timer: %s", strerror(errno));
		exit(2);
	}
}

void
check_give_up(struct check *c, int error, const char *why)
{
	if (c->failed != 0)
		return;
	c->failed = error;
	strlcpy(c->why, why, sizeof(c->why));
	c->sending = false;
	end_now(c);
}

void
check_set_peer(struct check *c, const struct pfk_addr *a)
{
	char text[PFK_ADDR_SIZE];
	const char *errstr;
	uint16_t port;

	if (c->peer[0] != '\0')
		return;
	if (pfk_host_split(pfk_addr_format(text, a), c->peer, &port, &errstr) ==
	    -1) {
		c->peer[0] = '\0';
		return;
	}
	for (int i = 1; i < c->o.connections; i++)
		pump(&c->flows[i]);
}

static void
set_next_peer(struct check *c)
{
	char text[PFK_ADDR_SIZE];
	const char *errstr;
	uint16_t port;

	pfk_host_split(pfk_addr_format(text, &c->addrs[c->next_addr++]),
	    c->peer, &port, &errstr);
}

bool
check_next_peer(struct check *c)
{
	if (c->next_addr == c->n_addrs)
		return false;
	set_next_peer(c);
	close_flows(c);
	for (int i = 0; i < c->o.connections; i++)
		flow_rewind(&c->flows[i]);
	for (int i = 0; i < c->o.connections; i++)
		pump(&c->flows[i]);
	return true;
}

/* A UDP server's refusal comes only after connecting: know all addresses. */
static int
look_up(struct check *c)
{
	int family = c->o.ipv4 ? AF_INET : c->o.ipv6 ? AF_INET6 : AF_UNSPEC;
	const char *errstr;

	c->n_addrs = pfk_resolve(c->o.host, (uint16_t)c->o.port, family,
	    c->o.timeout_ns, c->addrs, CHECK_ADDRESSES, &errstr);
	if (c->n_addrs > 0) {
		set_next_peer(c);
		return 0;
	}
	check_give_up(c, errno == ETIMEDOUT ? ETIMEDOUT : PFK_ENOHOST, errstr);
	return -1;
}

bool
check_may_connect(const struct flow *f)
{
	return f->id == 0 || f->check->peer[0] != '\0';
}

static void
stop_sending(struct check *c)
{
	if (!c->sending)
		return;
	c->sending = false;
	c->end_ns = pfk_loop_now(c->loop);
	pfk_timer_cancel(&c->schedule);
}

static void
on_interrupt(void *arg, int signo)
{
	struct check *c = arg;

	(void)signo;
	/* The second one is urgent. */
	if (!c->sending)
		end_now(c);
	stop_sending(c);
	drop_owed(c);
}

/*
 * Open loop: hand out the messages that have become due, and set the timer for
 * the next.
 */
static void
on_schedule(void *arg)
{
	struct check *c = arg;
	uint64_t rate = (uint64_t)c->o.rate, now = pfk_loop_now(c->loop), next;

	for (;;) {
		struct flow *f = &c->flows[c->due % (uint64_t)c->o.connections];

		next = c->start_ns + c->due / rate * PFK_SECOND_NS +
		    c->due % rate * PFK_SECOND_NS / rate;
		if (next >= c->start_ns + c->o.duration_ns)
			return;
		if (next > now)
			break;
		f->owed++;
		c->due++;
		pump(f);
	}
	check_timer(&c->schedule, c->loop, next - now, on_schedule, c);
}

static void
on_sweep(void *arg)
{
	struct check *c = arg;
	uint64_t now = pfk_loop_now(c->loop);
	uint64_t end = c->start_ns + c->o.duration_ns, left = 0;

	if (now >= end && c->sending) {
		/* What was due before the end may not be handed out yet. */
		if (c->o.rate > 0)
			on_schedule(c);
		stop_sending(c);
	}
	if (now >= end + c->o.timeout_ns)
		drop_owed(c);
	for (int i = 0; i < c->o.connections; i++) {
		struct flow *f = &c->flows[i];

		/* An attempt to connect has a timeout of its own. */
		if (f->connector == NULL && flow_expire(f, now) && !c->o.udp)
			tcp_stalled(f);
		pump(f);
		left += f->waiting + f->owed;
		/* Whether it can start at all is still to be seen. */
		if (!c->reached && f->connector != NULL)
			left++;
	}
	if (!c->sending && left == 0)
		close_all(c);
	else
		check_timer(&c->sweep, c->loop, SWEEP_NS, on_sweep, c);
}

static void
on_live(void *arg)
{
	struct check *c = arg;

	report_live(c);
	check_timer(&c->live, c->loop, PFK_SECOND_NS, on_live, c);
}

/*
 * How many of a flow's messages are known.  Half of them may be on the way:
 * datagrams of an open loop that are due while a lost one is waited for, so that
 * it holds nobody up.
 */
static unsigned
window_of(const struct options *o)
{
	uint64_t flows = (uint64_t)o->connections, window, wanted;
	uint64_t wait_ms = (o->timeout_ns + 4 * SWEEP_NS) / PFK_MSEC_NS;

	if (o->rate == 0) {
		window = CLOSED_WINDOW_MIN;
		wanted = 4 * (uint64_t)o->pipeline;
	} else {
		window = OPEN_WINDOW_MIN;
		wanted = o->udp ? 2 * (uint64_t)o->rate * wait_ms / 1000 / flows
				: 0;
		if (wanted > NUMBERS_MAX / flows)
			wanted = NUMBERS_MAX / flows;
	}
	while (window < wanted)
		window *= 2;
	return (unsigned)window;
}

static int
make_flows(struct check *c)
{
	c->window = window_of(&c->o);
	c->flows = calloc((size_t)c->o.connections, sizeof(*c->flows));
	c->buf = malloc((size_t)c->o.size);
	if (c->flows == NULL || c->buf == NULL)
		return -1;
	for (int i = 0; i < c->o.connections; i++) {
		struct flow *f = &c->flows[i];

		f->check = c;
		f->id = (uint32_t)i;
		f->numbers = calloc(c->window, sizeof(*f->numbers));
		f->part = malloc((size_t)c->o.size);
		if (f->numbers == NULL || f->part == NULL)
			return -1;
	}
	return 0;
}

static void
free_flows(struct check *c)
{
	for (int i = 0; c->flows != NULL && i < c->o.connections; i++) {
		free(c->flows[i].numbers);
		free(c->flows[i].part);
	}
	free(c->flows);
	free(c->buf);
}

static void
start(struct check *c)
{
	struct pfk_addr a;

	if (pfk_addr_parse(&a, c->o.host, 0) == 0)
		strlcpy(c->peer, c->o.host, sizeof(c->peer));
	c->sending = true;
	c->start_ns = pfk_loop_now(c->loop);
	check_timer(&c->sweep, c->loop, SWEEP_NS, on_sweep, c);
	if (!c->o.quiet && !c->o.json && !c->o.tap && isatty(STDERR_FILENO))
		check_timer(&c->live, c->loop, PFK_SECOND_NS, on_live, c);
	if (c->o.rate > 0) {
		on_schedule(c);
		return;
	}
	for (int i = 0; i < c->o.connections; i++)
		pump(&c->flows[i]);
}

int
check_run(struct check *c)
{
	int rc = -1;

	c->loop = pfk_loop_new(NULL);
	if (c->loop == NULL || make_flows(c) == -1)
		goto out;
	if (c->o.udp && look_up(c) == -1)
		goto out;
	c->interrupt = pfk_signal_add(c->loop, SIGINT, on_interrupt, c);
	start(c);
	rc = pfk_loop_run(c->loop);
	report_live_end(c);
	close_all(c);
	pfk_loop_drain(c->loop, PFK_DRAIN_NOW);
	if (rc == 0)
		rc = pfk_loop_run(c->loop);
out:
	if (rc == -1)
		check_give_up(c, errno, strerror(errno));
	free_flows(c);
	pfk_loop_free(c->loop);
	return rc;
}

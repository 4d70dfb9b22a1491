/*
 * recorder.c: the last events of a worker, for the time after its death.
 *
 * Layer: event.
 */
#include "event/recorder.h"

#include <stdio.h>
#include <string.h>

#include "event/stats.h"

void
pfk__record_peer(struct pfk__recorder *r, uint64_t ns, enum pfk__happened kind,
    int fd, const struct pfk_addr *peer)
{
	struct pfk__event *e = &r->ring[r->n % PFK__EVENTS];

	*e = (struct pfk__event){.ns = ns, .kind = (uint8_t)kind, .fd = fd};
	if (peer->sa.sa_family == AF_INET) {
		e->detail = 4;
		e->port = peer->in4.sin_port;
		memcpy(&e->a, &peer->in4.sin_addr, sizeof(struct in_addr));
	} else if (peer->sa.sa_family == AF_INET6) {
		e->detail = 6;
		e->port = peer->in6.sin6_port;
		memcpy(&e->a, &peer->in6.sin6_addr, sizeof(e->a));
		memcpy(&e->b, (const char *)&peer->in6.sin6_addr + sizeof(e->a),
		    sizeof(e->b));
	}
	pfk__in_order();
	r->n++;
}

void
pfk__record_detail(struct pfk__recorder *r, uint64_t ns,
    enum pfk__happened kind, int fd, unsigned detail)
{
	struct pfk__event *e = &r->ring[r->n % PFK__EVENTS];

	*e = (struct pfk__event){.ns = ns,
	    .kind = (uint8_t)kind,
	    .detail = (uint8_t)detail,
	    .fd = fd};
	pfk__in_order();
	r->n++;
}

void
pfk__record_line(struct pfk__recorder *r, uint64_t ns, const char *text)
{
	r->lines[r->n_lines % PFK__LINES].ns = ns;
	strlcpy(r->lines[r->n_lines % PFK__LINES].text, text, PFK__LINE_BYTES);
	pfk__in_order();
	r->n_lines++;
}

static const char *
peer_of(const struct pfk__event *e, char *dst)
{
	struct pfk_addr a = {.len = sizeof(a.in4)};

	if (e->detail == 4) {
		a.in4.sin_family = AF_INET;
		a.in4.sin_port = e->port;
		memcpy(&a.in4.sin_addr, &e->a, sizeof(struct in_addr));
	} else if (e->detail == 6) {
		a.len = sizeof(a.in6);
		a.in6.sin6_family = AF_INET6;
		a.in6.sin6_port = e->port;
		memcpy(&a.in6.sin6_addr, &e->a, sizeof(e->a));
		memcpy((char *)&a.in6.sin6_addr + sizeof(e->a), &e->b,
		    sizeof(e->b));
	} else {
		strlcpy(dst, "an unknown peer", PFK_ADDR_SIZE);
		return dst;
	}
	return pfk_addr_format(dst, &a);
}

static const char *
cause_of(const struct pfk__event *e)
{
	switch (e->detail) {
	case PFK__COUNT_CLOSED_PEER:
		return "the peer ended it";
	case PFK__COUNT_CLOSED_IDLE:
		return "it was idle";
	case PFK__COUNT_CLOSED_ONCE:
		return "its protocol ended it";
	case PFK__COUNT_CLOSED_LIMIT:
		return "a limit was reached";
	case PFK__COUNT_CLOSED_DRAIN:
		return "the worker drains, or prefork-ctl kill ended it";
	case PFK__COUNT_HANDED_OVER:
		return "another process has it";
	default:
		return "an error";
	}
}

static bool
describe(const struct pfk__event *e, char *dst, size_t size)
{
	static const char *const how[] = {"leaves", "stops", "stops now"};
	unsigned long long a = e->a;
	const char *s = a == 1 ? "" : "s";
	char peer[PFK_ADDR_SIZE];

	switch (e->kind) {
	case PFK__HAPPENED_START:
		snprintf(dst, size, "worker %llu started", a);
		break;
	case PFK__HAPPENED_ACCEPT:
	case PFK__HAPPENED_TAKE:
		snprintf(dst, size, "%s %s, descriptor %d",
		    e->kind == PFK__HAPPENED_ACCEPT ? "accepted" : "took over",
		    peer_of(e, peer), e->fd);
		break;
	case PFK__HAPPENED_RECEIVE:
	case PFK__HAPPENED_SEND:
		snprintf(dst, size, "%s %llu byte%s, descriptor %d",
		    e->kind == PFK__HAPPENED_RECEIVE ? "received" : "sent", a,
		    s, e->fd);
		break;
	case PFK__HAPPENED_CLOSE:
		snprintf(dst, size, "closed descriptor %d: %s", e->fd,
		    cause_of(e));
		break;
	case PFK__HAPPENED_DATAGRAMS:
		snprintf(dst, size,
		    "received %llu message%s of datagrams, descriptor %d", a, s,
		    e->fd);
		break;
	case PFK__HAPPENED_ANSWERS:
		snprintf(dst, size, "sent %llu datagram%s, descriptor %d", a, s,
		    e->fd);
		break;
	case PFK__HAPPENED_DRAIN:
		snprintf(dst, size, "it %s",
		    e->detail < 3 ? how[e->detail] : how[2]);
		break;
	case PFK__HAPPENED_ADOPT:
	case PFK__HAPPENED_RELEASE:
		snprintf(dst, size, "%s a socket of slot %llu",
		    e->kind == PFK__HAPPENED_ADOPT ? "adopted" : "released", a);
		break;
	case PFK__HAPPENED_REBUILT:
		snprintf(dst, size,
		    "went on with %llu connection%s of its predecessor", a, s);
		break;
	default:
		return false;
	}
	return true;
}

bool
pfk__record_describe(const struct pfk__recorder *r, uint64_t i, char *dst,
    size_t size, uint64_t *ns)
{
	const struct pfk__event *e = &r->ring[i % PFK__EVENTS];

	*ns = e->ns;
	return i < r->n && r->n - i <= PFK__EVENTS && describe(e, dst, size);
}

void
pfk__record_find(const struct pfk__recorder *r, pid_t pid, unsigned n,
    uint64_t *first, uint64_t *end, uint64_t *until_ns)
{
	uint64_t count = r->n;
	uint64_t oldest = count > PFK__EVENTS ? count - PFK__EVENTS : 0;

	*first = oldest;
	*end = count;
	*until_ns = UINT64_MAX;
	for (uint64_t i = count; i > oldest; i--) {
		const struct pfk__event *e = &r->ring[(i - 1) % PFK__EVENTS];

		if (e->kind != PFK__HAPPENED_START)
			continue;
		if (e->a == (uint64_t)pid) {
			*first = i - 1;
			break;
		}
		*end = i - 1;
		*until_ns = e->ns;
	}
	if (*end - *first > n)
		*first = *end - n;
}

/*
 * handshakes.c: the TCP handshakes that listeners have begun and not ended.
 *
 * Layer: net.  sock_diag(7).  A handshake is named by its two addresses; the
 * kernel does not tell to which member of a SO_REUSEPORT group it belongs.
 */
#include "net/handshakes.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOM_FIRST 64
#define ANSWER_BYTES 32768
#define PATIENCE_US 200000
/* tcp(7), tcp_synack_retries: each wait is twice the one before it. */
#define RETRIES 5
#define WAIT_MAX_S 120

struct pfk__handshake {
	struct inet_diag_sockid id; /* no interface, no cookie */
};

struct reading {
	struct pfk__handshakes *h;
	bool (*ours)(void *arg, const struct pfk_addr *local);
	void *arg;
};

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct pfk__handshake));
}

static int
add(struct pfk__handshakes *h, const struct inet_diag_sockid *id)
{
	struct pfk__handshake *list;
	size_t room = h->room > 0 ? 2 * h->room : ROOM_FIRST;

	if (h->n == h->room) {
		list = reallocarray(h->list, room, sizeof(*list));
		if (list == NULL)
			return -1;
		h->list = list;
		h->room = room;
	}
	memset(&h->list[h->n], 0, sizeof(*h->list));
	h->list[h->n].id = *id;
	h->list[h->n].id.idiag_if = 0;
	h->list[h->n].id.idiag_cookie[0] = 0;
	h->list[h->n].id.idiag_cookie[1] = 0;
	h->n++;
	return 0;
}

static struct pfk_addr
local_of(const struct inet_diag_msg *m)
{
	struct pfk_addr a = {.len = 0};

	a.sa.sa_family = m->idiag_family;
	if (m->idiag_family == AF_INET6) {
		a.len = sizeof(a.in6);
		a.in6.sin6_port = m->id.idiag_sport;
		memcpy(&a.in6.sin6_addr, m->id.idiag_src, 16);
	} else {
		a.len = sizeof(a.in4);
		a.in4.sin_port = m->id.idiag_sport;
		memcpy(&a.in4.sin_addr, m->id.idiag_src, 4);
	}
	return a;
}

/* 1: that was all of the answer; 0: more follows; -1 with errno. */
static int
read_some(const struct reading *r, const struct nlmsghdr *h, size_t len)
{
	for (; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
		const struct inet_diag_msg *m = NLMSG_DATA(h);
		const struct nlmsgerr *e = NLMSG_DATA(h);
		struct pfk_addr local;

		if (h->nlmsg_type == NLMSG_DONE)
			return 1;
		if (h->nlmsg_type == NLMSG_ERROR) {
			errno = h->nlmsg_len >= NLMSG_LENGTH(sizeof(*e))
			    ? -e->error
			    : EPROTO;
			return -1;
		}
		if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
		    h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
			continue;
		local = local_of(m);
		if (r->ours(r->arg, &local) && add(r->h, &m->id) == -1)
			return -1;
	}
	return 0;
}

static int
read_family(const struct reading *r, int fd, uint8_t family)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 q;
	} ask = {
	    .h = {.nlmsg_len = sizeof(ask),
		.nlmsg_type = SOCK_DIAG_BY_FAMILY,
		.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
	    .q = {.sdiag_family = family,
		.sdiag_protocol = IPPROTO_TCP,
		.idiag_states = 1u << TCP_SYN_RECV},
	};
	union {
		struct nlmsghdr h;
		char bytes[ANSWER_BYTES];
	} answer;
	int rc = 0;

	if (send(fd, &ask, sizeof(ask), 0) == -1)
		return -1;
	while (rc == 0) {
		ssize_t n = recv(fd, &answer, sizeof(answer), 0);

		if (n == -1)
			return -1;
		rc = read_some(r, &answer.h, (size_t)n);
	}
	return rc == 1 ? 0 : -1;
}

int
pfk__handshakes_read(struct pfk__handshakes *h,
    bool (*ours)(void *arg, const struct pfk_addr *local), void *arg)
{
	const struct reading r = {.h = h, .ours = ours, .arg = arg};
	struct timeval patience = {.tv_usec = PATIENCE_US};
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC,
	    NETLINK_SOCK_DIAG);
	int rc = -1, saved_errno;

	if (fd == -1)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (read_family(&r, fd, AF_INET) == 0 &&
	    (read_family(&r, fd, AF_INET6) == 0 || errno == EAFNOSUPPORT ||
		errno == ENOENT))
		rc = 0;
	saved_errno = errno;
	close(fd);
	if (h->n > 0)
		qsort(h->list, h->n, sizeof(*h->list), compare);
	errno = saved_errno;
	return rc;
}

void
pfk__handshakes_free(struct pfk__handshakes *h)
{
	free(h->list);
	*h = (struct pfk__handshakes){0};
}

bool
pfk__handshakes_meet(const struct pfk__handshakes *a,
    const struct pfk__handshakes *b)
{
	size_t i = 0, k = 0;

	while (i < a->n && k < b->n) {
		int order = compare(&a->list[i], &b->list[k]);

		if (order == 0)
			return true;
		i += order < 0;
		k += order > 0;
	}
	return false;
}

uint64_t
pfk__handshakes_longest_ns(void)
{
	FILE *file = fopen("/proc/sys/net/ipv4/tcp_synack_retries", "re");
	uint64_t sum = 0, wait = 1;
	char text[16] = "";
	long retries = RETRIES;

	if (file != NULL) {
		if (fgets(text, sizeof(text), file) != NULL)
			retries = strtol(text, NULL, 10);
		fclose(file);
	}
	for (long i = 0; i <= retries && i <= UINT8_MAX; i++) {
		sum += wait;
		wait = 2 * wait < WAIT_MAX_S ? 2 * wait : WAIT_MAX_S;
	}
	return sum * PFK_SECOND_NS;
}

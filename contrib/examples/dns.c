/*
 * dns [-p PORT] --zone FILE: an authoritative name server for one zone, by UDP and
 * TCP (RFC 1034, 1035, 6891).
 *
 * The zone is part of the configuration: check() reads its file, so that dns -t
 * tests it, a reload reads it anew, and a wrong one is refused by file and line
 * while the old one is served. The workers have it from the master, by fork.
 * answer() makes a reply of a query, and knows no sockets; dns_zone.h has the zone,
 * and dns_file.h reads its file.
 */
#include <prefork.h>
#include <stddef.h>
#include <stdio.h>

#include "dns_file.h"

#define HEADER NS_HFIXEDSZ
#define OPT_BYTES 11
#define UDP_EDNS 1232 /* passes unfragmented on usual paths */
#define TCP_BYTES 65535
#define RECORD 12       /* before a record's data, with a pointer as its name */
#define CHAIN 8         /* aliases of aliases */
#define POINTERS 0x3f00 /* names behind it cannot be pointed to */
#define BADVERS 16      /* RFC 6891; arpa/nameser.h has it for TSIG */

/* answers */

struct reply {
	uint8_t *buf;
	size_t len, room;
	bool full, authority;
	uint16_t counts[4]; /* questions, answers, authority, additional */
};

static void
put(struct reply *r, const void *bytes, size_t n)
{
	r->full = r->full || n > r->room - r->len;
	if (r->full)
		return;
	memcpy(r->buf + r->len, bytes, n);
	r->len += n;
}

/* Its owner is the name at that place of the message. */
static void
put_record(struct reply *r, int section, size_t at, const struct record *rr,
    uint32_t ttl)
{
	uint16_t head[6] = {htons((uint16_t)(0xc000 | at)), htons(rr->type),
	    htons(ns_c_in), htons((uint16_t)(ttl >> 16)), htons((uint16_t)ttl),
	    htons(rr->len)};

	put(r, head, sizeof(head));
	put(r, rr->data, rr->len);
	r->counts[section]++;
}

/* All records of a type; their number. */
static int
put_all(struct reply *r, int section, size_t at, const struct node *n,
    uint16_t type)
{
	int count = 0;

	for (const struct record *rr = n->records; rr != NULL; rr = rr->next) {
		if (rr->type != type)
			continue;
		put_record(r, section, at, rr, rr->ttl);
		count++;
	}
	return count;
}

/* The servers of a delegated part, and their addresses as far as the zone has them. */
static void
refer(struct reply *r, struct zone *z, const struct node *cut, size_t at)
{
	size_t place = r->len;

	put_all(r, 2, at, cut, ns_t_ns);
	for (const struct record *rr = cut->records; rr != NULL;
	     rr = rr->next) {
		const struct node *server;
		struct name n;

		if (rr->type != ns_t_ns)
			continue;
		lower(&n, rr->data, rr->len);
		server = *find(z, n.wire, n.len);
		place += RECORD;
		if (server != NULL && place < POINTERS) {
			put_all(r, 3, place, server, ns_t_a);
			put_all(r, 3, place, server, ns_t_aaaa);
		}
		place += rr->len;
	}
}

/* Answer for n, which is the name at HEADER; returns the code. */
static int
look_up(struct reply *r, struct zone *z, struct name *n, uint16_t type)
{
	size_t at = HEADER;

	for (int i = 0; i < CHAIN && at < POINTERS && !r->full; i++) {
		const struct node *node;
		const struct record *alias;
		enum found found = walk(z, n, &node);

		if (found == OUTSIDE)
			return i == 0 ? ns_r_refused : ns_r_noerror;
		r->authority = i > 0 || found != DELEGATED;
		if (found == DELEGATED) {
			refer(r, z, node, at + n->len - node->name.len);
			return ns_r_noerror;
		}
		alias = node != NULL ? node->alias : NULL;
		/* One of the types is enough: RFC 8482. */
		if (type == ns_t_any && node != NULL && node->records != NULL)
			type = node->records->type;
		if (node != NULL && put_all(r, 1, at, node, type) > 0)
			return ns_r_noerror;
		if (alias == NULL) {
			put_record(r, 2, at + n->len - z->apex.len, z->soa,
			    z->negative_ttl);
			return node != NULL ? ns_r_noerror : ns_r_nxdomain;
		}
		put_record(r, 1, at, alias, alias->ttl);
		at = r->len - alias->len;
		lower(n, alias->data, alias->len);
	}
	return ns_r_noerror;
}

/* queries */

struct query {
	struct name name;
	uint16_t type, size;
	size_t end; /* of the question */
	bool edns;
	uint8_t flags;
};

static uint16_t
get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* Take a message of HEADER bytes or more apart; returns the code. */
static int
parse(const uint8_t *m, size_t len, struct query *q)
{
	const uint8_t *end = m + len, *rr;
	int code = ns_r_noerror;
	size_t at = HEADER;

	if ((m[2] & 0x78) != 0)
		return ns_r_notimpl;
	while (at < len && m[at] > 0 && m[at] <= NS_MAXLABEL)
		at += 1 + (size_t)m[at];
	if (get16(m + 4) != 1 || at + 5 > len || m[at] != 0 ||
	    at + 1 - HEADER > NS_MAXCDNAME)
		return ns_r_formerr;
	lower(&q->name, m + HEADER, at + 1 - HEADER);
	q->type = get16(m + at + 1);
	if (get16(m + at + 3) != ns_c_in || q->type == ns_t_axfr ||
	    q->type == ns_t_ixfr)
		code = ns_r_refused;
	q->end = at + 5;
	rr = m + q->end;
	for (int n = get16(m + 6) + get16(m + 8) + get16(m + 10); n > 0; n--) {
		const uint8_t *owner = rr;

		if (ns_name_skip(&rr, end) == -1 || end - rr < 10 ||
		    end - rr < 10 + get16(rr + 8))
			return ns_r_formerr;
		if (get16(rr) == ns_t_opt) {
			if (q->edns || rr != owner + 1)
				return ns_r_formerr;
			q->edns = true;
			q->size = get16(rr + 2);
			q->flags = rr[6] & 0x80;
			code = rr[5] != 0 ? BADVERS : code;
		}
		rr += 10 + get16(rr + 8);
	}
	return rr == end ? code : ns_r_formerr;
}

/*
 * Answer the query m; out has room for TCP_BYTES. Returns the answer's length, or
 * 0: there is to be none.
 */
static size_t
answer(struct zone *z, const uint8_t *m, size_t len, bool udp, uint8_t *out)
{
	struct query q = {.end = HEADER};
	struct reply r = {.buf = out, .room = TCP_BYTES};
	bool full;
	int code;

	if (len < HEADER || (m[2] & 0x80) != 0)
		return 0;
	code = parse(m, len, &q);
	if (udp)
		r.room = q.size > UDP_EDNS ? UDP_EDNS : q.size;
	if (r.room < NS_PACKETSZ)
		r.room = NS_PACKETSZ;
	r.room -= OPT_BYTES;
	put(&r, m, q.end);
	r.counts[0] = q.end > HEADER;
	if (code == ns_r_noerror)
		code = look_up(&r, z, &q.name, q.type);
	full = r.full;
	if (full) {
		r.full = false;
		r.len = q.end;
		r.counts[1] = r.counts[2] = r.counts[3] = 0;
	}
	if (q.edns) {
		r.room += OPT_BYTES;
		put(&r,
		    (uint8_t[OPT_BYTES]){0, 0, ns_t_opt, UDP_EDNS >> 8,
			UDP_EDNS & 255, (uint8_t)(code >> 4), 0, q.flags},
		    OPT_BYTES);
		r.counts[3]++;
	}
	out[2] = (uint8_t)(0x80 | (m[2] & 0x79) | (r.authority ? 4 : 0) |
	    (full ? 2 : 0));
	out[3] = (uint8_t)((m[3] & 0x10) | (code & 15));
	for (int i = 0; i < 8; i++)
		out[4 + i] = (uint8_t)(r.counts[i / 2] >> (i % 2 ? 0 : 8));
	return r.len;
}

/* the sockets */

static struct zone *zone; /* of this worker */
static uint8_t out[2 + TCP_BYTES];

static void
asked(void *self, const struct pfk_packet *p)
{
	size_t n = p->unicast ? answer(zone, p->buf, p->len, true, out) : 0;

	if (n > 0)
		pfk_sendto(self, out, n, p->from, p->to);
}

/* By turns the length of a message, which is two bytes, and the message. */
static void
received(void *self, const void *buf, size_t len)
{
	size_t n;

	if (len == 2) {
		n = get16(buf);
		if (n < HEADER)
			pfk_close(self);
		else
			pfk_receive_exactly(self, n);
		return;
	}
	n = answer(zone, buf, len, false, out + 2);
	out[0] = (uint8_t)(n >> 8);
	out[1] = (uint8_t)n;
	if (n > 0)
		pfk_write(self, out, n + 2);
	else
		pfk_close(self);
	pfk_receive_exactly(self, 2);
}

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	return pfk_receive_exactly(tr, 2) == 0 ? tr : NULL;
}

/* A connection has no state but that of pfk_receive_exactly. */
static void *
resumed(struct pfk_transport *tr, void *arg, const void *buf, size_t len)
{
	(void)arg;
	(void)buf;
	(void)len;
	return tr;
}

static const struct pfk_datagram_protocol udp = {.datagram_received = asked,
    .survives = true};

static const struct pfk_protocol tcp = {.connection_made = made,
    .data_received = received,
    .hand_over = pfk_hand_over_block,
    .connection_resumed = resumed,
    .survives = true};

/* the program */

struct config {
	char *path;
	struct zone *zone;
};

static const struct pfk_option options[] = {
    {'z', "zone", "FILE", PFK_OPT_STRING,
	.offset = offsetof(struct config, path), .help = "the zone's file"},
    {0},
};

static int
check(struct pfk_setup *s, char *err)
{
	struct config *c = s->config;

	zone_free(c->zone);
	c->zone = NULL;
	if (c->path != NULL)
		c->zone = zone_load(c->path, err);
	else
		snprintf(err, PFK_ERROR_SIZE, "--zone FILE is missing");
	return c->zone != NULL ? 0 : -1;
}

static void
clear(void *config)
{
	zone_free(((struct config *)config)->zone);
}

static int
worker_init(struct pfk_worker *w, const struct pfk_setup *s)
{
	(void)w;
	zone = ((const struct config *)s->config)->zone;
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct pfk_service services[] = {{.tcp = &tcp,
							  .udp = &udp},
	    {0}};
	static const struct pfk_program program = {.version = "1.0",
	    .about = "An authoritative name server for one zone.",
	    .services = services,
	    .port = 53,
	    .idle_ns = 30 * PFK_SECOND_NS,
	    .sandbox = PFK_SANDBOX_AUTO,
	    .options = options,
	    .config_bytes = sizeof(struct config),
	    .clear = clear,
	    .check = check,
	    .worker_init = worker_init};

	return pfk_main(&program, argc, argv);
}

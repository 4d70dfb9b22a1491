/*
 * lend.c: a broken worker may lend no other listener than its message
 * describes.
 */
#include "net/addr.h"
#include "process/lend.h"

#include <fcntl.h>
#include <unistd.h>

#include "tap.h"
#include "unit.h"

static struct pfk__custody custody; /* of a slot with nothing in it yet */

static struct pfk__message
message(enum pfk_kind kind, const struct pfk_addr *bound)
{
	return (struct pfk__message){.type = PFK__MSG_LEND,
	    .slot = 1,
	    .kind = (int32_t)kind,
	    .asked = *bound,
	    .bound = *bound};
}

static void
good(enum pfk_kind kind, const struct pfk_addr *bound, int fd)
{
	struct pfk__message m = message(kind, bound);

	is_str(pfk__lend_check(&custody, &m, fd), NULL, "as it says");
	pfk__addr_set_port(&m.asked, 0);
	is_str(pfk__lend_check(&custody, &m, fd), NULL, "asked for any port");
}

static void
not_such(const struct pfk__message *m, int fd, const char *name)
{
	is_str(pfk__lend_check(&custody, m, fd),
	    "a descriptor that is no such listener", "%s", name);
}

static void
wrong_name(const struct pfk__message *m, int fd, const char *name)
{
	is_str(pfk__lend_check(&custody, m, fd), "a listener by a wrong name",
	    "%s", name);
}

static void
test_descriptors(int tcp, int udp, const struct pfk_addr *bound)
{
	struct pfk__message m = message(PFK_TCP, bound);
	int bare = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
	    null = open("/dev/null", O_RDWR | O_CLOEXEC),
	    client = unit_connect(bound);

	is_str(pfk__lend_check(&custody, &m, -1),
	    "a listener without a descriptor", "none");
	not_such(&m, null, "not a socket");
	not_such(&m, udp, "UDP for TCP");
	not_such(&m, bare, "one that does not listen");
	not_such(&m, client, "a connection");
	m.kind = PFK_UDP;
	not_such(&m, tcp, "TCP for UDP");
	close(bare);
	close(null);
	close(client);
}

static void
test_names(int tcp, const struct pfk_addr *bound)
{
	struct pfk__message m = message(PFK_TCP, bound);
	uint16_t other = pfk_addr_port(bound) ^ 1;

	pfk__addr_set_port(&m.bound, other);
	wrong_name(&m, tcp, "bound to another port");
	m.bound = *bound;
	pfk__addr_set_port(&m.asked, other);
	wrong_name(&m, tcp, "asked for another port");
	pfk_addr_parse(&m.asked, "127.0.0.2", pfk_addr_port(bound));
	wrong_name(&m, tcp, "asked for another address");
	pfk_addr_parse(&m.asked, "::1", pfk_addr_port(bound));
	wrong_name(&m, tcp, "asked for another family");
	m.asked = *bound;
	m.asked.sa.sa_family = AF_UNIX;
	wrong_name(&m, tcp, "asked for no address");
	m.asked = *bound;
	m.asked.len = m.bound.len = UINT32_MAX;
	wrong_name(&m, tcp, "a length that cannot be");
}

/* The kernel ignores the interface, and getsockname(2) does not return it. */
static void
test_zone(void)
{
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct pfk_addr asked, bound;
	struct pfk__message m;

	pfk_addr_parse(&asked, "::1", 0);
	if (bind(fd, &asked.sa, asked.len) == -1) {
		skip(1, "no IPv6");
		close(fd);
		return;
	}
	bound = asked;
	getsockname(fd, &bound.sa, &bound.len);
	m = message(PFK_UDP, &bound);
	m.asked.in6.sin6_scope_id = 1;
	is_str(pfk__lend_check(&custody, &m, fd), NULL, "asked for ::1%%lo");
	close(fd);
}

static void
test_limit(int tcp, const struct pfk_addr *bound)
{
	struct pfk__message m = message(PFK_TCP, bound);
	static struct pfk__custody full;

	full.slots[1].len = PFK__LEND_MAX;
	is_str(pfk__lend_check(&full, &m, tcp), "too many listeners",
	    "more than a slot's");
	full.slots[1].len = PFK__LEND_MAX - 1;
	full.slots[2].len = 1;
	is_str(pfk__lend_check(&full, &m, tcp), NULL, "others' do not count");
}

int
main(void)
{
	struct pfk_addr tcp_bound, udp_bound;
	int tcp = unit_listen(&tcp_bound), udp = unit_udp(&udp_bound);

	good(PFK_TCP, &tcp_bound, tcp);
	good(PFK_UDP, &udp_bound, udp);
	test_descriptors(tcp, udp, &tcp_bound);
	test_names(tcp, &tcp_bound);
	test_zone();
	test_limit(tcp, &tcp_bound);
	close(tcp);
	close(udp);
	return done_testing();
}

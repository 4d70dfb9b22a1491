/*
 * lend.c: check that a lent listener is as the worker's message describes it.
 *
 * Layer: process.  Successors inherit the listeners in custody, siblings get
 * them, and nobody checks them again; so a broken worker is found here.
 */
#include "process/lend.h"
#include "net/addr.h"

static int
option(int fd, int name)
{
	socklen_t len = sizeof(int);
	int value;

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

static bool
is_inet(const struct pfk_addr *a)
{
	return (a->sa.sa_family == AF_INET && a->len == sizeof(a->in4)) ||
	    (a->sa.sa_family == AF_INET6 && a->len == sizeof(a->in6));
}

/*
 * Whether binding `asked` may yield `bound`: port 0 becomes a port, and ::1%lo
 * becomes ::1.
 */
static bool
answers(const struct pfk_addr *bound, const struct pfk_addr *asked)
{
	struct pfk_addr a = *asked;

	if (pfk_addr_port(&a) == 0)
		pfk__addr_set_port(&a, pfk_addr_port(bound));
	pfk__addr_drop_zone(&a);
	return a.len == bound->len && pfk_addr_equal(&a, bound);
}

const char *
pfk__lend_check(const struct pfk__custody *c, const struct pfk__message *m,
    int fd)
{
	struct pfk_addr name = {.len = sizeof(name.in6)};
	bool tcp = m->kind == PFK_TCP;
	int protocol;

	if (fd == -1)
		return "a listener without a descriptor";
	protocol = option(fd, SO_PROTOCOL);
	if (option(fd, SO_TYPE) != (tcp ? SOCK_STREAM : SOCK_DGRAM) ||
	    (tcp ? protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP
		 : protocol != IPPROTO_UDP) ||
	    option(fd, SO_ACCEPTCONN) != tcp)
		return "a descriptor that is no such listener";
	if (!is_inet(&m->bound) || !is_inet(&m->asked) ||
	    getsockname(fd, &name.sa, &name.len) == -1 ||
	    name.len != m->bound.len || !pfk_addr_equal(&name, &m->bound) ||
	    !answers(&name, &m->asked))
		return "a listener by a wrong name";
	if (pfk__custody_count(c, m->slot) >= PFK__LEND_MAX)
		return "too many listeners";
	return NULL;
}

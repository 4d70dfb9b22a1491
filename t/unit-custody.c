/*
 * custody.c: which listeners are kept, and which are closed.
 */
#include "net/addr.h"
#include "process/custody.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tap.h"
#include "unit.h"

static struct pfk__custody custody;
static struct pfk_addr any_port, fixed;
static uint64_t clock_ns;

static int
add(int slot, enum pfk_kind kind, const struct pfk_addr *asked,
    uint64_t generation)
{
	struct pfk__lent l = {.slot = slot,
	    .kind = kind,
	    .asked = *asked,
	    .bound = *asked,
	    .fd = eventfd(0, EFD_CLOEXEC),
	    .lender = generation,
	    .user = generation,
	    .opened_ns = ++clock_ns};

	if (pfk_addr_port(asked) == 0)
		pfk__addr_set_port(&l.bound, 4242);
	if (pfk__custody_add(&custody, &l) == -1)
		fail("add");
	return l.fd;
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) != -1;
}

static void
test_find(void)
{
	int fd = add(1, PFK_TCP, &fixed, 1);
	const struct pfk__lent *l;

	is_int(pfk__custody_port(&custody), 0, "no port for port 0 yet");
	l = pfk__custody_find(&custody, 1, PFK_TCP, &fixed);
	ok(l != NULL && l->fd == fd, "found");
	ok(pfk__custody_find(&custody, -1, PFK_TCP, &fixed) == l, "any slot's");
	ok(pfk__custody_find(&custody, 0, PFK_TCP, &fixed) == NULL,
	    "not another slot's");
	ok(pfk__custody_find(&custody, 1, PFK_UDP, &fixed) == NULL,
	    "nor of another kind");
	ok(pfk__custody_find(&custody, 1, PFK_TCP, &any_port) == NULL,
	    "nor of another address");
	add(0, PFK_UDP, &any_port, 2);
	is_int(pfk__custody_port(&custody), 4242, "the port for port 0");
}

static void
test_replace(void)
{
	int old = add(2, PFK_TCP, &fixed, 3), new = add(2, PFK_TCP, &fixed, 4);

	ok(!is_open(old) && is_open(new), "a new one takes an old one's place");
	is_int(custody.len, 3, "one entry each");
	is_int(pfk__custody_find(&custody, 2, PFK_TCP, &fixed)->lender, 4,
	    "its lender");
}

static void
test_prune(void)
{
	int used = add(3, PFK_TCP, &fixed, 5),
	    unused = add(3, PFK_UDP, &fixed, 5),
	    fresh = add(3, PFK_TCP, &any_port, 6);

	pfk__custody_keep(&custody, 3, PFK_TCP, &fixed, 6);
	pfk__custody_prune(&custody, 3, 6);
	ok(is_open(used) && is_open(fresh) && !is_open(unused),
	    "the successor's entries stay");
	is_int(custody.len, 5, "others' entries too");
	pfk__custody_undo(&custody, 3, 6);
	ok(is_open(used) && !is_open(fresh),
	    "undone: listeners that it opened, not those that it took");
	pfk__custody_undo(&custody, 3, 7);
	ok(is_open(used), "another's is not undone");
	pfk__custody_prune(&custody, 3, 0);
	ok(!is_open(used), "all of a slot");
	is_int(custody.len, 3, "and of no other");
}

static void
test_order(void)
{
	const struct pfk__lent *l, *next;
	int n = 0, groups = 0, wrong = 0;

	for (int i = 10; i < 50; i++)
		add(i, PFK_TCP, &fixed, (uint64_t)i);
	pfk__custody_prune(&custody, 20, 0);
	pfk__custody_prune(&custody, 30, 0);
	for (l = pfk__custody_first_of_all(&custody); l != NULL; l = next) {
		next = pfk__custody_next_of_all(l);
		groups += next == NULL || !pfk__custody_same_group(l, next);
		wrong += next != NULL && pfk__custody_same_group(l, next) &&
		    (next->slot <= l->slot || next->opened_ns <= l->opened_ns);
		n++;
	}
	is_int(wrong, 0, "a group is in the order of slots and of opening");
	is_int(n, 41, "all are walked through");
	is_int(groups, 2, "group by group");
	add(10, PFK_UDP, &fixed, 10);
	add(10, PFK_TCP, &any_port, 10);
	add(10, PFK_TCP, &fixed, 11);
	l = pfk__custody_first(&custody, 10);
	ok(l->kind == PFK_UDP && pfk__custody_next(l)->lender == 10 &&
		pfk__custody_next(pfk__custody_next(l))->lender == 11,
	    "a slot's entries in the order of opening");
	clock_ns = 0;
	add(10, PFK_UDP, &any_port, 12);
	ok(pfk__custody_first(&custody, 10)->lender == 12,
	    "of which one that comes last may be the oldest");
	is_int(pfk__custody_count(&custody, 10), 4, "counted");
	is_int(pfk__custody_count(&custody, 20), 0, "none is left");
	is_int(custody.len, 44, "and all");
}

/*
 * In a loop: a slot with a queue that is not empty is reported once until asked
 * again.
 */

static int told[8];

static void
on_queued(void *arg, int slot)
{
	ok(arg == &told, "the owner's argument");
	told[slot]++;
}

static void
test_queued(void)
{
	struct pfk_loop *l = pfk_loop_new(NULL);
	int a, b;

	pfk__custody_clear(&custody);
	pfk__custody_init(&custody, l, on_queued, &told);
	a = add(1, PFK_TCP, &fixed, 1);
	b = add(2, PFK_TCP, &fixed, 2);
	unit_settle(l);
	is_int(told[1] + told[2], 0, "nothing queued");
	ok(!pfk__custody_waiting(&custody, 1), "nothing waits");
	eventfd_write(a, 1);
	unit_run_until(l, &told[1], 1);
	unit_settle(l);
	is_int(told[1], 1, "one has something: told once");
	is_int(told[2], 0, "the other has not");
	ok(pfk__custody_waiting(&custody, 1) &&
		!pfk__custody_waiting(&custody, 2),
	    "which can be asked");
	eventfd_write(b, 1);
	pfk__custody_rearm(&custody, 1);
	unit_run_until(l, &told[2], 1);
	is_int(told[1], 2, "asked again, told again");
	pfk__custody_drop(pfk__custody_first(&custody, 1));
	ok(!is_open(a) && is_open(b), "drop closes that one");
	pfk__custody_clear(&custody);
	is_int(pfk_loop_run(l), 0, "nothing is left to watch");
	pfk_loop_free(l);
}

int
main(void)
{
	int before = unit_count_fds();

	pfk_addr_parse(&any_port, "127.0.0.1", 0);
	pfk_addr_parse(&fixed, "127.0.0.1", 8888);
	pfk__custody_init(&custody, NULL, NULL, NULL);
	test_find();
	test_replace();
	test_prune();
	test_order();
	test_queued();
	pfk__custody_clear(&custody);
	ok(custody.len == 0 && pfk__custody_first_of_all(&custody) == NULL,
	    "clear");
	is_int(unit_count_fds(), before, "no descriptor is left");
	return done_testing();
}

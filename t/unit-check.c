/*
 * The invariants as code: they hold for a right state, and abort for each wrong
 * one.
 */
#include <prefork.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "event/loop.h"
#include "process/custody.h"
#include "process/slot.h"
#include "tap.h"

static struct pfk__custody custody;
static struct pfk_loop *loop;

static void
add(int slot, uint16_t port)
{
	struct pfk__lent l = {.slot = slot,
	    .kind = PFK_TCP,
	    .fd = eventfd(0, EFD_CLOEXEC),
	    .lender = 1,
	    .user = 1};

	pfk_addr_parse(&l.asked, "127.0.0.1", port);
	l.bound = l.asked;
	if (pfk__custody_add(&custody, &l) == -1)
		fail("add");
}

static void
right(void)
{
	struct pfk__slot s = {.state = PFK__SLOT_EMPTY};

	pfk__slot_check(&s);
	pfk__custody_check(&custody);
	pfk__loop_check(loop);
}

static void
unknown_state(void)
{
	struct pfk__slot s = {.state = PFK__SLOT_BACKOFF + 1};

	pfk__slot_check(&s);
}

static void
nothing_to_renew(void)
{
	struct pfk__slot s = {.state = PFK__SLOT_EMPTY, .renew = true};

	pfk__slot_check(&s);
}

static void
wrong_count(void)
{
	custody.slots[1].len++;
	pfk__custody_check(&custody);
}

static void
wrong_order(void)
{
	pfk__custody_first(&custody, 0)->opened_ns = UINT64_MAX;
	pfk__custody_check(&custody);
}

static void
wrong_slot(void)
{
	pfk__custody_first(&custody, 0)->slot = 2;
	pfk__custody_check(&custody);
}

static void
older_user(void)
{
	pfk__custody_first(&custody, 0)->user = 0;
	pfk__custody_check(&custody);
}

static void
armed_otherwise(void)
{
	loop->table[pfk__custody_first(&custody, 0)->fd].io->armed ^= PFK_WRITE;
	pfk__loop_check(loop);
}

static void
lost_registration(void)
{
	loop->ios++;
	pfk__loop_check(loop);
}

static const struct {
	const char *name;
	void (*spoil)(void);
	int signo;
} cases[] = {
    {"all is right", right, 0},
    {"a state that is none", unknown_state, SIGABRT},
    {"an empty slot is out of date", nothing_to_renew, SIGABRT},
    {"a slot's count", wrong_count, SIGABRT},
    {"the order of opening", wrong_order, SIGABRT},
    {"an entry in another slot's list", wrong_slot, SIGABRT},
    {"a user before the lender", older_user, SIGABRT},
    {"a descriptor armed otherwise than wanted", armed_otherwise, SIGABRT},
    {"a registration too many", lost_registration, SIGABRT},
};

static int
run_in_child(void (*spoil)(void))
{
	struct rlimit no_core = {0};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGABRT, SIG_DFL);
		/* The assertion's text is of no interest. */
		close(STDERR_FILENO);
		spoil();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void
stop(void *arg)
{
	pfk_loop_stop(arg);
}

static void
on_queued(void *arg, int slot)
{
	(void)arg;
	(void)slot;
}

int
main(void)
{
	loop = pfk_loop_new(NULL);
	pfk__custody_init(&custody, loop, on_queued, NULL);
	add(0, 80);
	add(0, 81);
	add(1, 80);
	pfk_later(loop, 0, stop, loop);
	pfk_loop_run(loop);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(run_in_child(cases[i].spoil), cases[i].signo, "%s",
		    cases[i].name);
	pfk__custody_clear(&custody);
	pfk_loop_free(loop);
	return done_testing();
}

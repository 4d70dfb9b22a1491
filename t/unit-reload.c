/*
 * A reload ends in spite of its workers: one that boots with the old
 * configuration when the roll reaches it, one that is never ready.  And no
 * worker starts with a configuration that is still being tried.  A worker of
 * this test waits in its boot for as long as the test wants.
 */
#include <limits.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "process/master.h"
#include "service.h"
#include "tap.h"

/*
 * The slot in which workers with that version of the configuration wait, and
 * whether they fail then; and the bounds of the next trial and the next roll.
 */
static volatile struct gate {
	int slot, version;
	bool fails;
	int second; /* the version that adds an address */
	uint64_t trial_ns, roll_ns;
} * gate;

/* the service */

static int version;
static struct pfk_sockopts options;
static struct pfk_listen want[2] = {{.kind = PFK_TCP, .options = &options},
    {.kind = PFK_TCP, .options = &options}};
struct pfk_server *servers[2]; /* not static: they are no leak */

static void
say_version(void *arg)
{
	(void)arg;
	pfk_log(PFK_INFO, "serves with version %d", version);
}

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	return tr;
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	static const struct pfk_protocol none = {.connection_made = made};
	bool waits = gate->slot == pfk_worker_slot(w) &&
	    gate->version == version;
	size_t n = version >= gate->second ? 2 : 1;
	int fds[2];

	(void)arg;
	if (waits)
		pfk_log(PFK_INFO, "waits with version %d", version);
	while (waits && gate->slot == pfk_worker_slot(w) &&
	    gate->version == version)
		usleep(5000);
	if (waits && gate->fails)
		return pfk_worker_fail(w, 1, "told to fail");
	if (pfk_worker_listen(w, want, n, fds) == -1)
		return -1;
	for (size_t i = 0; i < n; i++) {
		servers[i] = pfk_serve(pfk_worker_loop(w), fds[i], &none, NULL,
		    NULL);
		if (servers[i] == NULL)
			return -1;
	}
	return pfk_soon(pfk_worker_loop(w), say_version, NULL);
}

static int
on_reload(struct pfk_master_config *config, void *arg)
{
	(void)config;
	(void)arg;
	version++;
	pfk__reload_bound_ns = gate->trial_ns;
	return 0;
}

static void
reload_done(bool ok, void *arg)
{
	(void)arg;
	if (!ok)
		version--;
	pfk__reload_bound_ns = gate->roll_ns;
}

static const struct pfk_hooks hooks = {.worker_init = worker_init,
    .on_reload = on_reload,
    .reload_done = reload_done};

/* the test */

/* Those of reloads that a test waits for in vain; others have BOUND. */
#define BOUND (30 * PFK_SECOND_NS)
#define SHORT PFK_SECOND_NS

static void
start(int workers)
{
	version = 1;
	gate->slot = -1;
	gate->fails = false;
	gate->second = INT_MAX;
	gate->trial_ns = gate->roll_ns = BOUND;
	service_start(&hooks, workers);
	ok(service_wait(0, "ready: ") != 0, "ready");
}

static void
end(void)
{
	if (!is_int(service_end(SIGTERM), 0, "exit status"))
		diag("%s", service_log());
}

/* The slot's workers with that version wait from now on; -1: none. */
static void
hold(int slot, int which)
{
	gate->version = which;
	gate->slot = slot;
}

/* Send it, and wait for the text; where that ends. */
static size_t
signalled(int signo, const char *text)
{
	size_t at = service_log_size();

	service_signal(signo);
	at = service_wait(at, text);
	ok(at != 0, "signal %d: %s", signo, text);
	return at;
}

static void
roll_meets_a_boot(void)
{
	size_t at;

	start(2);
	signalled(SIGTTOU, "the number of workers is 1 ");
	ok(service_wait(0, "worker 1 (") != 0, "slot 1 is given up");
	hold(1, 1);
	signalled(SIGTTIN, "waits with version 1");
	at = signalled(SIGHUP, "is leaving");
	signalled(SIGHUP, "a reload is under way; the next one starts");
	hold(-1, 0);
	at = service_wait(at, "reloaded: 2 workers\n");
	ok(at != 0, "a boot with the old configuration: the reload ends");
	at = service_wait(at, "reloaded: 2 workers\n");
	ok(at != 0, "and the next one follows");
	for (int slot = 0; slot < 2; slot++) {
		char line[60];

		snprintf(line, sizeof(line), "[worker-%d (%d)] serves with %s",
		    slot,
		    (int)service_worker(service_wait(0,
					    "reloaded: 2 workers\n"),
			slot),
		    "version 3");
		ok(service_wait(0, line) != 0, "slot %d has the last one",
		    slot);
	}
	end();
}

static void
trial_never_ready(void)
{
	size_t at;

	start(2);
	hold(0, 2);
	gate->trial_ns = SHORT;
	signalled(SIGHUP, "waits with version 2");
	at = service_wait(0,
	    "reload failed: the new worker did not start: it "
	    "was not ready within 1 s; nothing has changed");
	ok(at != 0, "a trial that is never ready is given up");
	hold(-1, 0);
	gate->trial_ns = BOUND;
	/* The worker may come to its line later than the master to that one. */
	at = service_log_size();
	signalled(SIGHUP, "serves with version 2");
	ok(service_wait(at, "reloaded: 2 workers\n") != 0,
	    "the next one is a reload as any");
	is_int(service_count("waits with"), 1, "the first was killed");
	end();
}

/* Slot 0 boots with the old configuration, and for ever. */
static void
trial_meets_a_boot(void)
{
	size_t at;

	start(2);
	hold(0, 1);
	kill(service_worker(0, 0), SIGKILL);
	at = service_wait(0, "waits with version 1");
	ok(at != 0, "slot 0 boots");
	gate->trial_ns = SHORT;
	signalled(SIGHUP, "not ready within 1 s; nothing has changed");
	gate->trial_ns = BOUND;
	hold(-1, 0);
	ok(service_wait(at, "serves with version 1") != 0, "it boots again");
	/* The worker may come to its line later than the master to that one. */
	at = service_log_size();
	signalled(SIGHUP, "serves with version 2");
	ok(service_wait(at, "reloaded: 2 workers\n") != 0, "and is renewed");
	end();
}

static void
roll_never_ready(void)
{
	size_t at;

	start(2);
	hold(1, 2);
	gate->roll_ns = SHORT;
	signalled(SIGHUP, "waits with version 2");
	at = service_wait(0, "no new worker of slot 1 was ready within 1 s");
	ok(at != 0, "a roll names the slot that is not ready");
	ok(service_wait(at, "reloaded: 2 workers, but for slot 1\n") != 0,
	    "and ends");
	hold(-1, 0);
	gate->roll_ns = BOUND;
	at = service_wait(at, "[worker-1 (");
	ok(service_wait(at, "serves with version 2") != 0, "the slot follows");
	signalled(SIGHUP, "reloaded: 2 workers\n");
	end();
}

/* The slot is removed when its turn has come. */
static void
roll_meets_a_removal(void)
{
	size_t at;

	start(2);
	hold(1, 2);
	signalled(SIGHUP, "waits with version 2");
	at = signalled(SIGTTOU, "the number of workers is 1 ");
	hold(-1, 0);
	ok(service_wait(at, "reloaded: 1 worker\n") != 0,
	    "a slot that is removed: the reload ends");
	is_int(service_count("no new worker of slot"), 0,
	    "without waiting for it");
	end();
}

/* The slot's new worker is killed as it boots: the reload waits for the next one. */
static void
roll_meets_a_kill(void)
{
	size_t at;

	start(2);
	hold(1, 2);
	at = signalled(SIGHUP, "waits with version 2");
	kill(service_worker(service_wait(0, "reloading"), 1), SIGKILL);
	ok(service_wait(at, "killed by signal 9") != 0,
	    "a new worker is killed");
	ok(service_wait(at, "waits with version 2") != 0, "another one starts");
	is_int(service_count("reloaded: "), 0, "and the reload waits for it");
	hold(-1, 0);
	ok(service_wait(at, "reloaded: 2 workers\n") != 0, "until it serves");
	end();
}

/* A death and one worker more during a trial, which then ends. */
static void
nobody_joins_a_trial(bool succeeds)
{
	const char *end_text = succeeds ? "reloaded: 3 workers\n"
					: "nothing has changed";
	const char *line = succeeds ? "serves with version 2\n"
				    : "serves with version 1\n";
	size_t trial, over, at;

	start(2);
	hold(0, 2);
	trial = signalled(SIGHUP, "waits with version 2");
	kill(service_worker(0, 1), SIGKILL);
	ok(service_wait(trial, "restarting when the reload is decided") != 0,
	    "a slot whose worker dies waits for the end of the trial");
	ok(service_wait(trial, "serves for slot 1, ") != 0,
	    "and a sibling serves its queue meanwhile");
	signalled(SIGTTIN, "the number of workers is 3 ");
	gate->fails = !succeeds;
	hold(-1, 0);
	over = service_wait(trial,
	    succeeds ? "is leaving" : "nothing has changed");
	ok(over != 0 && service_wait(trial, end_text) != 0, "%s", end_text);
	for (int slot = 1; slot < 3; slot++) {
		char name[32], text[80];

		snprintf(name, sizeof(name), "started worker %d (", slot);
		at = service_wait(trial, name);
		ok(at > over, "slot %d starts after the trial", slot);
		snprintf(text, sizeof(text), "[worker-%d (%d)] %s", slot,
		    (int)service_worker(trial, slot), line);
		ok(service_wait(trial, text) != 0, "slot %d: %s", slot, line);
	}
	end();
}

/*
 * The worker of slot 2 boots beside that of slot 1, which waits; but not if both
 * open a listener for a new address.
 */
static void
two_at_a_time(bool new_address)
{
	size_t from, at, first, second;
	char line[60];
	pid_t old;

	start(3);
	old = service_worker(0, 1);
	from = service_log_size();
	gate->second = new_address ? 2 : INT_MAX;
	hold(1, 2);
	at = signalled(SIGHUP, "waits with version 2");
	if (!new_address) {
		second = service_wait(from, "[worker-2 (");
		ok(service_wait(second, "serves with version 2") != 0,
		    "slot 2 is renewed while slot 1 boots");
	}
	hold(-1, 0);
	ok(service_wait(at, "reloaded: 3 workers\n") != 0, "reloaded");
	if (new_address) {
		snprintf(line, sizeof(line), "worker 1 (%d) is leaving",
		    (int)old);
		first = service_wait(from, line);
		second = service_wait(from, "started worker 2 (");
		ok(first != 0 && first < second,
		    "slot 2 starts when slot 1 serves");
	}
	end();
}

int
main(void)
{
	is_int(pfk__reload_bound_ns, BOUND, "the bound");
	gate = mmap(NULL, sizeof(*gate), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (gate == MAP_FAILED)
		skip_all("no shared memory");
	service_no_keeper = true;
	pfk_sockopts_init(&options);
	pfk_addr_parse(&want[0].addr, "127.0.0.1", 0);
	pfk_addr_parse(&want[1].addr, "127.0.0.2", 0);
	roll_meets_a_boot();
	trial_never_ready();
	trial_meets_a_boot();
	roll_never_ready();
	roll_meets_a_removal();
	roll_meets_a_kill();
	two_at_a_time(false);
	two_at_a_time(true);
	nobody_joins_a_trial(true);
	nobody_joins_a_trial(false);
	return done_testing();
}

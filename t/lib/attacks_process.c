/*
 * attacks_process.c: a hostile worker's channel, memory, signals and keeper.
 */
#include "attacks.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "event/ledger.h"
#include "process/area.h"
#include "process/worker.h"

/* itself */

static void
close_channel(void)
{
	shutdown(attacker.worker->channel, SHUT_RDWR);
}

static void
lie_of_beat(void)
{
	attacker.worker->page->beat = (uint64_t)1 << 62;
	attacker.worker->page->full = 1;
}

static void
scribble_page(void)
{
	memset(attacker.worker->page, 0xff, sizeof(*attacker.worker->page));
}

/* While the reload judges it, hands over to it and counts for it. */
static void
forge_on(void *arg)
{
	struct pfk__area *a = pfk__area_of(attacker.worker->page);
	uint64_t at = arc4random_uniform(sizeof(*a) - 8);

	(void)arg;
	arc4random_buf(attacker.worker->page, sizeof(*attacker.worker->page));
	arc4random_buf((char *)a + at, 8);
	pfk_later(attacker.worker->loop, PFK_MSEC_NS, forge_on, NULL);
}

static void
forge(void)
{
	forge_on(NULL);
}

static void
stand_still(void)
{
	for (;;)
		poll(NULL, 0, -1);
}

static void
say_leaving(void)
{
	struct pfk__message m = attack_message(PFK__MSG_LEAVING);

	attack_say(&m, -1);
}

static void
ignore_signals(void)
{
	for (int signo = 1; signo < NSIG; signo++)
		signal(signo, SIG_IGN);
	for (;;)
		poll(NULL, 0, -1);
}

static void
scribble_ledger(void)
{
	if (attacker.worker->ledger == NULL)
		return;
	memset(attacker.worker->ledger->records, 0x7f,
	    64 * sizeof(*attacker.worker->ledger->records));
	attacker.worker->ledger->head->top = INT32_MAX;
	attacker.worker->ledger->head->serving = INT32_MIN;
	kill(getpid(), SIGKILL);
}

static void
kill_keeper(void)
{
	kill(getppid(), SIGKILL);
}

static void
crash(void)
{
	abort();
}

const struct attack process_attacks[] = {
    {"its channel closed", close_channel},
    {"a beat in the future", lie_of_beat},
    {"its page scribbled", scribble_page},
    {"its page and counters forged all the time", forge},
    {"standing still", stand_still},
    {"leaving, and staying", say_leaving},
    {"signals ignored", ignore_signals},
    {"a corrupted ledger", scribble_ledger},
    {"its keeper killed", kill_keeper},
    {"a crash in each incarnation", crash},
    {NULL, NULL},
};

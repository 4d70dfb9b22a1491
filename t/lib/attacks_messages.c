/*
 * attacks_messages.c: messages and log lines of a hostile worker.
 */
#include "attacks.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "process/worker.h"

#define FLOOD 2000

struct attacker attacker;

/* messages */

struct pfk__message
attack_message(uint32_t type)
{
	struct pfk_addr name = {.len = sizeof(name.in6)};

	getsockname(attacker.listener, &name.sa, &name.len);
	return (struct pfk__message){.type = type,
	    .slot = attacker.worker->slot,
	    .generation = attacker.worker->generation,
	    .kind = PFK_TCP,
	    .asked = name,
	    .bound = name};
}

void
attack_say(const struct pfk__message *m, int fd)
{
	pfk__channel_send(attacker.worker->channel, m, fd);
}

static void
say_type(uint32_t type)
{
	struct pfk__message m = attack_message(type);

	attack_say(&m, -1);
}

/* messages */

static void
send_short(void)
{
	send(attacker.worker->channel, "rubbish", 7, MSG_NOSIGNAL);
}

static void
send_empty(void)
{
	send(attacker.worker->channel, "", 0, MSG_NOSIGNAL);
}

static void
send_long(void)
{
	static char bytes[100000];

	send(attacker.worker->channel, bytes, sizeof(bytes), MSG_NOSIGNAL);
}

static void
send_random(void)
{
	struct pfk__message m;

	arc4random_buf(&m, sizeof(m));
	attack_say(&m, -1);
}

static void
send_unknown(void)
{
	say_type(PFK__MSG_TYPES);
}

static void
send_as_master(void)
{
	say_type(PFK__MSG_DRAIN);
}

static void
send_wrong_slot(void)
{
	struct pfk__message m = attack_message(PFK__MSG_LEAVING);

	m.slot = 0;
	attack_say(&m, -1);
}

static void
send_negative_slot(void)
{
	struct pfk__message m = attack_message(PFK__MSG_KEPT);

	m.slot = INT32_MIN;
	m.owner = INT32_MAX;
	attack_say(&m, -1);
}

static void
send_wrong_generation(void)
{
	struct pfk__message m = attack_message(PFK__MSG_TAKEN);

	m.generation = UINT64_MAX;
	attack_say(&m, -1);
}

static void
send_wrong_kind(void)
{
	struct pfk__message m = attack_message(PFK__MSG_LISTED);

	m.kind = INT32_MAX;
	attack_say(&m, -1);
}

static void
send_ready_again(void)
{
	say_type(PFK__MSG_READY);
}

static void
send_late_listener(void)
{
	say_type(PFK__MSG_LEND);
}

static void
send_counts(void)
{
	struct pfk__message m = attack_message(PFK__MSG_KEPT);

	m.status = INT32_MAX;
	attack_say(&m, -1);
	m.type = PFK__MSG_TAKEN;
	attack_say(&m, -1);
	m.type = PFK__MSG_LISTED;
	attack_say(&m, -1);
	m.status = INT32_MIN;
	attack_say(&m, -1);
	m.type = PFK__MSG_KILLED;
	m.ns = UINT64_MAX;
	attack_say(&m, -1);
	m.ns = 1;
	m.status = INT32_MAX;
	attack_say(&m, -1);
}

/* The master would signal that process. */
static void
send_pid_of_master(void)
{
	struct pfk__message m = attack_message(PFK__MSG_STARTED);

	m.pid = getpgid(0);
	attack_say(&m, -1);
}

static void
send_pid_of_init(void)
{
	struct pfk__message m = attack_message(PFK__MSG_STARTED);

	m.pid = 1;
	attack_say(&m, -1);
}

static void
send_negative_pid(void)
{
	struct pfk__message m = attack_message(PFK__MSG_STARTED);

	m.pid = -1;
	attack_say(&m, -1);
}

static void
send_false_deaths(void)
{
	struct pfk__message m = attack_message(PFK__MSG_DIED);

	m.pid = -1;
	m.status = SIGSEGV | 0x80;
	memset(m.text, '\n', sizeof(m.text));
	for (int i = 0; i < 100; i++)
		attack_say(&m, -1);
}

static void
send_flood(void)
{
	struct pfk__message m = attack_message(PFK__MSG_TAKEN);

	for (int i = 0; i < FLOOD; i++)
		send(attacker.worker->channel, &m, sizeof(m), MSG_NOSIGNAL);
}

static void
send_log_text(void)
{
	struct pfk__message m = attack_message(PFK__MSG_DIED);

	strlcpy(m.text, "\n[master (1)] all is well\033[2J\r", sizeof(m.text));
	m.pid = getpid();
	attack_say(&m, -1);
}

/* log */

static void
inject_log(void)
{
	static const char text[] = "\n[master (1)] worker 0 (2) has ended\n"
				   "\0010\001\001\001\r\033[2J";

	for (int i = 0; i < 10; i++)
		send_log_text();
	pfk_log(PFK_INFO, "a line\n[master (1)] forged\033[2J");
	if (write(STDERR_FILENO, text, sizeof(text)) == -1)
		return;
}

static void
flood_log(void)
{
	for (int i = 0; i < FLOOD; i++)
		pfk_log(PFK_INFO, "%d", i);
}

const struct attack message_attacks[] = {
    {"a message too short", send_short},
    {"a message of no bytes", send_empty},
    {"a message too long", send_long},
    {"random bytes", send_random},
    {"an unknown type", send_unknown},
    {"a message of the master's", send_as_master},
    {"another slot", send_wrong_slot},
    {"no slot", send_negative_slot},
    {"another generation", send_wrong_generation},
    {"no kind", send_wrong_kind},
    {"ready again", send_ready_again},
    {"a listener later", send_late_listener},
    {"false counts", send_counts},
    {"the pid of another process", send_pid_of_master},
    {"the pid 1", send_pid_of_init},
    {"the pid -1", send_negative_pid},
    {"deaths that were none", send_false_deaths},
    {"a flood of messages", send_flood},
    {"forged log lines", inject_log},
    {"a flood of log lines", flood_log},
    {NULL, NULL},
};

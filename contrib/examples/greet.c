/*
 * greet: say a line to each client, and close.
 *
 * This is all of it: pfk_main adds the options of prefork-echo(8), a
 * configuration file, reloads, upgrades and the rest.  The program has its
 * services, its own options, and a check of the configuration.
 *
 *	greet -p 7777 --greeting "good morning" --times 3
 */
#include <prefork.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define BYTES_MAX 65536

struct config {
	char *greeting;
	int times;
};

static const struct pfk_option options[] = {
    {'g', "greeting", "TEXT", PFK_OPT_STRING,
	.offset = offsetof(struct config, greeting), .help = "a line (hello)"},
    {0, "times", "N", PFK_OPT_INT, .offset = offsetof(struct config, times),
	.min = 1, .max = 1000, .help = "how often it is said (1)"},
    {0},
};

static int
check(struct pfk_setup *s, char *err)
{
	const struct config *c = s->config;

	if (strlen(c->greeting) * (size_t)c->times <= BYTES_MAX)
		return 0;
	snprintf(err, PFK_ERROR_SIZE,
	    "greeting and times make more than %d bytes; shorten one",
	    BYTES_MAX);
	return -1;
}

static void *
made(struct pfk_transport *tr, void *arg)
{
	const struct config *c = arg;

	for (int i = 0; i < c->times; i++) {
		pfk_write(tr, c->greeting, strlen(c->greeting));
		pfk_write(tr, "\n", 1);
	}
	pfk_close(tr);
	return tr;
}

int
main(int argc, char **argv)
{
	static const struct pfk_protocol greet = {.connection_made = made};
	static const struct pfk_service services[] = {{.tcp = &greet}, {0}};
	char hello[] = "hello";
	struct config defaults = {.greeting = hello, .times = 1};
	struct pfk_program program = {.version = "1.0",
	    .about = "Say a line to each client.",
	    .services = services,
	    .port = 7777,
	    .options = options,
	    .config_bytes = sizeof(defaults),
	    .defaults = &defaults,
	    .check = check};

	return pfk_main(&program, argc, argv);
}

/*
 * main.c: prefork-ctl, which commands a service by its control socket.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "ctl.h"

static int
run(const struct ctl *c, char *err)
{
	struct instance service = {.fd = -1};
	char line[100];
	int status = options_request(c, line, sizeof(line), err);

	if (status == EX_OK)
		status = find_service(c, &service, err);
	if (status == EX_UNAVAILABLE && service.path[0] != '\0' &&
	    (strcmp(c->words[0], "status") == 0 ||
		strcmp(c->words[0], "stop") == 0))
		return orphans_obey(c, service.path, err);
	if (status != EX_OK)
		return status;
	if (strcmp(c->words[0], "top") == 0) {
		close(service.fd);
		return top_run(c, service.path);
	}
	return talk(c, service.fd, line);
}

static int
obey(const struct ctl *c, char *err)
{
	if (c->help)
		return options_usage();
	if (!c->version)
		return run(c, err);
	printf("%s %s\n", getprogname(), PFK_VERSION);
	return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

int
main(int argc, char **argv)
{
	struct ctl c = {0};
	char err[PFK_ERROR_SIZE] = "";
	int status;

	pfk_ensure_stdio();
	status = options_read(&c, argc, argv, err);
	if (status == EX_OK)
		status = obey(&c, err);
	if (err[0] != '\0')
		pfk_complain("%s", err);
	options_free(&c);
	return status;
}

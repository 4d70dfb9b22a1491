/*
 * services.c: the services of a program, and whether the program is complete.
 *
 * Layer: main.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/misuse.h"
#include "base/option.h"
#include "main/program.h"

size_t
pfk__service_count(const struct pfk_service *v)
{
	size_t n = 0;

	while (v[n].tcp != NULL || v[n].stream != NULL || v[n].udp != NULL)
		n++;
	return n;
}

int
pfk__service_find(const struct pfk_service *v, const char *name)
{
	int n = (int)pfk__service_count(v);

	for (int i = 1; i < n; i++) {
		if (strcmp(v[i].name, name) == 0)
			return i;
	}
	return -1;
}

const char *
pfk__service_names(const struct pfk_service *v)
{
	static char text[200];
	size_t n = pfk__service_count(v);

	if (n < 2)
		return "no comma may follow the address";
	strlcpy(text, "only", sizeof(text));
	for (size_t i = 1; i < n; i++) {
		strlcat(text, i > 1 ? " or '" : " '", sizeof(text));
		strlcat(text, v[i].name, sizeof(text));
		strlcat(text, "'", sizeof(text));
	}
	strlcat(text, " may follow a comma", sizeof(text));
	return text;
}

static int
check_services(const struct pfk_service *v)
{
	size_t n = v != NULL ? pfk__service_count(v) : 0;

	if (n == 0)
		return pfk__misuse(EINVAL,
		    "pfk_main: the first service has no protocol");
	for (size_t i = 0; i < n; i++) {
		if (v[i].tcp != NULL && v[i].stream != NULL)
			return pfk__misuse(EINVAL,
			    "pfk_main: service %zu has both tcp and stream", i);
		if (i > 0 && v[i].name == NULL)
			return pfk__misuse(EINVAL,
			    "pfk_main: service %zu has no name", i);
	}
	return 0;
}

/* Only one option can have a name. */
static int
check_options(const struct pfk_option *own)
{
	size_t n = pfk__options_count(pfk__main_options);

	for (size_t i = 0; own != NULL && own[i].name != NULL; i++) {
		for (size_t k = 0; k < n; k++) {
			if (strcmp(own[i].name, pfk__main_options[k].name) == 0)
				return pfk__misuse(EINVAL,
				    "pfk_main: --%s is an option of the "
				    "library; give it another name",
				    own[i].name);
		}
	}
	if (own != NULL && pfk__options_count(own) + n > PFK__OPTIONS_MAX)
		return pfk__misuse(EINVAL,
		    "pfk_main: too many options; it takes %zu of the program",
		    PFK__OPTIONS_MAX - n);
	return 0;
}

int
pfk__program_check(const struct pfk_program *program)
{
	if (program == NULL)
		return pfk__misuse(EINVAL, "pfk_main: no program");
	if (program->workers < 0 || program->workers > PFK_WORKERS_MAX)
		return pfk__misuse(EINVAL,
		    "pfk_main: %d workers; it is 0 to %d", program->workers,
		    PFK_WORKERS_MAX);
	if (check_services(program->services) == -1)
		return -1;
	return check_options(program->options);
}

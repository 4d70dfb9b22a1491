/*
 * bind.c: --bind [tcp:|udp:]HOST[:PORT][,SERVICE].
 *
 * Layer: main.  HOST * is every address, and so is :PORT or PORT alone; the same
 * holds for the address of --exporter.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "main/program.h"
#include "net/addr.h"

void
pfk__binds_free(struct pfk__settings *s)
{
	for (size_t i = 0; i < s->n_binds; i++)
		free(s->binds[i].text);
	free(s->binds);
	s->binds = NULL;
	s->n_binds = 0;
}

/* The digits of :PORT or PORT, or NULL. */
static const char *
port_alone(const char *at)
{
	const char *digits = at + (at[0] == ':');
	size_t n = strspn(digits, "0123456789");

	return n > 0 && digits[n] == '\0' ? digits : NULL;
}

static int
split_host(struct pfk__bind *b, const char *at, const char **errstr)
{
	const char *alone = port_alone(at);
	char text[PFK_HOST_SIZE + 64];
	uint16_t port = 0;
	bool has_port;

	if (alone != NULL)
		snprintf(text, sizeof(text), "*:%s", alone);
	else
		strlcpy(text, at, sizeof(text));
	/* There is a port if two different defaults give the same number. */
	if (pfk_host_split(text, b->host, &port, errstr) == -1)
		return -1;
	b->port = port;
	port = 1;
	pfk_host_split(text, b->host, &port, errstr);
	has_port = port == b->port;
	if (!has_port)
		b->port = -1;
	return 0;
}

int
pfk__host_check(const char *value, const char **errstr)
{
	struct pfk__bind b = {0};
	struct pfk_addr a;

	if (strlen(value) >= PFK_HOST_SIZE) {
		*errstr = "it is too long for a host";
		return -1;
	}
	if (split_host(&b, value, errstr) == -1)
		return -1;
	if (strcmp(b.host, "*") == 0 || pfk_addr_parse(&a, b.host, 0) == 0)
		return 0;
	*errstr = pfk__addr_fault(b.host);
	/* The interface may be there later. */
	return *errstr == NULL || errno == ENODEV ? 0 : -1;
}

static int
take_apart(struct pfk__bind *b, const struct pfk_service *services,
    const char *value, const char **errstr)
{
	char text[PFK_HOST_SIZE + 64], *at = text, *comma;

	if (strlcpy(text, value, sizeof(text)) >= sizeof(text)) {
		*errstr = "it is too long for a host";
		return -1;
	}
	comma = strchr(text, ',');
	if (comma != NULL) {
		*comma = '\0';
		b->service = pfk__service_find(services, comma + 1);
		if (b->service == -1) {
			*errstr = pfk__service_names(services);
			return -1;
		}
	}
	b->tcp = strncmp(at, "udp:", 4) != 0;
	b->udp = strncmp(at, "tcp:", 4) != 0;
	if (!b->tcp || !b->udp)
		at += 4;
	return split_host(b, at, errstr);
}

int
pfk__bind_parse(void *settings, const char *value, bool first,
    const char **errstr)
{
	struct pfk__settings *s = settings;
	struct pfk__bind b = {0}, *binds;

	if (take_apart(&b, s->program->services, value, errstr) == -1)
		return -1;
	if (first)
		pfk__binds_free(s);
	binds = reallocarray(s->binds, s->n_binds + 1, sizeof(*binds));
	b.text = strdup(value);
	if (binds != NULL)
		s->binds = binds;
	if (binds == NULL || b.text == NULL) {
		free(b.text);
		*errstr = "out of memory";
		return -1;
	}
	s->binds[s->n_binds++] = b;
	return 0;
}

bool
pfk__bind_format(const void *settings, int i, char *buf, size_t size)
{
	const struct pfk__settings *s = settings;

	if ((size_t)i >= s->n_binds)
		return false;
	strlcpy(buf, s->binds[i].text, size);
	return true;
}

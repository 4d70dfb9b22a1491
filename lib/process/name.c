/*
 * name.c: the name of a service, which is that of its socket and lock.
 *
 * Layer: process.
 */
#include "process/name.h"
#include "net/addr.h"

#include <prefork.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* FNV-1a. */
static uint32_t
hash(const char *s)
{
	uint32_t h = 2166136261u;

	for (; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	return h;
}

static bool
is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') ||
	    (c != '\0' && strchr("._-@+%", c) != NULL);
}

/*
 * A name that had to be changed or cut gets a hash of all of it, so that names
 * stay distinct.
 */
static void
escape(char *dst, size_t max, const char *src)
{
	size_t n = strlen(src);
	bool changed = n > max || src[0] == '.' || src[0] == '\0';

	for (size_t i = 0; i < n; i++)
		changed = changed || !is_plain(src[i]);
	if (changed && n > max - 9)
		n = max - 9;
	for (size_t i = 0; i < n; i++)
		dst[i] = is_plain(src[i]) && (i > 0 || src[i] != '.') ? src[i]
								      : '_';
	dst[n] = '\0';
	if (changed)
		snprintf(dst + n, 10, "-%08x", (unsigned)hash(src));
}

/* The address as a part of a file's name. */
static void
address_text(char *dst, size_t size, const struct pfk_listen *l)
{
	char text[PFK_ADDR_SIZE], *end;
	const char *host = text;

	pfk_addr_format(text, &l->addr);
	end = strrchr(text, ':');
	*end = '\0';
	if (*host == '[') {
		host++;
		end[-1] = '\0';
	}
	for (char *at = text; (at = strchr(at, ':')) != NULL;)
		*at = '.';
	if (pfk__addr_is_any(&l->addr))
		host = l->addr.sa.sa_family == AF_INET ? "any" : "any6";
	snprintf(dst, size, "-%s%s-%u", l->kind == PFK_UDP ? "udp-" : "", host,
	    pfk_addr_port(&l->addr));
}

void
pfk__name_make(char *dst, size_t max, const struct pfk_master_config *c)
{
	char text[256], address[PFK_ADDR_SIZE + 16] = "", pid[16] = "";

	if (c->name != NULL) {
		escape(dst, max, c->name);
		return;
	}
	if (c->address != NULL)
		address_text(address, sizeof(address), c->address);
	/* Without a port of its own, others may run beside it. */
	if (c->address == NULL || pfk_addr_port(&c->address->addr) == 0)
		snprintf(pid, sizeof(pid), "-%d", (int)getpid());
	snprintf(text, sizeof(text), "%.100s%s%s", getprogname(), address, pid);
	escape(dst, max, text);
}

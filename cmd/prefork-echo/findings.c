/*
 * findings.c: pass the outcome of a configuration's look-ups to another process.
 *
 * A reload looks names up in a child and reads the file once more in the master.
 * The questions go with the answers, so that the answers to another version of
 * the file are not taken for its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"

/* In front of the endpoints, and the texts, each with its zero byte. */
struct head {
	size_t questions, user_name; /* lengths; 0: no text */
	size_t n_endpoints;
	uid_t uid;
	gid_t gid, control_gid;
};

/* All that the answers depend on; NULL: no memory. */
static char *
questions(const struct config *c)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (f == NULL)
		return NULL;
	fprintf(f, "%s\n%s\n%d %d %d %d\n", c->user != NULL ? c->user : "",
	    c->control_group != NULL ? c->control_group : "", c->ipv4, c->ipv6,
	    c->once, c->port);
	for (size_t i = 0; i < c->n_binds; i++)
		fprintf(f, "%s\n", c->binds[i].text);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

int
config_send(const struct config *c, int fd)
{
	char *asked = questions(c);
	int copy = dup(fd);
	FILE *f = copy != -1 ? fdopen(copy, "w") : NULL;
	struct head h;
	int rc = -1;

	memset(&h, 0, sizeof(h)); /* its padding goes along */
	h.n_endpoints = c->n_endpoints;
	h.uid = c->uid;
	h.gid = c->gid;
	h.control_gid = c->control_gid;
	if (asked != NULL && f != NULL) {
		h.questions = strlen(asked) + 1;
		if (c->user_name != NULL)
			h.user_name = strlen(c->user_name) + 1;
		fwrite(&h, sizeof(h), 1, f);
		fwrite(c->endpoints, sizeof(*c->endpoints), h.n_endpoints, f);
		fwrite(asked, 1, h.questions, f);
		if (c->user_name != NULL)
			fwrite(c->user_name, 1, h.user_name, f);
		rc = ferror(f) ? -1 : 0;
	}
	if (f != NULL && fclose(f) != 0)
		rc = -1;
	else if (f == NULL && copy != -1)
		close(copy);
	free(asked);
	return rc;
}

/* Whether the answers, of that size, are to the configuration's questions. */
static bool
fits(const struct config *c, const struct head *h, size_t size)
{
	size_t endpoints = h->n_endpoints * sizeof(struct endpoint);
	char *asked;
	bool same;

	if (size != sizeof(*h) + endpoints + h->questions + h->user_name)
		return false;
	asked = questions(c);
	same = asked != NULL && strlen(asked) + 1 == h->questions &&
	    memcmp((const char *)(h + 1) + endpoints, asked, h->questions) == 0;
	free(asked);
	return same;
}

int
config_receive(struct config *c, const void *data, size_t size, char *err)
{
	const struct head *h = data;
	const char *at = (const char *)(h + 1);
	size_t bytes;

	if (size < sizeof(*h) || !fits(c, h, size)) {
		snprintf(err, PFK_ERROR_SIZE,
		    "%s was changed while it was read; reload again",
		    c->file != NULL ? c->file : "the configuration");
		return -1;
	}
	bytes = h->n_endpoints * sizeof(*c->endpoints);
	c->endpoints = malloc(bytes);
	if (h->user_name > 0)
		c->user_name = strdup(at + bytes + h->questions);
	if (c->endpoints == NULL || (h->user_name > 0 && !c->user_name)) {
		strlcpy(err, "out of memory", PFK_ERROR_SIZE);
		return -1;
	}
	memcpy(c->endpoints, at, bytes);
	c->n_endpoints = h->n_endpoints;
	for (size_t i = 0; i < c->n_endpoints; i++)
		c->endpoints[i].listen.options = &c->sockopts;
	c->uid = h->uid;
	c->gid = h->gid;
	c->control_gid = h->control_gid;
	return 0;
}

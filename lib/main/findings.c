/*
 * findings.c: pass the outcome of the look-ups to another process.
 *
 * Layer: main.
 * A reload looks names up in a child and reads the file once more in the master.
 * The questions go with the answers, so that the answers to another version of
 * the file are not taken for its own.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "main/settings.h"

/* In front of the endpoints, and the texts, each with its zero byte. */
struct head {
	size_t questions, user_name; /* lengths; 0: no text */
	size_t n_endpoints;
	uid_t uid;
	gid_t gid, control_gid;
};

/* All that the answers depend on; NULL: no memory. */
static char *
questions(const struct pfk__settings *s)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (f == NULL)
		return NULL;
	fprintf(f, "%s\n%s\n%d %d %d\n", s->user != NULL ? s->user : "",
	    s->control_group != NULL ? s->control_group : "", s->ipv4, s->ipv6,
	    s->port);
	for (size_t i = 0; i < s->n_binds; i++)
		fprintf(f, "%s\n", s->binds[i].text);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

static int
write_all(int fd, const char *buf, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, buf, n);

		if (done == -1 && errno != EINTR)
			return -1;
		if (done > 0) {
			buf += done;
			n -= (size_t)done;
		}
	}
	return 0;
}

/* By a memory stream: fdopen(3) needs fcntl(2), which a sandbox may deny. */
int
pfk__settings_send(const struct pfk__settings *s, int fd)
{
	char *asked = questions(s), *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	struct head h;
	int rc = -1;

	memset(&h, 0, sizeof(h)); /* its padding goes along */
	h.n_endpoints = s->setup.n_endpoints;
	h.uid = s->uid;
	h.gid = s->gid;
	h.control_gid = s->control_gid;
	if (asked != NULL && f != NULL) {
		h.questions = strlen(asked) + 1;
		if (s->user_name != NULL)
			h.user_name = strlen(s->user_name) + 1;
		fwrite(&h, sizeof(h), 1, f);
		fwrite(s->setup.endpoints, sizeof(*s->setup.endpoints),
		    h.n_endpoints, f);
		fwrite(asked, 1, h.questions, f);
		if (s->user_name != NULL)
			fwrite(s->user_name, 1, h.user_name, f);
		rc = ferror(f) ? -1 : 0;
	}
	if (f != NULL && fclose(f) != 0)
		rc = -1;
	if (rc == 0)
		rc = write_all(fd, text, size);
	free(text);
	free(asked);
	return rc;
}

/* Whether the answers, of that size, are to the questions of s. */
static bool
fits(const struct pfk__settings *s, const struct head *h, size_t size)
{
	size_t endpoints = h->n_endpoints * sizeof(struct pfk_endpoint);
	char *asked;
	bool same;

	if (size != sizeof(*h) + endpoints + h->questions + h->user_name)
		return false;
	asked = questions(s);
	same = asked != NULL && strlen(asked) + 1 == h->questions &&
	    memcmp((const char *)(h + 1) + endpoints, asked, h->questions) == 0;
	free(asked);
	return same;
}

int
pfk__settings_receive(struct pfk__settings *s, const void *data, size_t size,
    char *err)
{
	const struct head *h = data;
	const char *at = (const char *)(h + 1);
	size_t bytes;

	if (size < sizeof(*h) || !fits(s, h, size)) {
		snprintf(err, PFK_ERROR_SIZE,
		    "%s was changed while it was read; reload again",
		    s->file != NULL ? s->file : "the configuration");
		return -1;
	}
	bytes = h->n_endpoints * sizeof(*s->setup.endpoints);
	s->setup.endpoints = malloc(bytes);
	if (h->user_name > 0)
		s->user_name = strdup(at + bytes + h->questions);
	if (s->setup.endpoints == NULL || (h->user_name > 0 && !s->user_name)) {
		strlcpy(err, "out of memory", PFK_ERROR_SIZE);
		return -1;
	}
	memcpy(s->setup.endpoints, at, bytes);
	s->setup.n_endpoints = h->n_endpoints;
	s->uid = h->uid;
	s->gid = h->gid;
	s->control_gid = h->control_gid;
	return 0;
}

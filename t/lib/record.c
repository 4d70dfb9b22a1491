/*
 * A protocol that records; record.h is the manual.
 */
#include "record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATTERN 251 /* a prime: blocks that change places show */

static void
note_call(struct record *r, enum record_point point)
{
	if (r->calls[RECORD_LOST] > 0) {
		r->late++;
		r->owner->late++;
	}
	r->calls[point]++;
	r->owner->calls[point]++;
	if (r->owner->at[point] != NULL)
		r->owner->at[point](r);
}

static void *
made(struct pfk_transport *tr, void *arg)
{
	struct recorder *rec = arg;
	struct record *r = &rec->conns[rec->calls[RECORD_MADE] % RECORD_CONNS];

	*r = (struct record){.owner = rec, .tr = tr};
	note_call(r, RECORD_MADE);
	return rec->refuse ? NULL : r;
}

static void
data_received(void *self, const void *buf, size_t len)
{
	struct record *r = self;
	size_t room = sizeof(r->text) - 1 - strlen(r->text);

	strncat(r->text, buf, len < room ? len : room);
	r->bytes += len;
	if (r->owner->echo)
		pfk_write(r->tr, buf, len);
	note_call(r, RECORD_DATA);
}

static bool
eof_received(void *self)
{
	struct record *r = self;

	note_call(r, RECORD_EOF);
	return r->owner->keep_eof;
}

static void
pause_writing(void *self)
{
	note_call(self, RECORD_PAUSE);
}

static void
resume_writing(void *self)
{
	note_call(self, RECORD_RESUME);
}

static void
draining(void *self)
{
	note_call(self, RECORD_DRAIN);
}

static void
connection_lost(void *self, int error)
{
	struct record *r = self;

	r->error = error;
	note_call(r, RECORD_LOST);
	r->tr = NULL;
}

void
recorder_init(struct recorder *rec)
{
	*rec = (struct recorder){.protocol = {
				     .connection_made = made,
				     .data_received = data_received,
				     .eof_received = eof_received,
				     .pause_writing = pause_writing,
				     .resume_writing = resume_writing,
				     .draining = draining,
				     .connection_lost = connection_lost,
				 }};
}

char
record_byte(size_t at)
{
	return (char)(at % PATTERN);
}

int
record_write(struct pfk_transport *tr, size_t n)
{
	char *buf = malloc(n);
	int rc;

	if (buf == NULL)
		return -1;
	for (size_t i = 0; i < n; i++)
		buf[i] = record_byte(i);
	rc = pfk_write(tr, buf, n);
	free(buf);
	return rc;
}

static void
on_drink(void *arg, unsigned ready)
{
	struct drinker *d = arg;
	char buf[16384];
	ssize_t n = recv(d->fd, buf, sizeof(buf), MSG_DONTWAIT);

	(void)ready;
	if (n == -1 && errno == EAGAIN)
		return;
	for (ssize_t i = 0; i < n; i++)
		d->wrong += buf[i] != record_byte(d->got + (size_t)i);
	if (n > 0) {
		d->got += (size_t)n;
		return;
	}
	d->error = n == -1 ? errno : 0;
	d->ended = 1;
	pfk_io_cancel(&d->io);
}

void
drinker_start(struct drinker *d, struct pfk_loop *l, int fd)
{
	*d = (struct drinker){.fd = fd};
	d->io = pfk_io_add(l, fd, PFK_READ, on_drink, d);
}

void
drinker_close(struct drinker *d)
{
	pfk_io_cancel(&d->io);
	close(d->fd);
}

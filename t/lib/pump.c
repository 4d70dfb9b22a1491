/*
 * A client that pumps; pump.h is the manual.
 */
#include "pump.h"

#include <errno.h>
#include <unistd.h>

static char
byte_at(size_t at)
{
	return (char)(at ^ at >> 8 ^ at >> 16);
}

static void
put(struct pump *p)
{
	static char buf[PUMP_CHUNK];
	size_t left = p->to_send - p->sent;
	ssize_t n;

	left = left < PUMP_CHUNK ? left : PUMP_CHUNK;
	for (size_t i = 0; i < left; i++)
		buf[i] = byte_at(p->sent + i);
	n = send(p->fd, buf, left, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		p->sent += (size_t)n;
	p->sent_all = p->sent == p->to_send;
}

static bool
is_dropped(const struct pump *p)
{
	const struct pump *from = p->source;

	for (int i = 0; from->skips && i < from->n_marks; i++) {
		if (from->marks[i] == p->at)
			return true;
	}
	return false;
}

static void
check(struct pump *p, const char *buf, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		while (is_dropped(p))
			p->at++;
		p->wrong += buf[i] != byte_at(p->at++);
	}
}

static void
get(struct pump *p)
{
	static char buf[PUMP_CHUNK];
	size_t room = p->stop_at - p->got;
	ssize_t n;

	n = recv(p->fd, buf, room < PUMP_CHUNK ? room : PUMP_CHUNK,
	    MSG_DONTWAIT);
	if (n == -1 && errno == EAGAIN)
		return;
	if (n > 0) {
		check(p, buf, (size_t)n);
		p->got += (size_t)n;
		p->got_all = p->got >= p->want;
		return;
	}
	p->error = n == -1 ? errno : 0;
	p->ended = 1;
}

static void
watch(struct pump *p)
{
	unsigned want = (p->sent < p->to_send ? PFK_WRITE : 0u) |
	    (p->got < p->stop_at && !p->ended ? PFK_READ : 0u);

	pfk_io_want(p->io, want);
}

static void
on_ready(void *arg, unsigned ready)
{
	struct pump *p = arg;

	if ((ready & PFK_WRITE) != 0 && p->sent < p->to_send)
		put(p);
	if ((ready & (PFK_READ | PFK_FAULT)) != 0 && p->got < p->stop_at &&
	    !p->ended)
		get(p);
	watch(p);
}

void
pump_open(struct pump *p, struct pfk_loop *l, int fd)
{
	*p = (struct pump){.fd = fd, .stop_at = SIZE_MAX, .source = p};
	p->io = pfk_io_add(l, fd, PFK_READ, on_ready, p);
}

void
pump_close(struct pump *p)
{
	pfk_io_cancel(&p->io);
	if (p->fd != -1)
		close(p->fd);
	p->fd = -1;
}

void
pump_reset(struct pump *p)
{
	struct linger now = {.l_onoff = 1};

	setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	pump_close(p);
}

void
pump_send(struct pump *p, size_t n)
{
	p->to_send += n;
	p->sent_all = 0;
	watch(p);
}

void
pump_send_urgent(struct pump *p)
{
	char byte = byte_at(p->sent);

	p->marks[p->n_marks++] = p->sent++;
	p->to_send++;
	if (send(p->fd, &byte, 1, MSG_OOB | MSG_NOSIGNAL) != 1)
		p->wrong++;
}

void
pump_enough(struct pump *p)
{
	p->to_send = p->sent;
	watch(p);
}

void
pump_stop(struct pump *p)
{
	p->stop_at = p->got;
	watch(p);
}

void
pump_go_on(struct pump *p)
{
	p->stop_at = SIZE_MAX;
	watch(p);
}

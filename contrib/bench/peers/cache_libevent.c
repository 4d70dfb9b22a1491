/*
 * cache_libevent.c: get and set of memcached's text protocol on libevent's
 * bufferevents, as its book writes a server: one thread, no limit, no eviction.
 *
 * The part that is compared with contrib/examples/cache.c is the connection's, from
 * "the connection" on; the table is the least that answers.
 */
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BUCKETS 65536
#define KEY 250

struct item {
	struct item *next;
	size_t len;
	unsigned flags;
	char key[KEY + 1];
	char *value;
};

static struct item *table[BUCKETS];
static struct event_base *base;

static struct item *
find(const char *key, int make)
{
	unsigned h = 2166136261u;
	struct item **i, *made;

	for (const char *s = key; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	for (i = &table[h % BUCKETS]; *i != NULL; i = &(*i)->next) {
		if (strcmp((*i)->key, key) == 0)
			return *i;
	}
	if (!make)
		return NULL;
	*i = made = calloc(1, sizeof(*made));
	if (made != NULL)
		strcpy(made->key, key);
	return made;
}

/* the connection */

struct client {
	struct item *waiting; /* for a value of len bytes */
	size_t len;
};

static void
answer(struct evbuffer *out, char *line, struct client *c)
{
	char key[KEY + 1];
	unsigned flags;
	size_t len;
	struct item *i;

	if (sscanf(line, "set %250s %u %*d %zu", key, &flags, &len) == 3 &&
	    len <= 1048576 && (i = find(key, 1)) != NULL) {
		i->flags = flags;
		c->waiting = i;
		c->len = len;
	} else if (sscanf(line, "get %250s", key) == 1) {
		i = find(key, 0);
		if (i != NULL) {
			evbuffer_add_printf(out, "VALUE %s %u %zu\r\n", i->key,
			    i->flags, i->len);
			evbuffer_add(out, i->value, i->len);
			evbuffer_add(out, "\r\n", 2);
		}
		evbuffer_add(out, "END\r\n", 5);
	} else {
		evbuffer_add(out, "ERROR\r\n", 7);
	}
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	struct evbuffer *out = bufferevent_get_output(bev);
	struct client *c = arg;
	char *line;

	for (;;) {
		struct item *i = c->waiting;

		if (i != NULL) {
			if (evbuffer_get_length(in) < c->len + 2)
				return;
			free(i->value);
			i->value = malloc(c->len);
			i->len = c->len;
			evbuffer_remove(in, i->value, c->len);
			evbuffer_drain(in, 2);
			evbuffer_add(out, "STORED\r\n", 8);
			c->waiting = NULL;
		}
		line = evbuffer_readln(in, NULL, EVBUFFER_EOL_CRLF);
		if (line == NULL)
			return;
		answer(out, line, c);
		free(line);
	}
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0) {
		bufferevent_free(bev);
		free(arg);
	}
}

static void
on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *from,
    int len, void *arg)
{
	struct bufferevent *bev = bufferevent_socket_new(base, fd,
	    BEV_OPT_CLOSE_ON_FREE);
	int on = 1;

	(void)l;
	(void)from;
	(void)len;
	(void)arg;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	bufferevent_setcb(bev, on_read, NULL, on_event,
	    calloc(1, sizeof(struct client)));
	bufferevent_enable(bev, EV_READ | EV_WRITE);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	    .sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0))};

	signal(SIGPIPE, SIG_IGN);
	base = event_base_new();
	if (evconnlistener_new_bind(base, on_accept, NULL,
		LEV_OPT_CLOSE_ON_FREE, 4096, (struct sockaddr *)&a,
		sizeof(a)) == NULL)
		return 1;
	return event_base_dispatch(base);
}

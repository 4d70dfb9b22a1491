/*
 * chat_libevent.c [PORT]: the chat room of contrib/examples/chat.c on libevent's
 * bufferevents, as its book writes a server.  If it is killed, all clients and the
 * room's last lines are gone.
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
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE 120 /* longer ones are cut */
#define KEPT 16

struct client {
	LIST_ENTRY(client) link;
	struct bufferevent *bev;
	size_t len;
	char text[LINE];
};

static LIST_HEAD(, client) clients = LIST_HEAD_INITIALIZER(clients);
static unsigned long said;
static char lines[KEPT][LINE + 24];

static void
say(const struct client *from)
{
	char *line = lines[said % KEPT];
	struct client *c;

	snprintf(line, LINE + 24, "%lu %.*s\n", ++said, (int)from->len,
	    from->text);
	LIST_FOREACH(c, &clients, link)
		bufferevent_write(c->bev, line, strlen(line));
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	struct client *c = arg;
	char buf[4096];
	size_t len;

	while ((len = bufferevent_read(bev, buf, sizeof(buf))) > 0) {
		for (const char *s = buf; len > 0; s++, len--) {
			if (*s == '\n') {
				say(c);
				c->len = 0;
			} else if (c->len < LINE) {
				c->text[c->len++] = *s;
			}
		}
	}
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct client *c = arg;

	if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) == 0)
		return;
	LIST_REMOVE(c, link);
	bufferevent_free(bev);
	free(c);
}

static void
on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *from,
    int len, void *arg)
{
	struct client *c = calloc(1, sizeof(*c));
	unsigned long i = said > KEPT ? said - KEPT : 0;
	int on = 1;

	(void)from;
	(void)len;
	(void)arg;
	if (c != NULL)
		c->bev = bufferevent_socket_new(evconnlistener_get_base(l), fd,
		    BEV_OPT_CLOSE_ON_FREE);
	if (c == NULL || c->bev == NULL) {
		free(c);
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	bufferevent_setcb(c->bev, on_read, NULL, on_event, c);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	LIST_INSERT_HEAD(&clients, c, link);
	for (; i < said; i++)
		bufferevent_write(c->bev, lines[i % KEPT],
		    strlen(lines[i % KEPT]));
}

int
main(int argc, char **argv)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	    .sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 7000))};
	struct event_base *base = event_base_new();

	signal(SIGPIPE, SIG_IGN);
	if (base == NULL ||
	    evconnlistener_new_bind(base, on_accept, NULL,
		LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 4096,
		(struct sockaddr *)&a, sizeof(a)) == NULL)
		return 1;
	return event_base_dispatch(base);
}

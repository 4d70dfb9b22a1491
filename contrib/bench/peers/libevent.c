/* libevent.c: an echo server of bufferevents, as libevent's book writes it;
 * for UDP, of which bufferevents know nothing, a bare event. */
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static struct event_base *base;

static void
on_read(struct bufferevent *bev, void *arg)
{
	(void)arg;
	evbuffer_add_buffer(bufferevent_get_output(bev),
	    bufferevent_get_input(bev));
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)arg;
	if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0)
		bufferevent_free(bev);
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
	bufferevent_setcb(bev, on_read, NULL, on_event, NULL);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
}

static void
on_datagram(evutil_socket_t fd, short what, void *arg)
{
	static char buf[65536];
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from,
	    &len);

	(void)what;
	(void)arg;
	if (n >= 0)
		sendto(fd, buf, (size_t)n, 0, (struct sockaddr *)&from, len);
}

int
main(int argc, char *argv[])
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);
	evutil_socket_t fd;

	base = event_base_new();
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (argc > 1 && strcmp(argv[1], "udp") == 0) {
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		bind(fd, (struct sockaddr *)&a, len);
		event_add(event_new(base, fd, EV_READ | EV_PERSIST, on_datagram,
			      NULL),
		    NULL);
	} else {
		fd = evconnlistener_get_fd(evconnlistener_new_bind(base,
		    on_accept, NULL, LEV_OPT_CLOSE_ON_FREE, 4096,
		    (struct sockaddr *)&a, (int)len));
	}
	getsockname(fd, (struct sockaddr *)&a, &len);
	printf("ready %d\n", ntohs(a.sin_port));
	fflush(stdout);
	return event_base_dispatch(base);
}

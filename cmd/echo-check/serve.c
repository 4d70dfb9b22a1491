/*
 * serve.c: GET /metrics, and no more of HTTP.
 *
 * A request is read as far as its first line needs.  A connection has a second for
 * it and ten for the answer; the library limits their number.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "probe.h"

#define PORT 9489
#define ADDRESSES_MAX 8
#define REQUEST_MAX 4096
#define REQUEST_NS PFK_SECOND_NS
#define ANSWER_NS (10 * PFK_SECOND_NS)

static struct {
	struct pfk_loop *loop;
	struct targets *targets;
	struct pfk_server *servers[ADDRESSES_MAX];
	int n;
} serve;

struct client {
	struct pfk_transport *tr;
	struct pfk_timer *deadline;
	size_t len;
	bool answered;
	char request[REQUEST_MAX + 1];
};

static void
on_deadline(void *arg)
{
	struct client *c = arg;

	pfk_abort(c->tr);
}

static void *
client_made(struct pfk_transport *tr, void *arg)
{
	struct client *c = calloc(1, sizeof(*c));

	(void)arg;
	if (c == NULL)
		return NULL;
	c->tr = tr;
	if (pfk_timer_set(&c->deadline, serve.loop, REQUEST_NS, on_deadline,
		c) == 0)
		return c;
	free(c);
	return NULL;
}

static void
answer(struct client *c, const char *status, const char *type, const char *text,
    size_t len)
{
	char head[256];
	int n = snprintf(head, sizeof(head),
	    "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
	    "Connection: close\r\nCache-Control: no-store\r\n\r\n",
	    status, type, len);

	c->answered = true;
	pfk_timer_set(&c->deadline, serve.loop, ANSWER_NS, on_deadline, c);
	pfk_write(c->tr, head, (size_t)n);
	pfk_write(c->tr, text, len);
	pfk_close(c->tr);
}

static void
refuse(struct client *c, const char *status)
{
	static const char text[] = "here is /metrics, for GET\n";

	answer(c, status, "text/plain", text, strlen(text));
}

static void
answer_metrics(struct client *c)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (f != NULL)
		probe_print(f, serve.targets);
	if (f == NULL || fclose(f) != 0)
		pfk_abort(c->tr);
	else
		answer(c, "200 OK", "text/plain; version=0.0.4", text, len);
	free(text);
}

static void
client_received(void *self, const void *buf, size_t len)
{
	struct client *c = self;

	if (c->answered)
		return;
	if (len > REQUEST_MAX - c->len) {
		refuse(c, "431 Request Header Fields Too Large");
		return;
	}
	memcpy(c->request + c->len, buf, len);
	c->len += len;
	if (strstr(c->request, "\r\n\r\n") == NULL)
		return;
	if (strncmp(c->request, "GET ", 4) != 0)
		refuse(c, "405 Method Not Allowed");
	else if (strncmp(c->request, "GET /metrics ", 13) != 0)
		refuse(c, "404 Not Found");
	else
		answer_metrics(c);
}

static void
client_lost(void *self, int error)
{
	struct client *c = self;

	(void)error;
	pfk_timer_cancel(&c->deadline);
	free(c);
}

/* opening */

static int
listen_at(const struct pfk_addr *a)
{
	int on = 1, error;
	int fd = socket(a->sa.sa_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd == -1)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a->sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, &a->sa, a->len) == 0 && listen(fd, SOMAXCONN) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static int
open_one(struct pfk_addr *a)
{
	static const struct pfk_protocol protocol =
	    {.connection_made = client_made,
		.data_received = client_received,
		.connection_lost = client_lost};
	char text[PFK_ADDR_SIZE];
	int fd = listen_at(a);

	if (fd == -1 && (errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT))
		return 0;
	if (fd != -1)
		serve.servers[serve.n] = pfk_serve(serve.loop, fd, &protocol,
		    NULL, NULL);
	if (fd == -1 || serve.servers[serve.n] == NULL) {
		pfk_complain("cannot serve %s: %s", pfk_addr_format(text, a),
		    strerror(errno));
		if (fd != -1)
			close(fd);
		return -1;
	}
	serve.n++;
	a->len = sizeof(a->in6);
	if (getsockname(fd, &a->sa, &a->len) == -1) {
		pfk_complain("cannot tell the port of a socket: %s",
		    strerror(errno));
		return -1;
	}
	fprintf(stderr, "serving on http://%s/metrics\n",
	    pfk_addr_format(text, a));
	return 0;
}

int
serve_open(struct pfk_loop *l, const char *where, struct targets *t)
{
	const struct pfk_limits limits = {.max_connections = 64,
	    .max_per_source = 24};
	struct pfk_addr addrs[ADDRESSES_MAX];
	char host[PFK_HOST_SIZE];
	const char *errstr;
	uint16_t port = PORT;
	int n = -1;

	serve.loop = l;
	serve.targets = t;
	if (pfk_host_split(where, host, &port, &errstr) == 0)
		n = pfk_resolve(strcmp(host, "*") == 0 ? "0.0.0.0" : host, port,
		    AF_UNSPEC, 30 * PFK_SECOND_NS, addrs, ADDRESSES_MAX,
		    &errstr);
	if (n == -1) {
		pfk_complain("--serve '%s': %s", where, errstr);
		return -1;
	}
	if (pfk_loop_limit(l, &limits) == -1) {
		pfk_complain("cannot limit the connections: %s",
		    strerror(errno));
		return -1;
	}
	for (int i = 0; i < n; i++) {
		if (i > 0 && pfk_addr_port(&addrs[i]) == 0)
			addrs[i].in4.sin_port = addrs[0].in4.sin_port;
		if (open_one(&addrs[i]) == -1)
			return -1;
	}
	if (serve.n > 0)
		return 0;
	pfk_complain("--serve '%s': this machine has no such address", where);
	return -1;
}

void
serve_close(void)
{
	for (int i = 0; i < serve.n; i++)
		pfk_server_close(&serve.servers[i]);
}

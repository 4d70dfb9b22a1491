/* libuv.c: an echo server as libuv's guide writes it, and its twin for UDP. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct write {
	uv_write_t req;
	uv_buf_t buf;
};

struct answer {
	uv_udp_send_t req;
	uv_buf_t buf;
};

static uv_loop_t *loop;

static void
alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	(void)h;
	*buf = uv_buf_init(malloc(suggested), (unsigned)suggested);
}

static void
on_closed(uv_handle_t *h)
{
	free(h);
}

static void
on_written(uv_write_t *req, int status)
{
	struct write *w = (struct write *)req;

	(void)status;
	free(w->buf.base);
	free(w);
}

static void
on_read(uv_stream_t *client, ssize_t n, const uv_buf_t *buf)
{
	struct write *w;

	if (n <= 0) {
		free(buf->base);
		if (n < 0)
			uv_close((uv_handle_t *)client, on_closed);
		return;
	}
	w = malloc(sizeof(*w));
	w->buf = uv_buf_init(buf->base, (unsigned)n);
	uv_write(&w->req, client, &w->buf, 1, on_written);
}

static void
on_connection(uv_stream_t *server, int status)
{
	uv_tcp_t *client = malloc(sizeof(*client));

	uv_tcp_init(loop, client);
	if (status < 0 || uv_accept(server, (uv_stream_t *)client) != 0) {
		uv_close((uv_handle_t *)client, on_closed);
		return;
	}
	uv_tcp_nodelay(client, 1);
	uv_read_start((uv_stream_t *)client, alloc, on_read);
}

static void
on_sent(uv_udp_send_t *req, int status)
{
	struct answer *a = (struct answer *)req;

	(void)status;
	free(a->buf.base);
	free(a);
}

static void
on_datagram(uv_udp_t *h, ssize_t n, const uv_buf_t *buf,
    const struct sockaddr *from, unsigned flags)
{
	struct answer *a;

	(void)flags;
	if (n < 0 || from == NULL) {
		free(buf->base);
		return;
	}
	a = malloc(sizeof(*a));
	a->buf = uv_buf_init(buf->base, (unsigned)n);
	uv_udp_send(&a->req, h, &a->buf, 1, from, on_sent);
}

static void
ready(const struct sockaddr_storage *a)
{
	printf("ready %d\n", ntohs(((const struct sockaddr_in *)a)->sin_port));
	fflush(stdout);
}

int
main(int argc, char *argv[])
{
	struct sockaddr_storage a;
	int len = sizeof(a);
	uv_tcp_t tcp;
	uv_udp_t udp;

	loop = uv_default_loop();
	uv_ip4_addr("127.0.0.1", 0, (struct sockaddr_in *)&a);
	if (argc > 1 && strcmp(argv[1], "udp") == 0) {
		uv_udp_init(loop, &udp);
		uv_udp_bind(&udp, (struct sockaddr *)&a, 0);
		uv_udp_getsockname(&udp, (struct sockaddr *)&a, &len);
		uv_udp_recv_start(&udp, alloc, on_datagram);
	} else {
		uv_tcp_init(loop, &tcp);
		uv_tcp_bind(&tcp, (struct sockaddr *)&a, 0);
		uv_listen((uv_stream_t *)&tcp, 4096, on_connection);
		uv_tcp_getsockname(&tcp, (struct sockaddr *)&a, &len);
	}
	ready(&a);
	return uv_run(loop, UV_RUN_DEFAULT);
}

/*
 * uring.c: an echo server on io_uring: multishot accept and receive, buffers
 * from a ring that the kernel picks from, one system call a turn.  It shows the
 * gain of a back-end for it before one is written.
 */
#include <arpa/inet.h>
#include <err.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ENTRIES 4096
#define GROUP 1

enum what { ACCEPT, RECEIVE, SEND, DATAGRAM, ANSWER };

struct answer {
	struct msghdr m;
	struct iovec iov;
};

static struct io_uring ring;
static struct io_uring_buf_ring *buffers;
static unsigned n_buffers, buffer_bytes;
static char *space;
static struct answer *answers;
static struct msghdr received = {.msg_namelen = sizeof(struct sockaddr_in)};

/* An operation's kind, buffer and descriptor, all in its user data. */
static uint64_t
tag(enum what what, unsigned buffer, int fd)
{
	return (uint64_t)what << 56 | (uint64_t)buffer << 32 | (unsigned)fd;
}

static char *
buffer(unsigned i)
{
	return space + (size_t)i * buffer_bytes;
}

static struct io_uring_sqe *
next(void)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	if (sqe == NULL) {
		io_uring_submit(&ring);
		sqe = io_uring_get_sqe(&ring);
	}
	if (sqe == NULL)
		errx(1, "the submission queue is full");
	return sqe;
}

static void
give_back(unsigned i)
{
	io_uring_buf_ring_add(buffers, buffer(i), buffer_bytes,
	    (unsigned short)i, io_uring_buf_ring_mask(n_buffers), 0);
	io_uring_buf_ring_advance(buffers, 1);
}

static void
accept_many(int fd)
{
	struct io_uring_sqe *sqe = next();

	io_uring_prep_multishot_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
	io_uring_sqe_set_data64(sqe, tag(ACCEPT, 0, fd));
}

static void
receive_many(enum what what, int fd)
{
	struct io_uring_sqe *sqe = next();

	if (what == RECEIVE)
		io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
	else
		io_uring_prep_recvmsg_multishot(sqe, fd, &received, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP;
	io_uring_sqe_set_data64(sqe, tag(what, 0, fd));
}

static void
on_received(const struct io_uring_cqe *cqe, int fd)
{
	unsigned i = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
	struct io_uring_sqe *sqe;

	if (cqe->res > 0) {
		sqe = next();
		io_uring_prep_send(sqe, fd, buffer(i), (size_t)cqe->res,
		    MSG_WAITALL | MSG_NOSIGNAL);
		io_uring_sqe_set_data64(sqe, tag(SEND, i, fd));
	} else if (cqe->res != -ENOBUFS) {
		close(fd);
		return;
	}
	if ((cqe->flags & IORING_CQE_F_MORE) == 0)
		receive_many(RECEIVE, fd);
}

static void
on_datagram(const struct io_uring_cqe *cqe, int fd)
{
	unsigned i = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
	struct answer *a = &answers[i];
	struct io_uring_recvmsg_out *in;
	struct io_uring_sqe *sqe;

	if (cqe->res > 0) {
		in = io_uring_recvmsg_validate(buffer(i), cqe->res, &received);
		a->iov.iov_base = io_uring_recvmsg_payload(in, &received);
		a->iov.iov_len = io_uring_recvmsg_payload_length(in, cqe->res,
		    &received);
		a->m.msg_name = io_uring_recvmsg_name(in);
		a->m.msg_namelen = in->namelen;
		a->m.msg_iov = &a->iov;
		a->m.msg_iovlen = 1;
		sqe = next();
		io_uring_prep_sendmsg(sqe, fd, &a->m, 0);
		io_uring_sqe_set_data64(sqe, tag(ANSWER, i, fd));
	}
	if ((cqe->flags & IORING_CQE_F_MORE) == 0)
		receive_many(DATAGRAM, fd);
}

static void
on_accepted(const struct io_uring_cqe *cqe, int fd)
{
	if (cqe->res >= 0)
		receive_many(RECEIVE, cqe->res);
	if ((cqe->flags & IORING_CQE_F_MORE) == 0)
		accept_many(fd);
}

static void
serve(void)
{
	struct io_uring_cqe *cqe;
	unsigned head, n = 0;

	io_uring_submit_and_wait(&ring, 1);
	io_uring_for_each_cqe(&ring, head, cqe)
	{
		int fd = (int)(uint32_t)cqe->user_data;

		switch (cqe->user_data >> 56) {
		case ACCEPT:
			on_accepted(cqe, fd);
			break;
		case RECEIVE:
			on_received(cqe, fd);
			break;
		case DATAGRAM:
			on_datagram(cqe, fd);
			break;
		default:
			give_back((unsigned)(cqe->user_data >> 32) & 0xffffff);
		}
		n++;
	}
	io_uring_cq_advance(&ring, n);
}

static void
set_up(int udp)
{
	struct io_uring_params p = {.cq_entries = 4 * ENTRIES,
	    .flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER |
		IORING_SETUP_DEFER_TASKRUN};
	struct io_uring_buf_reg reg = {.bgid = GROUP};

	n_buffers = udp ? 4096 : 1024;
	buffer_bytes = udp ? 2048 : 65536;
	if (io_uring_queue_init_params(ENTRIES, &ring, &p) != 0)
		errx(1, "no io_uring here");
	reg.ring_entries = n_buffers;
	if (posix_memalign((void **)&buffers, 4096,
		n_buffers * sizeof(struct io_uring_buf)) != 0 ||
	    (space = malloc((size_t)n_buffers * buffer_bytes)) == NULL ||
	    (answers = calloc(n_buffers, sizeof(*answers))) == NULL)
		err(1, "malloc");
	reg.ring_addr = (uintptr_t)buffers;
	if (io_uring_register_buf_ring(&ring, &reg, 0) != 0)
		errx(1, "no buffer rings here");
	io_uring_buf_ring_init(buffers);
	for (unsigned i = 0; i < n_buffers; i++)
		give_back(i);
}

int
main(int argc, char *argv[])
{
	int udp = argc > 1 && strcmp(argv[1], "udp") == 0, on = 1;
	int fd = socket(AF_INET, udp ? SOCK_DGRAM : SOCK_STREAM, 0);
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	set_up(udp);
	if (!udp)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&a, len) == -1 ||
	    (!udp && listen(fd, 4096) == -1))
		err(1, "bind");
	getsockname(fd, (struct sockaddr *)&a, &len);
	printf("ready %d\n", ntohs(a.sin_port));
	fflush(stdout);
	if (udp)
		receive_many(DATAGRAM, fd);
	else
		accept_many(fd);
	for (;;)
		serve();
}

/*
 * udp_unix.c: datagrams of AF_UNIX: the names of their senders, and answers.
 *
 * Layer: transport.  unix(7).  A name is longer than struct pfk_addr, so that it
 * stays in the batch, and the program has a pointer to it for as long as the
 * datagram; or it keeps the path.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/misuse.h"
#include "base/received.h"
#include "net/addr.h"
#include "transport/udp.h"

static_assert(offsetof(union pfk__sender, addr.sa) ==
	offsetof(union pfk__sender, local.un),
    "the kernel writes both there");

/*
 * Room for the identity alone: the kernel drops descriptors that were sent.  But
 * another process that has the socket may have turned the identity off, and then a few
 * descriptors have the room.
 */
void
pfk__udp_unix_prepare(struct pfk__batch *b)
{
	for (unsigned i = 0; i < PFK__BATCH; i++)
		b->in[i].msg_hdr.msg_controllen = CMSG_SPACE(
		    sizeof(struct ucred));
}

/* The name in the form of pfk_unix_connect. */
static void
write_path(char *dst, const struct sockaddr_un *un, socklen_t len)
{
	size_t n = len - offsetof(struct sockaddr_un, sun_path);

	if (n > sizeof(un->sun_path))
		n = sizeof(un->sun_path);
	memcpy(dst, un->sun_path, n);
	dst[n] = '\0';
	if (dst[0] == '\0')
		dst[0] = '@';
}

bool
pfk__udp_unix_meet(struct pfk_datagram *d, struct pfk__batch *b, unsigned i,
    struct pfk_packet *p, struct pfk__origin *o)
{
	struct msghdr *h = &b->in[i].msg_hdr;
	union pfk__sender *s = &b->senders[i];

	*o = (struct pfk__origin){.cred = {.uid = (uid_t)-1, .gid = (gid_t)-1}};
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(h); cm != NULL;
	     cm = CMSG_NXTHDR(h, cm)) {
		if (cm->cmsg_level == SOL_SOCKET &&
		    cm->cmsg_type == SCM_CREDENTIALS)
			memcpy(&o->cred, CMSG_DATA(cm), sizeof(o->cred));
		else
			pfk__close_sent(cm);
	}
	if (h->msg_namelen > offsetof(struct sockaddr_un, sun_path)) {
		s->local.len = h->msg_namelen;
		write_path(o->path, &s->local.un, h->msg_namelen);
	} else {
		s->local.len = sizeof(sa_family_t);
		s->local.un.sun_family = AF_UNIX;
	}
	p->path = o->path;
	p->cred = &o->cred;
	if ((h->msg_flags & MSG_TRUNC) == 0)
		return true;
	d->io.loop->stats->counts[PFK__COUNT_DROPPED_ERROR]++;
	pfk__udp_report(d, EMSGSIZE);
	return false;
}

int
pfk__udp_unix_find(const struct pfk_datagram *d, const struct pfk_addr *to)
{
	const struct pfk__batch *b = d->io.loop->batch;
	uintptr_t at = (uintptr_t)to - (uintptr_t)b->senders;

	if (b->reader != d || at >= sizeof(b->senders) ||
	    at % sizeof(b->senders[0]) != 0)
		return pfk__misuse(EINVAL,
		    "pfk_sendto: a sender of AF_UNIX is answered while its "
		    "datagram is handled, or by pfk_unix_sendto");
	at /= sizeof(b->senders[0]);
	if (b->senders[at].local.len > sizeof(sa_family_t))
		return (int)at;
	errno = EDESTADDRREQ;
	return -1;
}

int
pfk_unix_sendto(struct pfk_datagram *d, const void *buf, size_t len,
    const char *path)
{
	struct iovec iov = {(void *)(uintptr_t)buf, len};
	struct sockaddr_un un;
	struct msghdr h = {.msg_name = &un, .msg_iov = &iov, .msg_iovlen = 1};

	if (pfk__need_length("pfk_unix_sendto", len) == -1 ||
	    pfk__unix_name(&un, &h.msg_namelen, path) == -1)
		return -1;
	if (!d->is_unix) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	if (d->closed)
		return 0;
	/* Earlier datagrams first. */
	pfk__udp_send_flush(d);
	pfk__udp_send_one(d, &h);
	return 0;
}

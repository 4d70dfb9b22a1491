/*
 * steer.c: choose the members of a SO_REUSEPORT group that get new clients.
 *
 * Layer: net.  A classic BPF program returns the member's index.  For TCP any
 * will do; a datagram's follows from its sender, as the kernel's own hash.
 */
#include "net/steer.h"

#include <linux/filter.h>

#ifndef SO_DETACH_REUSEPORT_BPF
#define SO_DETACH_REUSEPORT_BPF 68
#endif

/* Where the IP header has the sender's address, and UDP's its port. */
#define IP4_SOURCE 12
#define IP4_PORT 20
#define IP6_SOURCE 20 /* its last word */
#define IP6_PORT 40

static int
attach(int fd, struct sock_filter *code, unsigned short len)
{
	struct sock_fprog prog = {.len = len, .filter = code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &prog,
	    sizeof(prog));
}

static int
steer_tcp(int fd, uint32_t n)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		(uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)),
	    BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, n),
	    BPF_STMT(BPF_RET | BPF_A, 0),
	};

	return attach(fd, code, sizeof(code) / sizeof(code[0]));
}

static int
steer_udp(int fd, int family, uint32_t n)
{
	bool v6 = family == AF_INET6;
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		(uint32_t)(SKF_NET_OFF + (v6 ? IP6_SOURCE : IP4_SOURCE))),
	    BPF_STMT(BPF_MISC | BPF_TAX, 0),
	    BPF_STMT(BPF_LD | BPF_H | BPF_ABS,
		(uint32_t)(SKF_NET_OFF + (v6 ? IP6_PORT : IP4_PORT))),
	    BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
	    /* Knuth's multiplicative hash; its high bits are the good ones. */
	    BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, UINT32_C(2654435761)),
	    BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 12),
	    BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, n),
	    BPF_STMT(BPF_RET | BPF_A, 0),
	};

	return attach(fd, code, sizeof(code) / sizeof(code[0]));
}

int
pfk__steer(int fd, enum pfk_kind kind, int family, uint32_t n)
{
	return kind == PFK_TCP ? steer_tcp(fd, n) : steer_udp(fd, family, n);
}

int
pfk__unsteer(int fd)
{
	int none = 0;

	return setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &none,
	    sizeof(none));
}

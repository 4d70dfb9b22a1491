/*
 * udptime [-b ADDR] [-p PORT]: the time by UDP (RFC 868), as four bytes of seconds
 * since 1900, from a worker on each CPU.  There is no back-pressure to heed: a
 * datagram that the kernel does not take is dropped, and counted.
 */
#include <arpa/inet.h>
#include <prefork.h>
#include <stdlib.h>
#include <time.h>

#define SECONDS_TO_1970 UINT32_C(2208988800)

static unsigned answered, failed;

static void
datagram_received(void *self, const struct pfk_packet *p)
{
	/* Four bytes, so it begins anew in 2036. */
	uint32_t answer = htonl((uint32_t)time(NULL) + SECONDS_TO_1970);

	/* No answer to services: two of this kind would go on for ever. */
	if (!p->unicast || pfk_addr_port(p->from) < 1024)
		return;
	pfk_sendto(self, &answer, sizeof(answer), p->from, p->to);
	answered++;
}

/* Such as no way back to the client. */
static void
error_received(void *self, int error)
{
	(void)self;
	(void)error;
	failed++;
}

static const struct pfk_datagram_protocol protocol = {
    .datagram_received = datagram_received,
    .error_received = error_received,
};

static void
worker_exit(struct pfk_worker *w, const struct pfk_setup *setup)
{
	(void)setup;
	pfk_log(PFK_INFO, "slot %d: %u answered, %u failed", pfk_worker_slot(w),
	    answered, failed);
}

int
main(int argc, char **argv)
{
	static const struct pfk_service services[] = {{.udp = &protocol}, {0}};
	static const struct pfk_program program = {.services = services,
	    .port = 37,
	    .worker_exit = worker_exit};

	return pfk_main(&program, argc, argv);
}

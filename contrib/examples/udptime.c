/*
 * udptime [ADDR [PORT]]: the time by UDP (RFC 868), as four bytes of seconds
 * since 1900, from a worker on each CPU.  There is no back-pressure to heed: a
 * datagram that the kernel does not take is dropped, and counted.
 */
#include <arpa/inet.h>
#include <prefork.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

#define SECONDS_TO_1970 UINT32_C(2208988800)

static struct pfk_datagram *endpoint;
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

static int
worker_init(struct pfk_worker *w, void *arg)
{
	int fd;

	if (pfk_worker_listen(w, arg, 1, &fd) == -1)
		return -1;
	endpoint = pfk_datagram_open(pfk_worker_loop(w), fd, &protocol, NULL);
	return endpoint != NULL ? 0 : -1;
}

static void
worker_exit(struct pfk_worker *w, void *arg)
{
	(void)arg;
	pfk_log(PFK_INFO, "slot %d: %u answered, %u failed, %u dropped",
	    pfk_worker_slot(w), answered, failed,
	    (unsigned)pfk_datagram_dropped(endpoint));
}

int
main(int argc, char **argv)
{
	struct pfk_listen at = {.kind = PFK_UDP};
	struct pfk_master_config config = {.workers = pfk_cpus()};
	struct pfk_hooks hooks = {.worker_init = worker_init,
	    .worker_exit = worker_exit};

	if (pfk_addr_parse(&at.addr, argc > 1 ? argv[1] : "127.0.0.1",
		argc > 2 ? atoi(argv[2]) : 37) == -1)
		return EX_USAGE;
	return pfk_master_run(&config, &hooks, &at);
}

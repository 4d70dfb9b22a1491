/*
 * discard [ADDR PORT PORT]: discard (RFC 863), which reads and says nothing,
 * and daytime (RFC 867), which tells the time, each by TCP and by UDP.
 */
#include <prefork.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

struct pfk_server *servers[2];
struct pfk_datagram *endpoints[2];
static char text[80];

static size_t
write_time(void)
{
	time_t now = time(NULL);

	return strftime(text, sizeof(text), "%A, %B %d, %Y %T-%Z\r\n",
	    localtime(&now));
}

/* One line is so short that there is nothing to pause. */
static void *
connection_made(struct pfk_transport *tr, void *daytime)
{
	if (daytime != NULL) {
		pfk_write(tr, text, write_time());
		pfk_close(tr);
	}
	return tr;
}

/* No answer to services: two of this kind would go on for ever. */
static void
daytime_received(void *self, const struct pfk_packet *p)
{
	if (p->unicast && pfk_addr_port(p->from) > 1023)
		pfk_sendto(self, text, write_time(), p->from, p->to);
}

/*
 * The library discards received bytes when the protocol has no callback for
 * them.
 */
static const struct pfk_protocol tcp = {.connection_made = connection_made};
static const struct pfk_datagram_protocol udp[] = {{.connection_made = NULL},
    {.datagram_received = daytime_received}};

static int
worker_init(struct pfk_worker *w, void *arg)
{
	struct pfk_loop *l = pfk_worker_loop(w);
	int fds[4];

	if (pfk_worker_listen(w, arg, 4, fds) == -1)
		return -1;
	for (int i = 0; i < 2; i++) {
		servers[i] = pfk_serve(l, fds[i], &tcp, i ? text : NULL, NULL);
		endpoints[i] = pfk_datagram_open(l, fds[2 + i], &udp[i], NULL);
		if (servers[i] == NULL || endpoints[i] == NULL)
			return pfk_worker_fail(w, EX_OSERR, "cannot serve");
	}
	return 0;
}

int
main(int argc, char **argv)
{
	char *standard[] = {"discard", "127.0.0.1", "9", "13"};
	struct pfk_listen at[4] = {{.kind = PFK_TCP}};

	for (int i = 0; i < 4; i++) {
		char **arg = argc == 4 ? argv : standard;

		at[i].kind = i < 2 ? PFK_TCP : PFK_UDP;
		if (pfk_addr_parse(&at[i].addr, arg[1], atoi(arg[2 + i % 2])))
			return EX_USAGE;
	}
	return pfk_master_run(&(struct pfk_master_config){.workers = 2},
	    &(struct pfk_hooks){.worker_init = worker_init}, at);
}

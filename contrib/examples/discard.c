/*
 * discard [-b ADDR:PORT] [-b ADDR:PORT,daytime]: discard (RFC 863), which reads
 * and says nothing, and daytime (RFC 867), which tells the time, each by TCP and
 * by UDP.
 */
#include <prefork.h>
#include <time.h>

static char text[80];

static size_t
write_time(void)
{
	time_t now = time(NULL);

	return strftime(text, sizeof(text), "%A, %B %d, %Y %T-%Z\r\n",
	    localtime(&now));
}

static void *
nothing(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	return tr;
}

/* One line is so short that there is nothing to pause. */
static void *
tell_time(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	pfk_write(tr, text, write_time());
	pfk_close(tr);
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
static const struct pfk_protocol discard = {.connection_made = nothing},
				 daytime = {.connection_made = tell_time};
static const struct pfk_datagram_protocol udp[] = {{.connection_made = NULL},
    {.datagram_received = daytime_received}};

int
main(int argc, char **argv)
{
	static const struct pfk_service services[] = {
	    {.tcp = &discard, .udp = &udp[0]},
	    {"daytime", .tcp = &daytime, .udp = &udp[1]},
	    {0},
	};
	static const struct pfk_program program = {.services = services,
	    .port = 9};

	return pfk_main(&program, argc, argv);
}

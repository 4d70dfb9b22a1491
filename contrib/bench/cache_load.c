/*
 * cache_load.c: a load for a server with memcached's text protocol, on one CPU.
 *
 * 	cache_load PORT SECONDS CONNECTIONS DEPTH BYTES get|set
 *
 * Each connection sends DEPTH requests by one call, and the next ones when all their
 * answers have come. Prints the number of answers. Values are of BYTES bytes, under
 * 100 keys. An answer's length is known, and its end is looked at.
 */
#include <arpa/inet.h>
#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define KEYS 100
#define CHUNK 1048576

struct connection {
	int fd;
	unsigned next;   /* key */
	size_t expected; /* bytes of answers */
	char *request;
	size_t len, sent;
};

static char chunk[CHUNK], *value;
static size_t bytes, depth;
static bool sets;

static size_t
answer_bytes(void)
{
	return sets ? strlen("STORED\r\n")
		    : (size_t)snprintf(NULL, 0, "VALUE k00 0 %zu\r\n", bytes) +
		bytes + strlen("\r\nEND\r\n");
}

static size_t
put_request(char *p, unsigned key)
{
	size_t n;

	if (!sets)
		return (size_t)sprintf(p, "get k%02u\r\n", key % KEYS);
	n = (size_t)sprintf(p, "set k%02u 0 0 %zu\r\n", key % KEYS, bytes);
	memcpy(p + n, value, bytes);
	memcpy(p + n + bytes, "\r\n", 2);
	return n + bytes + 2;
}

static void
send_rest(struct connection *c)
{
	while (c->sent < c->len) {
		ssize_t n = send(c->fd, c->request + c->sent, c->len - c->sent,
		    MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n == -1)
			return;
		c->sent += (size_t)n;
	}
}

static void
ask(struct connection *c)
{
	c->len = c->sent = 0;
	for (size_t i = 0; i < depth; i++)
		c->len += put_request(c->request + c->len, c->next++);
	c->expected = depth * answer_bytes();
	send_rest(c);
}

static void
read_answers(struct connection *c)
{
	ssize_t n = recv(c->fd, chunk, sizeof(chunk), MSG_DONTWAIT);

	if (n == -1)
		return;
	if (n == 0 || (size_t)n > c->expected)
		errx(1, "the answers are not as long as they should be");
	c->expected -= (size_t)n;
	if (c->expected > 0)
		return;
	if (n < 2 || memcmp(chunk + n - 2, "\r\n", 2) != 0)
		errx(1, "an answer has another end");
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
open_connection(struct connection *c, int port, int poller)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET,
	    .data.ptr = c};

	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	c->request = malloc(depth * (bytes + 64));
	if (c->request == NULL || connect(c->fd, (void *)&a, sizeof(a)) == -1 ||
	    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &ev) == -1)
		err(1, "connect");
}

/* Store all keys, each when the one before it is there. */
static void
fill(struct connection *c)
{
	bool wanted = sets;
	size_t was = depth;

	sets = true;
	depth = 1;
	for (int i = 0; i < KEYS; i++) {
		ask(c);
		while (c->expected > 0) {
			send_rest(c);
			read_answers(c);
		}
	}
	sets = wanted;
	depth = was;
}

int
main(int argc, char **argv)
{
	struct epoll_event events[64];
	struct connection *list;
	unsigned long answers = 0;
	int poller = epoll_create1(0), count;
	double end;

	if (argc != 7)
		errx(64,
		    "usage: cache_load PORT SECONDS CONNECTIONS DEPTH BYTES "
		    "get|set");
	count = atoi(argv[3]);
	depth = (size_t)atol(argv[4]);
	bytes = (size_t)atol(argv[5]);
	sets = strcmp(argv[6], "set") == 0;
	value = malloc(bytes);
	list = calloc((size_t)count, sizeof(*list));
	if (value == NULL || list == NULL)
		err(1, "malloc");
	memset(value, 'v', bytes);
	for (int i = 0; i < count; i++)
		open_connection(&list[i], atoi(argv[1]), poller);
	fill(&list[0]);
	end = now() + atof(argv[2]);
	for (int i = 0; i < count; i++)
		ask(&list[i]);
	while (now() < end) {
		int n = epoll_wait(poller, events, 64, 100);

		for (int i = 0; i < n; i++) {
			struct connection *c = events[i].data.ptr;

			send_rest(c);
			/* Edges: until nothing is there. */
			for (size_t left = 0; left != c->expected;) {
				left = c->expected;
				read_answers(c);
			}
			if (c->expected == 0) {
				answers += depth;
				ask(c);
			}
		}
	}
	printf("%lu\n", answers);
	return 0;
}

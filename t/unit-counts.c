/*
 * counts.c: the kernel's counters of a connection with a peer that is busy
 * meanwhile.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/wait.h>
#include <unistd.h>

#include "transport/tcp.h"

#include "tap.h"
#include "unit.h"

#define ROUNDS 60
#define LOOKS 200
#define BYTES 60000

/* Send the received bytes back, in small pieces, until the end. */
static void
be_peer(int fd)
{
	static char buf[BYTES];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t at = 0; at < n; at += 100) {
			size_t left = (size_t)(n - at);

			if (write(fd, buf + at, left < 100 ? left : 100) == -1)
				_exit(1);
		}
	}
	_exit(0);
}

int
main(void)
{
	static char buf[BYTES];
	uint64_t received, sent, in = 0, out = 0, base_in, base_out;
	int listener, peer, fd, wrong = 0, on = 1;
	struct pfk_addr at;
	pid_t pid;

	listener = unit_listen(&at);
	peer = unit_connect(&at);
	fd = accept(listener, NULL, NULL);
	setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	pid = fork();
	if (pid == 0)
		be_peer(peer);
	close(peer);
	is_int(pfk__tcp_counts(fd, &base_in, &base_out), 0, "counted");
	for (int i = 0; i < ROUNDS; i++) {
		out += (uint64_t)unit_write(fd, buf, BYTES);
		for (int k = 0; k < LOOKS; k++) {
			if (pfk__tcp_counts(fd, &received, &sent) == -1)
				break;
			wrong += received - base_in != in ||
			    sent - base_out != out;
		}
		in += (uint64_t)unit_read(fd, buf, BYTES);
	}
	is_int(in, (uint64_t)ROUNDS * BYTES, "all came back");
	is_int(wrong, 0, "segments on their way change no count");
	close(fd);
	waitpid(pid, NULL, 0);
	return done_testing();
}

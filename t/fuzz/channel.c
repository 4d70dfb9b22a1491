/*
 * channel.c: packets to the master by the channel of a worker.
 */
#include "process/channel.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "linger.h"

/* Its first byte is the number of descriptors that come along. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int some[] = {0, 0, 0, 0, 0, 0, 0, 0};
	struct pfk__message m;
	int fds[2], rc, passed = -1;

	if (size < 1 || pfk__channel_pair(fds) == -1)
		return 0;
	linger_send(fds[0], data + 1, size - 1, some, data[0] % 8);
	close(fds[0]);
	do {
		rc = pfk__channel_receive(fds[1], &m, &passed);
		if (rc == 1 &&
		    (m.type == 0 ||
			strnlen(m.text, sizeof(m.text)) == sizeof(m.text)))
			abort();
		if (rc != 1 && passed != -1)
			abort();
		if (passed != -1)
			close(passed);
	} while (rc == 1);
	close(fds[1]);
	return 0;
}

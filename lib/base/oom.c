/*
 * oom.c: which process the kernel ends first when memory runs out.
 *
 * Layer: base.  proc(5).
 */
#include "base/oom.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_NAME "/proc/self/oom_score_adj"
/* In thousandths of the memory: half of it. */
#define MORE 500
#define MOST 1000
#define EXEMPT (-1000)

void
pfk__oom_go_first(void)
{
	char text[16];
	int fd = open(FILE_NAME, O_RDWR | O_CLOEXEC), len;
	long score;
	ssize_t n;

	if (fd == -1)
		return;
	n = read(fd, text, sizeof(text) - 1);
	if (n > 0) {
		text[n] = '\0';
		score = strtol(text, NULL, 10);
		if (score > EXEMPT) {
			score = score + MORE < MOST ? score + MORE : MOST;
			len = snprintf(text, sizeof(text), "%ld", score);
			n = pwrite(fd, text, (size_t)len, 0);
		}
	}
	(void)n;
	close(fd);
}

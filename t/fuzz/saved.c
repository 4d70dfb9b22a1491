/*
 * saved.c: the counters that the program before has saved for this one.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "master.h"
#include "process/report.h"

static void
report(const struct pfk__master *m)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (f == NULL)
		abort();
	pfk__report_metrics(f, m, false);
	fclose(f);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pfk__master *m = fuzz_master_new();
	int fd = memfd_create("counters", MFD_CLOEXEC), worker;

	if (fd == -1 || write(fd, data, size) != (ssize_t)size)
		abort();
	fuzz_child_new(m, &worker);
	pfk__history_load(m, fd);
	report(m);
	close(worker);
	fuzz_master_free(m);
	return 0;
}

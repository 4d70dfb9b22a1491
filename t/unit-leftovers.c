/*
 * Locks and control sockets that masters have left: those of services that are long
 * gone are removed; of those that live, may have orphans, or are not a master's,
 * nothing is.
 */
#include "process/leftovers.h"

#include <fcntl.h>
#include <inttypes.h>
#include <prefork.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "event/loop.h"
#include "process/instance.h"
#include "process/lock.h"
#include "tap.h"
#include "unit.h"

#define ORPHANS_S 5
/* A minute more than the time for orphans, and twice that. */
#define TOO_SOON_S 60
#define LONG_AGO_S 200
#define MANY 300

static char dir[] = "/tmp/unit-leftovers-XXXXXX";

static const char *
path_of(const char *name, const char *suffix)
{
	static char path[4][PFK_CONTROL_SIZE];
	static unsigned n;
	char *at = path[n++ % 4];

	snprintf(at, sizeof(path[0]), "%s/%s%s", dir, name, suffix);
	return at;
}

static bool
is_there(const char *name, const char *suffix)
{
	struct stat st;

	return lstat(path_of(name, suffix), &st) == 0;
}

static bool
are_there(const char *name)
{
	return is_there(name, ".lock") && is_there(name, ".sock");
}

static void
leave_file(const char *name, const char *suffix, const char *text)
{
	FILE *f = fopen(path_of(name, suffix), "w");

	if (f == NULL || fputs(text, f) == EOF || fclose(f) == EOF)
		skip_all("no files");
}

static int
bind_socket(const char *name)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s",
	    path_of(name, ".sock"));
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1)
		skip_all("no socket");
	return fd;
}

/* A socket at which nobody listens. */
static void
leave_socket(const char *name)
{
	close(bind_socket(name));
}

/* What a killed master leaves: it was found dead so long ago. */
static void
leave(const char *name, uint64_t ago_s)
{
	uint64_t now = pfk__clock_now() / PFK_SECOND_NS;
	char text[100];

	/* A time to come is one before the machine was started. */
	snprintf(text, sizeof(text), "1234\norphans %d\ndead %" PRIu64 "\n",
	    ORPHANS_S, now > ago_s ? now - ago_s : now + ago_s);
	leave_file(name, ".lock", text);
	leave_socket(name);
}

static const char *
text_of(const char *name)
{
	static char text[200];
	int fd = open(path_of(name, ".lock"), O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	close(fd);
	return text;
}

static void
test_gone(void)
{
	leave_file("new", ".lock", "1234\norphans 5\n");
	leave_socket("new");
	leave_file("old", ".lock", "1234\n");
	leave_socket("old");
	leave("soon", TOO_SOON_S);
	leave("gone", LONG_AGO_S);
	leave_file("alone", ".lock", "1234\norphans 5\n");
	pfk__leftovers_remove(dir);
	ok(are_there("new") &&
		strstr(text_of("new"), "orphans 5\ndead ") != NULL,
	    "one that is found dead is noted");
	ok(are_there("old") &&
		strstr(text_of("old"), "1234\norphans 86400\ndead ") != NULL,
	    "also of an older program");
	ok(are_there("soon"), "and stays while it may have orphans");
	ok(!is_there("gone", ".lock") && !is_there("gone", ".sock"),
	    "later it is removed");
	ok(!is_there("alone", ".lock"), "a lock without a socket at once");
	pfk__leftovers_remove(dir);
	ok(are_there("new") && are_there("old"), "noted once, not removed");
}

static void
test_before_boot(void)
{
	char text[100];

	snprintf(text, sizeof(text), "1234\norphans 5\ndead %" PRIu64 "\n",
	    pfk__clock_now() / PFK_SECOND_NS + 1000);
	leave_file("boot", ".lock", text);
	leave_socket("boot");
	pfk__leftovers_remove(dir);
	ok(!is_there("boot", ".sock"), "one before the machine was started");
}

static void
test_others(void)
{
	int served, lock;

	leave("held", LONG_AGO_S);
	lock = open(path_of("held", ".lock"), O_RDWR | O_CLOEXEC);
	flock(lock, LOCK_EX);
	leave("file", LONG_AGO_S);
	unlink(path_of("file", ".sock"));
	leave_file("file", ".sock", "precious");
	leave("served", LONG_AGO_S);
	unlink(path_of("served", ".sock"));
	served = bind_socket("served");
	listen(served, 1);
	leave("named", LONG_AGO_S);
	if (link(path_of("named", ".lock"), path_of("named", ".other")) == -1 ||
	    symlink(path_of("soon", ".lock"), path_of("linked", ".lock")) == -1)
		skip_all("no links");
	leave_socket("linked");
	leave_file("empty", ".lock", "");
	leave_file("foreign", ".lock", "precious");
	if (mkdir(path_of("directory", ".lock"), 0700) == -1)
		skip_all("no directory");
	pfk__leftovers_remove(dir);
	ok(are_there("held"), "not one that is locked");
	ok(are_there("file"), "nor one that is no socket");
	ok(are_there("served"), "nor one that is served");
	ok(are_there("named"), "nor one with a second name");
	ok(are_there("linked"), "nor by a link");
	ok(is_there("empty", ".lock"), "nor one that begins");
	is_str(text_of("foreign"), "precious", "nor any other file");
	ok(is_there("directory", ".lock"), "nor a directory");
	close(served);
	close(lock);
}

static void
test_other_user(void)
{
	leave("user", LONG_AGO_S);
	if (geteuid() != 0 ||
	    chown(path_of("user", ".lock"), 54321, (gid_t)-1) == -1) {
		skip(1, "only root has files of others");
		return;
	}
	pfk__leftovers_remove(dir);
	ok(are_there("user"), "nor another user's");
}

/* A master has its lock, and the time of its configuration stands there. */
static void
test_master(void)
{
	struct pfk_master_config config = {.control = path_of("live", ".sock"),
	    .orphan_ns = 30 * PFK_SECOND_NS};
	struct pfk__instance i;
	struct pfk_orphan o;
	char err[PFK_ERROR_SIZE], text[100];

	leave("live", TOO_SOON_S);
	is_int(pfk__instance_open(&i, &config, err), EX_OK, "a master starts");
	snprintf(text, sizeof(text), "%d\norphans 30\n", (int)getpid());
	is_str(text_of("live"), text, "writes pid and time");
	pfk__leftovers_remove(dir);
	ok(are_there("live"), "keeps both");
	pfk__instance_orphans(&i, PFK_SECOND_NS);
	is_str(text_of("live"), text, "a shorter time may come too late");
	pfk__instance_orphans(&i, 90 * PFK_SECOND_NS);
	ok(strstr(text_of("live"), "\norphans 90\n") != NULL,
	    "a longer counts");
	close(i.fd);
	close(i.lock_fd);
	is_int(pfk_orphans(path_of("live", ".sock"), &o, 1, err), 0,
	    "one looks for its orphans");
	ok(strstr(text_of("live"), "\norphans 90\n") != NULL,
	    "and leaves the time there");
	is_int(pfk__instance_open(&i, &config, err), EX_OK, "the next starts");
	pfk__instance_close(&i);
	ok(!is_there("live", ".lock"), "and ends");
}

static int
count_many(void)
{
	char name[20];
	int n = 0;

	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "many-%d", i);
		n += is_there(name, ".lock");
	}
	return n;
}

static void
test_many(void)
{
	char name[20];

	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "many-%d", i);
		leave(name, LONG_AGO_S);
	}
	pfk__leftovers_remove(dir);
	ok(count_many() >= MANY - PFK__LEFTOVERS_MAX, "so many at a time");
	ok(count_many() < MANY, "are removed");
	for (int i = 0; i < 100 && count_many() > 0; i++)
		pfk__leftovers_remove(dir);
	is_int(count_many(), 0, "and all of them in the end");
}

static void
clean(void)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	is_int(system(command), 0, "the test's own directory");
}

int
main(void)
{
	int before = unit_count_fds();

	if (mkdtemp(dir) == NULL)
		skip_all("no directory");
	test_gone();
	test_before_boot();
	test_others();
	test_other_user();
	test_master();
	test_many();
	clean();
	pfk__leftovers_remove(dir);
	is_int(unit_count_fds(), before, "no descriptor is left");
	return done_testing();
}

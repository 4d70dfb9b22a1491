/*
 * safe_open.c: which symbolic links are followed.
 */
#include "base/safe_open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tap.h"
#include "unit.h"

static int
opens(const char *path)
{
	int fd = pfk__safe_open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd == -1)
		return errno;
	close(fd);
	return 0;
}

static mode_t
mode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_mode & 0777 : 0;
}

static void
test_chmod(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX, .sun_path = "socket"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	is_int(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0, "a socket");
	is_int(pfk__safe_chmod("socket", 0666), 0, "gets its mode");
	is_int(mode_of("socket"), 0666, "by which all may connect");
	chmod("own/file", 0600);
	is_int(symlink("own/file", "instead"), 0, "a link in its place");
	ok(pfk__safe_chmod("instead", 0666) == -1 && errno == EPERM,
	    "is refused");
	ok(pfk__safe_chmod("own/file", 0666) == -1 && errno == EPERM,
	    "so is a file");
	is_int(mode_of("own/file"), 0600, "which keeps its mode");
	is_int(link("socket", "second"), 0, "a second name");
	ok(pfk__safe_chmod("second", 0600) == -1 && errno == EPERM,
	    "is refused, too");
	ok(pfk__safe_chmod("none", 0600) == -1 && errno == ENOENT, "none");
	close(fd);
}

int
main(void)
{
	char dir[] = "/tmp/unit-safe-XXXXXX", longer[5000];
	int before = unit_count_fds();

	if (mkdtemp(dir) == NULL || chdir(dir) == -1)
		skip_all("no temporary directory");
	mkdir("own", 0755);
	mkdir("others", 0755);
	chmod("others", 0777); /* with any umask */
	is_int(opens("own/file"), 0, "a file");
	is_int(opens("own//file"), 0, "with two slashes");
	is_int(opens("./others/../own/file"), 0, "with dots");
	is_int(symlink("own", "link"), 0, "a link in an own directory");
	is_int(opens("link/file"), 0, "is followed");
	is_int(symlink("../own", "others/link"), 0, "in one of others");
	ok(opens("others/link/file") != 0, "it is not");
	is_int(opens("others/file"), 0, "a file there");
	is_int(symlink("file", "own/last"), 0, "a link at the end");
	is_int(opens("own/last"), ELOOP, "is never followed");
	is_int(opens("none/file"), ENOENT, "no such directory");
	is_int(opens("own/file/x"), ENOTDIR, "a file is no directory");
	is_int(opens(""), ENOENT, "no name");
	is_int(opens("own/"), EISDIR, "a directory");
	is_int(opens("/"), EISDIR, "the root");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	is_int(opens(longer), ENAMETOOLONG, "a name that is too long");
	test_chmod();
	is_int(unit_count_fds(), before, "no descriptor is left");
	snprintf(longer, sizeof(longer), "rm -r %s", dir);
	is_int(system(longer), 0, "cleared up");
	return done_testing();
}

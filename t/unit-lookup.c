/*
 * resolve.c: the cause of a look-up that fails, in words and as errno.
 * getaddrinfo(3) passes through here, because each of its errors needs another
 * network.
 */
#include <errno.h>
#include <netdb.h>
#include <prefork.h>
#include <string.h>

#include "tap.h"

static int result, result_errno;

int
getaddrinfo(const char *name, const char *service, const struct addrinfo *req,
    struct addrinfo **pai)
{
	(void)name;
	(void)service;
	(void)req;
	*pai = NULL;
	errno = result_errno;
	return result;
}

static void
fails(int error, int system, int expected, const char *why)
{
	struct pfk_addr addr;
	const char *errstr = "";

	result = error;
	result_errno = system;
	errno = 0;
	is_int(pfk_resolve("name.test", 7, AF_UNSPEC, 10 * PFK_SECOND_NS, &addr,
		   1, &errstr),
	    -1, "%s", why);
	is_int(errno, expected, "%s: errno", why);
	ok(strstr(errstr, why) != NULL, "%s: %s", why, errstr);
	ok(strstr(errstr, "-6") == NULL, "%s: no option is blamed", why);
}

int
main(void)
{
	fails(EAI_NONAME, 0, ENOENT, "there is no such name");
	fails(EAI_NODATA, 0, ENOENT, "no such address");
	fails(EAI_ADDRFAMILY, 0, ENOENT, "no such address");
	fails(EAI_AGAIN, 0, EAGAIN, "no name server answers now");
	fails(EAI_SYSTEM, EMFILE, EMFILE, "raise RLIMIT_NOFILE");
	fails(EAI_SYSTEM, EACCES, EACCES, "Permission denied");
	fails(EAI_FAIL, 0, EIO, gai_strerror(EAI_FAIL));
	return done_testing();
}

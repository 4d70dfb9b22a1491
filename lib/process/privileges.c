/*
 * privileges.c: give up root for good.
 *
 * Layer: process.  setgroups(2), setresgid(2), setresuid(2).
 */
#include <errno.h>
#include <grp.h>
#include <prefork.h>
#include <unistd.h>

#include "process/keeper.h"

int
pfk_drop_privileges(const char *user, uid_t uid, gid_t gid)
{
	if (geteuid() == uid && getuid() == uid && getegid() == gid)
		return 0;
	if (pfk__keeper_drop(user, uid, gid) == -1)
		return -1;
	if ((user != NULL ? initgroups(user, gid) : setgroups(1, &gid)) == -1 ||
	    setresgid(gid, gid, gid) == -1 || setresuid(uid, uid, uid) == -1)
		return -1;
	/* Trust, and verify. */
	if (uid != 0 && setuid(0) != -1) {
		errno = EPERM;
		return -1;
	}
	return 0;
}

/*
 * user.c: the ids of --user and --control-group.
 *
 * Layer: main.
 */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "main/settings.h"

/* strtonum(3) takes blanks and signs, too, and so " 0" for root. */
static long long
parse_id(const char *name, const char **errstr)
{
	*errstr = "invalid";
	if (name[0] == '\0' || name[strspn(name, "0123456789")] != '\0')
		return -1;
	return strtonum(name, 0, UINT32_MAX - 1, errstr);
}

/*
 * A name, or a number, as chown(1) takes them.  A number need not be in the
 * passwd file, which a container may lack; then a group must be given with it,
 * and there are no supplementary groups.
 */
static int
find_user(struct pfk__settings *s, const char *name, bool has_group)
{
	const struct passwd *pw = getpwnam(name);
	const char *errstr = NULL;

	if (pw == NULL) {
		s->uid = (uid_t)parse_id(name, &errstr);
		pw = errstr == NULL ? getpwuid(s->uid) : NULL;
	}
	if (pw == NULL)
		return errstr == NULL && has_group ? 0 : -1;
	s->uid = pw->pw_uid;
	s->gid = pw->pw_gid;
	s->user_name = strdup(pw->pw_name);
	return s->user_name != NULL ? 0 : -1;
}

static int
find_group(gid_t *gid, const char *name)
{
	const struct group *gr = getgrnam(name);
	const char *errstr;
	long long id;

	if (gr != NULL) {
		*gid = gr->gr_gid;
		return 0;
	}
	id = parse_id(name, &errstr);
	*gid = (gid_t)id;
	return errstr == NULL ? 0 : -1;
}

static int
check_user(struct pfk__settings *s, char *err, int *status)
{
	char text[256], *group = text;
	const char *name;

	if (s->user == NULL)
		return 0;
	strlcpy(text, s->user, sizeof(text));
	name = strsep(&group, ":");
	*status = EX_NOUSER;
	if (find_user(s, name, group != NULL) == -1) {
		snprintf(err, PFK_ERROR_SIZE,
		    "no such user: '%.100s'; name one of the passwd file, or "
		    "give two numbers, as in 65534:65534",
		    name);
		return -1;
	}
	if (group != NULL && find_group(&s->gid, group) == -1) {
		snprintf(err, PFK_ERROR_SIZE,
		    "no such group: '%.100s'; name one of the group file, or "
		    "give a number",
		    group);
		return -1;
	}
	if (geteuid() != 0 && geteuid() != s->uid) {
		*status = EX_NOPERM;
		snprintf(err, PFK_ERROR_SIZE,
		    "cannot become user '%s': only root can; start as root "
		    "or leave out --user",
		    name);
		return -1;
	}
	return 0;
}

static int
check_control_group(struct pfk__settings *s, char *err, int *status)
{
	const char *group = s->control_group;

	if (group == NULL || find_group(&s->control_gid, group) == 0)
		return 0;
	*status = EX_NOUSER;
	snprintf(err, PFK_ERROR_SIZE, "no such control-group: '%.100s'", group);
	return -1;
}

int
pfk__settings_users(struct pfk__settings *s, char *err, int *status)
{
	if (check_user(s, err, status) == -1)
		return -1;
	return check_control_group(s, err, status);
}

/*
 * user.h: a pointer of the program's in an object, and the function that
 * releases it.
 */
#ifndef PFK_BASE_USER_H
#define PFK_BASE_USER_H

#include <stddef.h>

struct pfk__user {
	void *user;
	void (*destroy)(void *user); /* or NULL */
};

/* Release the old pointer, if any, and keep this one. */
static inline void
pfk__user_set(struct pfk__user *u, void *user, void (*destroy)(void *user))
{
	struct pfk__user old = *u;

	*u = (struct pfk__user){.user = user, .destroy = destroy};
	if (old.destroy != NULL)
		old.destroy(old.user);
}

static inline void
pfk__user_end(struct pfk__user *u)
{
	pfk__user_set(u, NULL, NULL);
}

#endif

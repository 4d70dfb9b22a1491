/*
 * libseccomp.h: libseccomp(3), where it is installed.
 *
 * It is opened when a sandbox is asked for, so that programs need not be linked with
 * it, and do without.
 */
#ifndef PFK_SANDBOX_LIBSECCOMP_H
#define PFK_SANDBOX_LIBSECCOMP_H

#include <seccomp.h>

struct pfk__seccomp {
	__typeof__(seccomp_init) *init;
	__typeof__(seccomp_rule_add) *rule_add;
	__typeof__(seccomp_attr_set) *attr_set;
	__typeof__(seccomp_load) *load;
	__typeof__(seccomp_release) *release;
	__typeof__(seccomp_syscall_resolve_name) *resolve_name;
	__typeof__(seccomp_syscall_resolve_num_arch) *resolve_num_arch;
};

/* NULL: it is not installed.  Valid for good; not from within the sandbox first. */
const struct pfk__seccomp *pfk__seccomp(void);

#endif

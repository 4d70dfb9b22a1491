/*
 * deny.c: run a command with one system call denied, as sandboxes do.
 *
 *	deny splice|close_range ERRNO COMMAND...
 */
#include <err.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int
main(int argc, char *argv[])
{
	unsigned call = SYS_close_range, error;

	if (argc < 4)
		errx(2, "usage: deny splice|close_range ERRNO COMMAND...");
	if (strcmp(argv[1], "splice") == 0)
		call = SYS_splice;
	error = (unsigned)atoi(argv[2]);

	struct sock_filter filter[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {4, filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == -1)
		err(2, "seccomp");
	execvp(argv[3], argv + 3);
	err(2, "%s", argv[3]);
}

/*
 * unit-join-kernel.c: a joined transport where the kernel or a sandbox refuses
 * splice(2), from the start or in the midst, into the pipe or out of it. The
 * library's calls to the kernel pass through here.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "event/loop.h"
#include "pump.h"
#include "record.h"
#include "tap.h"
#include "unit.h"

#define BULK (6u << 20)

/* the kernel, as the library sees it */

static int in_error, out_error; /* errno, or 0 */
static int calls;

ssize_t
splice(int fdin, off64_t *offin, int fdout, off64_t *offout, size_t len,
    unsigned flags)
{
	struct stat st;
	bool out = fstat(fdin, &st) == 0 && S_ISFIFO(st.st_mode);
	int error = out ? out_error : in_error;

	calls++;
	if (error != 0) {
		errno = error;
		return -1;
	}
	return syscall(SYS_splice, fdin, offin, fdout, offout, len, flags);
}

/* cases */

static void
join_itself(struct record *r)
{
	pfk_join(r->tr, r->tr);
}

static bool
round_trip(struct pfk_loop *l, struct pump *p)
{
	pump_send(p, BULK);
	p->want = p->to_send;
	p->got_all = 0;
	return unit_run_until(l, &p->got_all, 1);
}

static void
test_refused(const char *backend, int in, int out)
{
	struct pfk_loop *l = pfk_loop_new(backend);
	struct pfk_server *server;
	struct recorder rec;
	struct pfk_addr addr;
	struct pump p;

	recorder_init(&rec);
	rec.at[RECORD_MADE] = join_itself;
	server = pfk_serve(l, unit_listen(&addr), &rec.protocol, &rec, NULL);
	pump_open(&p, l, unit_connect(&addr));
	ok(round_trip(l, &p), "%s: spliced", backend);
	in_error = in;
	out_error = out;
	ok(round_trip(l, &p), "%s: refused: %s, %s", backend, strerror(in),
	    strerror(out));
	calls = 0;
	ok(round_trip(l, &p), "%s: and once more", backend);
	ok(calls < 8, "%s: without many tries: %d", backend, calls);
	is_int(p.wrong, 0, "%s: no byte is wrong", backend);
	is_int(rec.calls[RECORD_LOST], 0, "%s: nothing is lost", backend);
	in_error = out_error = 0;
	pump_close(&p);
	ok(unit_run_until(l, &rec.calls[RECORD_LOST], 1), "%s: it ends",
	    backend);
	is_int(l->pipes.count, l->pipes.idle_len, "%s: every pipe is back",
	    backend);
	pfk_server_close(&server);
	pfk_loop_free(l);
}

/* It is the connection's own error. */
static void
test_lost(const char *backend)
{
	struct pfk_loop *l = pfk_loop_new(backend);
	struct pfk_server *server;
	struct recorder rec;
	struct pfk_addr addr;
	struct pump p;

	recorder_init(&rec);
	rec.at[RECORD_MADE] = join_itself;
	server = pfk_serve(l, unit_listen(&addr), &rec.protocol, &rec, NULL);
	pump_open(&p, l, unit_connect(&addr));
	ok(round_trip(l, &p), "%s: spliced", backend);
	in_error = ETIMEDOUT;
	round_trip(l, &p);
	in_error = 0;
	is_int(rec.conns[0].error, ETIMEDOUT, "%s: it is told", backend);
	pump_close(&p);
	pfk_server_close(&server);
	pfk_loop_free(l);
}

int
main(void)
{
	static const int refusals[] = {EPERM, ENOSYS, EACCES, EINVAL, ENOMEM};

	for (int i = 0; unit_backends[i] != NULL; i++) {
		for (size_t k = 0; k < sizeof(refusals) / sizeof(int); k++) {
			test_refused(unit_backends[i], refusals[k], 0);
			test_refused(unit_backends[i], 0, refusals[k]);
			test_refused(unit_backends[i], refusals[k],
			    refusals[k]);
		}
		test_lost(unit_backends[i]);
	}
	return done_testing();
}

#!/usr/bin/perl

# The system says no to the master: fork, socketpair and mmap fail, at a start,
# when a worker has died, in a reload and when there shall be one more. It is
# told once and tried again, the service goes on, and nothing is left open. The
# same for epoll_ctl, which also fails for workers.

use strict;
use warnings;

use Errno qw(EAGAIN ENOMEM EMFILE ENOSPC);
use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Life;
use Prefork::Sockets qw(have);
use Test::More;

my $dir  = temp_dir();
my $shim = build_shim();

plan skip_all => 'no C compiler' if !$shim;
plan skip_all => 'ASan wants to be first' if is_sanitized();

for my $case ([ fork => EAGAIN ], [ fork => ENOMEM ], [ socketpair => EMFILE ],
	[ mmap => ENOMEM ])
{
	local $! = $case->[1];
	my $why = words("$!");
	at_start(@{$case}, $why);
	# Later it maps nothing: a page of the first mapping is left.
	while_it_runs(@{$case}, $why) if $case->[0] ne 'mmap';
}
for my $number (ENOSPC, ENOMEM) {
	local $! = $number;
	my $why = "$!";
	no_watches_at_start($number, $why);
	no_watches_later($number, $why);
	no_watches_for_the_log($number, $why);
}
successor_fails('calloc.int', qr/could\snot\sgo\son.*cannot\sserve:\sCannot\sallocate/x);
successor_fails('calloc.pointer', qr/cannot\srebuild.*Cannot\sallocate/x);
done_testing();

# Calls fail with the number in the file of their name, while there is one.
sub build_shim {
	my $source = "$dir/shim.c";
	return if !have((compiler())[0]);
	write_file($source, <<'END_OF_C');
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
static int
fails(const char *call)
{
	char path[4096];
	int number = 0;
	FILE *f;
	snprintf(path, sizeof(path), "%s/%s", getenv("SHIM_DIR"), call);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	if (fscanf(f, "%d", &number) != 1)
		number = EIO;
	fclose(f);
	errno = number;
	return 1;
}
void *__libc_calloc(size_t, size_t);
void *
calloc(size_t n, size_t size)
{
	if ((size == sizeof(int) && fails("calloc.int")) ||
	    (n > 8 && size == sizeof(void *) && fails("calloc.pointer")))
		return NULL;
	return __libc_calloc(n, size);
}
pid_t
fork(void)
{
	pid_t (*real)(void) = dlsym(RTLD_NEXT, "fork");
	return fails("fork") ? -1 : real();
}
int
socketpair(int domain, int type, int protocol, int fds[2])
{
	int (*real)(int, int, int, int *) = dlsym(RTLD_NEXT, "socketpair");
	return fails("socketpair") ? -1 : real(domain, type, protocol, fds);
}
static int
is_listener(int fd)
{
	int listens = 0, domain = 0;
	socklen_t len = sizeof(int);
	getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len);
	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
	return listens && domain == AF_INET;
}
/* A pipe that the log process reads: a worker has pipes of its own. */
static int
is_pipe(int fd)
{
	char title[64] = "";
	struct stat st;
	FILE *f;
	if (fstat(fd, &st) == -1 || !S_ISFIFO(st.st_mode))
		return 0;
	f = fopen("/proc/self/cmdline", "re");
	if (f == NULL)
		return 0;
	fgets(title, sizeof(title), f);
	fclose(f);
	return strstr(title, ": log") != NULL;
}
int
epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	int (*real)(int, int, int, struct epoll_event *) =
	    dlsym(RTLD_NEXT, "epoll_ctl");
	return op == EPOLL_CTL_ADD && fd != epfd && (fails("epoll_ctl") ||
	    (is_listener(fd) && fails("epoll_ctl.listener")) ||
	    (is_pipe(fd) && fails("epoll_ctl.pipe")))
	    ? -1 : real(epfd, op, fd, event);
}
void *
mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	void *(*real)(void *, size_t, int, int, int, off_t) =
	    dlsym(RTLD_NEXT, "mmap");
	return (flags & MAP_SHARED) && (flags & MAP_ANONYMOUS) && fails("mmap")
	    ? MAP_FAILED : real(addr, len, prot, flags, fd, offset);
}
END_OF_C
	my ($code, undef, $errors) = run_cmd({ timeout => 60 }, '/usr/bin/env', compiler(),
		'-shared', '-fPIC', '-o', "$dir/shim.so", $source, '-ldl');
	diag($errors) if $code;
	return $code ? undef : "$dir/shim.so";
}

# As the log says it: with the limit to raise, where there is one.
sub words {
	my ($why) = @_;

	return 'no descriptor is free in this process; raise RLIMIT_NOFILE (ulimit -n)'
	    if $! == EMFILE;
	return $why if $! != EAGAIN;
	return 'no process can be started; raise ' . (is_root()
		? 'pids.max of the control group (TasksMax in a systemd unit)'
		: 'RLIMIT_NPROC (ulimit -u) or pids.max of the control group');
}

sub is_sanitized {
	open my $file, '<:raw', Prefork::program() or die "the program: $!\n";
	local $/ = undef;
	return <$file> =~ /__asan_init/;
}

sub options { return { env => { LD_PRELOAD => $shim, SHIM_DIR => "$dir" } } }
sub break_it { return write_file("$dir/$_[0]", $_[1]) }
sub mend     { return unlink "$dir/$_[0]" }

sub at_start {
	my ($call, $number, $why) = @_;

	break_it($call, $number);
	my $server = Prefork->spawn(options(), qw(--sandbox off -w 2 -p 0 -4), '--keeper', 'off');
	is($server->wait_exit, 71, "$call ($why) at the start: exit 71");
	mend($call);
	like($server->log_text, qr/\A.*cannot\sstart\sthe\slog\sprocess:\s$call\(2\):\s\Q$why\E\n\z/x,
		'one line says why');
	return;
}

sub while_it_runs {
	my ($call, $number, $why) = @_;
	my $server = Prefork->start(options(), qw(--sandbox off -w 2 -p 0 -4), '--keeper', 'off');
	my %before = fds($server->pid);
	my $settled = sub { my %now = fds($server->pid); keys %now == keys %before };
	my $told = qr/\]\s(.*):\s\Q$why\E;/x;
	my $event = sub {
		my ($name, $what, $break, $end) = @_;
		my $from = $server->log_size;

		break_it($call, $number);
		$break->();
		ok($server->wait_log($told, undef, $from), "$call ($why) $name: a line has the cause");
		serves($server);
		mend($call);
		ok($server->wait_log($end, undef, $from), "$call ($why) $name: a line says that it works again");
		my $log = substr $server->log_text, $from;
		is_deeply([ $log =~ /$told/g ], [$what], "$call ($why) $name: one line has the cause");
		serves($server);
	};

	$event->('after a death', 'cannot start worker 1', sub { kill 'KILL', { $server->workers }->{1} },
		qr/^\[worker-1\s.*\]\sserving\son\s.*udp/mx);
	ok(wait_for($settled, 20), 'nothing is left open');
	my @old = settled_workers($server, 2);
	# Its preparation forks, too, and makes no socket pair.
	$event->('in a reload',
		$call eq 'fork' ? 'reload refused' : 'reload failed: the new worker did not start',
		sub { $server->signal('HUP') },
		qr/reload\s(?:refused|failed):.*\Q$why\E;\snothing\shas\schanged/x);
	is_deeply([ current_workers($server) ], \@old, 'the same workers');
	ok(wait_for($settled, 20), 'nothing is left open');
	$event->('for one worker more', 'cannot start worker 2', sub { $server->signal('TTIN') },
		qr/\]\sstarted\sworker\s2/x);
	settled_workers($server, 3);
	my $from = $server->log_size;
	$server->signal('HUP');
	ok($server->wait_log(qr/\]\sreloaded:\s2/x, undef, $from), 'a reload works');
	is($server->stop, 0, 'exit status');
	return;
}

sub no_watches_at_start {
	my ($number, $why) = @_;
	my $cure = $number == ENOSPC ? '; raise fs.epoll.max_user_watches' : q{};

	break_it('epoll_ctl', $number);
	my $server = Prefork->spawn(options(), qw(--sandbox off -w 2 -p 0 -4));
	is($server->wait_exit, 71, "epoll_ctl ($why) at the start: exit 71");
	mend('epoll_ctl');
	like($server->log_text, qr/\A.*cannot\sstart:.*:\s\Q$why$cure\E\n\z/x,
		'one line says why');

	# Only workers watch these.
	break_it('epoll_ctl.listener', $number);
	$server = Prefork->spawn(options(), qw(--sandbox off -w 2 -p 0 -4));
	is($server->wait_exit, 71, "epoll_ctl ($why) of a listener at the start: exit 71");
	mend('epoll_ctl.listener');
	like($server->log_text, qr/cannot\sstart:\scannot\swatch\sthe\sworker.s\ssockets:\s\Q$why$cure\E\n\z/x,
		'the last line says why');
	return;
}

# A worker that serves goes on, one that starts fails, and all is well later.
sub no_watches_later {
	my ($number, $why) = @_;
	my $server = Prefork->start(options(), qw(--sandbox off -w 2 -p 0 -4));
	my $from   = $server->log_size;
	my $old    = $server->tcp_socket;

	is(echo_once($old, 'before'), 'before', 'a connection');
	# The client may have its answer before its socket is being watched.
	ok(wait_for(sub { all_sleep($server) }), 'all workers wait');
	break_it('epoll_ctl', $number);
	my $new = $server->tcp_socket;
	syswrite $new, 'after';
	ok($server->wait_log(qr/cannot\swatch\sa\sdescriptor:\s\Q$why\E;\strying\sagain/x,
		undef, $from), "epoll_ctl ($why) later: a line has the cause and the retry");
	is(echo_once($old, 'meanwhile'), 'meanwhile', 'a connection that is watched already is served');
	mend('epoll_ctl');
	is(echo_once($new, ' that'), 'after', 'the new connection is served once it can be watched');
	ok($server->wait_log(qr/descriptors\sare\swatched\sagain/x, undef, $from),
		'a line says that all descriptors are watched again');
	break_it('epoll_ctl', $number);
	$from = $server->log_size;
	$server->signal('HUP');
	# The master says so once in 10 s; on a busy machine it has done it above.
	ok($server->wait_log(qr/\[master.*cannot\swatch.*\Q$why\E/x), 'the master logs that it cannot watch a descriptor for the reload');
	mend('epoll_ctl');
	ok($server->wait_log(qr/reloaded:\s2/x, undef, $from), 'the reload is carried out once the master can watch');
	serves($server);
	is($server->stop, 0, 'exit status');
	return;
}

# The log process reads the pipe of a new worker that it cannot watch.
sub no_watches_for_the_log {
	my ($number, $why) = @_;
	my $server = Prefork->start(options(), qw(--sandbox off -w 2 -p 0 -4 --keeper off));

	for my $broken (1, 0) {
		my $from = $server->log_size;
		my $name = $broken ? "epoll_ctl ($why) of its pipe" : 'after the fault';

		break_it('epoll_ctl.pipe', $number) if $broken;
		my $pid = kill_worker($server, 1);
		ok($server->wait_log(qr/^\[worker-1\s\($pid\)\]\sserving\son/mx, undef, $from),
			"$name: the log has a worker's line");
		my $fault = qr/cannot\swatch\sa\swriter's\spipe/x;
		$broken
		    ? ok($server->wait_log($fault, undef, $from), "$name: the log has the fault")
		    : is(count(substr($server->log_text, $from), $fault), 0, "$name: the log has no fault");
		mend('epoll_ctl.pipe');
	}
	is($server->stop, 0, 'exit status');
	return;
}

# No memory for the next worker of a keeper: its clients see an end, and the log the
# cause.
sub successor_fails {
	my ($call, $line) = @_;
	my $server = Prefork->start(options(), qw(--sandbox off -w 1 -p 0 -4));
	my $client = $server->tcp_socket;
	my $from   = $server->log_size;

	is(echo_once($client, 'before'), 'before', "$call: a connection");
	break_it($call, ENOMEM);
	kill 'KILL', { $server->workers }->{0};
	ok($server->wait_log($line, undef, $from), 'the log has the cause');
	ok($server->wait_log(qr/has\sended\s10\stimes\sin\sa\srow/x, undef, $from), 'its keeper tries again, and gives up');
	mend($call);
	is(sysread($client, my $in, 1) // 0, 0, 'the client sees an end');
	ok(wait_for(sub { (echo_once($server->tcp_socket, 'x') // q{}) eq 'x' }, 20), 'others are served');
	is($server->stop, 0, 'exit status');
	return;
}

sub all_sleep {
	my ($server) = @_;
	my %workers = $server->workers;

	for my $pid (values %workers) {
		open my $stat, '<', "/proc/$pid/stat" or return;
		my $line = <$stat> // q{};
		return if $line !~ /\)\sS\s/x;
	}
	return 1;
}

sub serves {
	my ($server) = @_;
	my @bad = grep { (echo_once($server->tcp_socket, $_) // q{}) ne $_ } 1 .. 6;

	return is_deeply(\@bad, [], 'everybody is served');
}

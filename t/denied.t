#!/usr/bin/perl

# A sandbox denies system calls, one at a time, by EPERM or by ENOSYS: the
# service works without the call, or the start fails at once and names it.

use strict;
use warnings;

use Errno qw(EPERM ENOSYS);
use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use Prefork;
use Prefork::Deny;
use Prefork::Life    qw(slurp);
use Prefork::Sockets qw(asan_env random_bytes);
use Prefork::Tools   qw(spawn_process);
use Socket qw(MSG_DONTWAIT);
use Test::More;

use constant BULK  => 4 << 20;
use constant BURST => 50;

plan skip_all => 'seccomp(2) is not to be had' if !can_deny();

# Each works without; some have several names.
my @optional = (
	['splice'],
	['recvmmsg'],
	['sendmmsg'],
	['accept4'],
	['close_range'],
	['epoll_create1'],
	['epoll_ctl'],
	[qw(epoll_wait epoll_pwait)],
	['memfd_create'],
	['prctl'],
	['sched_getaffinity'],
	['getrandom'],
	['prlimit64'],
	['fcntl'],
	['dup'],
	['eventfd2'],
	[qw(pidfd_open pidfd_send_signal)],
	['rt_sigtimedwait'],
);
# ASan calls it before main, and ends the process where it fails.
@optional = grep { $_->[0] ne 'prlimit64' } @optional
    if slurp("$Prefork::O/flags") =~ /-fsanitize/;
# Calls that ASan needs itself.
my @plain = slurp("$Prefork::O/flags") =~ /-fsanitize/ ? () : qw(rt_sigaction rt_sigprocmask munmap);
my $usual = Prefork->start(qw(-w 4 -p 0 -b 127.0.0.1 --name usual));

# Arguments, calls, and the name of the one that the start fails by.
my @needed = (
	[ [], [qw(accept accept4)], 'accept4' ],
	[ [], [qw(pipe pipe2)],     'pipe2' ],
	[ [], [qw(fork vfork clone clone3)], 'fork' ],
	(map { [ [], [$_], $_ ] } qw(socketpair sendmsg recvmsg sendto recvfrom getsockname
		getsockopt wait4), @plain),
	[ [qw(--poller epoll)], ['epoll_create1'], 'epoll_create1' ],
	[ [qw(--poller epoll)], ['epoll_ctl'], 'epoll_ctl' ],
	[ [qw(--poller epoll)], [qw(epoll_wait epoll_pwait)], 'epoll_wait' ],
	[ [qw(--poller poll)],  [qw(poll ppoll)], 'poll' ],
);

for my $errno (EPERM, ENOSYS) {
	local $! = $errno;
	my $why = "$!";
	works("@{$_}: $why", deny($errno, @{$_})) for @optional;
	fails($why, deny($errno, @{ $_->[1] }), @{$_}) for @needed;
	leaves_no_log($why, deny($errno, qw(poll ppoll)));
	is_mute($why, deny($errno, 'write'));
	does_not_knock($why, deny($errno, 'connect'));
	is_not_missing($why, deny($errno, 'connect'));
}
done_testing();

sub works {
	my ($name, $setup) = @_;
	my $server = Prefork->start({ setup => $setup }, qw(-w 4 -p 0 -b 127.0.0.1));
	my $data   = random_bytes(BULK);

	is(echo_once($server->tcp_socket, 'abc'), 'abc', "$name: TCP");
	ok((echo_once($server->tcp_socket, $data) // q{}) eq $data, "$name: much of it");
	is(burst($server->udp_socket), BURST, "$name: a burst of datagrams");
	ok(wait_for(sub { sockets_of_last($server) == sockets_of_last($usual) }),
		"$name: a worker has the sockets that it needs");
	client_works($name, $setup, $server->port);
	$server->signal('HUP');
	ok($server->wait_log(qr/\]\sreloaded:/x), "$name: a reload");
	like($server->log_text, qr/cannot\swait\sby\sepoll:\sepoll_\w+\(2\):/x, "$name: the fall-back is logged")
	    if $name =~ /^epoll/;
	# A keeper that cannot wait would spin.
	like($server->log_text, qr/keeper\scannot\swait:\ssigtimedwait\(2\)/x, "$name: no keeper")
	    if $name =~ /sigtimedwait/;
	is($server->stop, 0, "$name: exit status");
	return;
}

# The descriptors of its last worker: with a master's end of a channel it would
# not notice the master's death.
sub sockets_of_last {
	my ($server) = @_;
	my %fds = fds({ $server->workers }->{3});

	return scalar grep { /^socket/ } values %fds;
}

# By name, so that it is looked up.
sub client_works {
	my ($name, $setup, $port) = @_;

	for my $protocol ([], ['-u']) {
		my ($code, $out, $err) = run_cmd({ setup => $setup },
			Prefork::program('echo-client'), @{$protocol}, '-4', '-p',
			$port, 'localhost', 'abc');
		is($code, 0, "$name: echo-client @{$protocol}") or diag($err);
	}
	return;
}

sub fails {
	my ($why, $setup, $arguments, undef, $call) = @_;
	# The leak check of ASan waits for a process, too.
	my $server = Prefork->spawn({ setup => $setup, env => asan_env('detect_leaks=0') },
		qw(-w 2 -p 0 -b 127.0.0.1), @{$arguments});

	is($server->wait_exit, 71, "$call: $why: the start fails");
	ok($server->wait_log(qr/\b\Q$call\E\(2\):\s\Q$why\E/x), "$call: and names it");
	unlike($server->log_text, qr/reader\sis\stoo\sslow/x, "$call: $why: the log's reader is not blamed");
	is(scalar $server->workers_alive, 0, "$call: nobody is left");
	return;
}

# It can say nothing, so that its status has to.
sub is_mute {
	my ($why, $setup) = @_;
	my $server = Prefork->spawn({ setup => $setup, env => asan_env('detect_leaks=0') },
		qw(-w 2 -p 0 -b 127.0.0.1));

	return is($server->wait_exit, 71, "write: $why: the start fails");
}

# Its log process cannot wait until it can write, and has nobody to write to.
sub leaves_no_log {
	my ($why, $setup) = @_;

	pipe my $read, my $write or die "pipe: $!\n";
	close $read;
	my $pipe = readlink '/proc/self/fd/' . fileno $write;
	my $pid  = spawn_process({ setup => $setup, stderr => $write },
		Prefork::program('prefork-echo'), qw(--poller poll -w 2 -p 0 -b 127.0.0.1));
	close $write;
	waitpid $pid, 0;
	my $has = sub { (readlink($_) // q{}) eq $pipe };
	return ok(wait_for(sub { !grep { $has->() } glob '/proc/[0-9]*/fd/*' }, 20),
		"poll: $why: the log process ends without a reader");
}

# Workers of a dead master that no other one can find do not wait for one.
sub does_not_knock {
	my ($why, $setup) = @_;
	my $server = Prefork->start({ setup => $setup }, qw(-w 2 -p 0 -b 127.0.0.1));
	my $line   = qr/cannot\slook\sfor\sa\snew\smaster;.*:\sconnect\(2\):\s\Q$why\E/x;

	is(echo_once($server->tcp_socket, 'abc'), 'abc', "connect: $why: TCP");
	$server->signal('KILL');
	ok($server->wait_log($line), "connect: $why: a worker says why it ends");
	ok(wait_for(sub { !$server->workers_alive }, 20), "connect: $why: nobody is left");
	return;
}

# A service that prefork-ctl cannot reach is not one that does not run.
sub is_not_missing {
	my ($why, $setup) = @_;
	my ($code, undef, $errors) = run_cmd({ setup => $setup }, Prefork::program('prefork-ctl'),
		qw(--name usual status));

	is($code, 69, "connect: $why: prefork-ctl");
	return like($errors, qr/cannot\sconnect\sto\s\S+usual[.]sock:\s\Q$why\E/x, 'says the cause');
}

# How many of many datagrams at once come back.
sub burst {
	my ($socket) = @_;
	my %want = map { ("$_ " . 'x' x (20 * ($_ % 5)) => 1) } 1 .. BURST;

	send $socket, $_, 0 for sort keys %want;
	while (%want && IO::Select->new($socket)->can_read(10)) {
		last if !defined recv $socket, my $answer, 2048, MSG_DONTWAIT;
		delete $want{$answer};
	}
	return BURST - keys %want;
}

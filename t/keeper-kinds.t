#!/usr/bin/perl

# Kinds of connections and moments at which a worker is killed, beside those of
# keeper.t; and the pauses that are no hang.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use POSIX ();
use Prefork;
use Prefork::Control;
use Prefork::Life;
use Prefork::Tools qw(pause workers_of);
use Socket qw(SHUT_WR MSG_OOB IPPROTO_UDP);
use Test::More;

use constant {
	UDP_SEGMENT  => 103,
	SYS_PTRACE   => 101,    # on x86-64
	SEIZE        => 0x4206,
	INTERRUPT    => 0x4207,
	IDLE         => 3,
	KILLS        => 150,
	TIMEOUT      => 1,
};

urgent($_) for 'joined', '-v';
half_closed_while_it_starts();
train();
clocks_go_on();
settings_stay();
machine_pauses();
debugged();
master_is_stopped();
done_testing();

sub read_all {
	my ($socket, $n) = @_;
	my $select = IO::Select->new($socket);
	my $back   = q{};

	while (length $back < $n) {
		$select->can_read(20) or last;
		sysread($socket, $back, $n - length $back, length $back) or last;
	}
	return $back;
}

# splice(2) stops at the mark, which comes back as a byte among the others.
sub urgent {
	my ($how)  = @_;
	my $server = Prefork->start('-w', 1, '-p', 0, '-4', $how eq 'joined' ? () : $how);
	my $socket = $server->tcp_socket;
	my $name   = "$how, urgent data";

	is(echo_once($socket, 'one'), 'one', "$name: a connection");
	for my $round (1 .. 3) {
		my $worker = { $server->workers }->{0};
		kill 'STOP', $worker;
		syswrite $socket, 'before';
		send $socket, '!', MSG_OOB;
		syswrite $socket, 'behind';
		kill_worker($server, 0);
		is(read_all($socket, 13), 'before!behind', "$name: before and behind it, round $round");
		kill_worker($server, 0);
		is(echo_once($socket, 'next'), 'next', "$name: afterwards, round $round");
	}
	is($server->stop, 0, "$name: exit status");
	return;
}

# Bytes and the end have come before anybody accepts.
sub half_closed_while_it_starts {
	my $server = Prefork->start('-w', 1, '-p', 0, '-4');
	my $data   = join q{}, map { pack 'N', $_ } 1 .. 5000;

	kill 'STOP', { $server->workers }->{0};
	my @sockets = map { $server->tcp_socket } 1 .. 4;
	for my $socket (@sockets) {
		syswrite $socket, $data;
		shutdown $socket, SHUT_WR;
	}
	kill_worker($server, 0) for 1 .. 2;
	for my $socket (@sockets) {
		my ($back, $end) = read_until_eof($socket);
		ok($back eq $data, 'half closed before it was accepted: all bytes');
	}
	is($server->stop, 0, 'half closed: exit status');
	return;
}

# Datagrams that the kernel delivers as one train.
sub train {
	my $server = Prefork->start('-w', 1, '-p', 0, '-4');
	my $socket = $server->udp_socket;

	if (!setsockopt $socket, IPPROTO_UDP, UDP_SEGMENT, pack 'i', 100) {
		pass('skipped: no UDP_SEGMENT here');
		return;
	}
	for my $round (1 .. 3) {
		kill 'STOP', { $server->workers }->{0};
		my @sent = map { sprintf '%-100s', "$round $_" } 1 .. 20;
		syswrite $socket, join q{}, @sent;
		kill_worker($server, 0);
		my $select = IO::Select->new($socket);
		my @got;
		while (@got < @sent && $select->can_read(20)) {
			sysread $socket, my $one, 65_536 or last;
			push @got, unpack '(a100)*', $one;
		}
		is_deeply([ sort @got ], [ sort @sent ], "a train, round $round: each answered once");
	}
	ok(!IO::Select->new($socket)->can_read(0), 'nothing more');
	is($server->stop, 0, 'a train: exit status');
	return;
}

# If a restart began them anew, the connection would never be closed.
sub clocks_go_on {
	my $server = Prefork->start('-w', 1, '-p', 0, '-4', '--idle-timeout', IDLE);
	my $socket = $server->tcp_socket;
	my $select = IO::Select->new($socket);

	is(echo_once($socket, 'x'), 'x', 'idle: a connection');
	my $closed = wait_for(
		sub {
			kill_worker($server, 0);
			return $select->can_read(IDLE / 10);
		},
		10 * IDLE
	);
	ok($closed && sysread($socket, my $byte, 1) == 0, 'a closed connection is closed, however often its worker is killed');
	is($server->stop, 0, 'idle: exit status');
	return;
}

# The limits count the connections that go on.
sub settings_stay {
	my $server = Prefork->start('-w', 1, '-p', 0, '-4', '-n', 3, '--max-per-source', 3, '--coalesce', 'on');
	my @sockets = map { $server->tcp_socket } 1 .. 3;

	is(echo_once($_, 'x'), 'x', 'limits: as many as there may be') for @sockets;
	kill_worker($server, 0) for 1 .. 3;
	is(echo_once($_, 'y'), 'y', 'limits: they go on') for @sockets;
	my $more = $server->tcp_socket;
	syswrite $more, 'more';
	is(echo_once($sockets[0], 'z'), 'z', 'limits: the worker turns');
	ok(!IO::Select->new($more)->can_read(0.2), 'limits: one more is not served');
	close shift @sockets;
	is(read_all($more, 4), 'more', 'limits: until there is room');
	is($server->stop, 0, 'limits: exit status');
	return;
}

sub all_of {
	my ($server) = @_;
	my @keepers = children($server->pid);

	return ($server->pid, @keepers, map { children($_) } @keepers);
}

# As by a snapshot of a virtual machine, or the freezer of a control group.
sub machine_pauses {
	my $server = Prefork->start('-w', 2, '-p', 0, '-4', '--worker-timeout', TIMEOUT);
	my @sockets = map { $server->tcp_socket } 1 .. 4;
	my @all     = all_of($server);

	is(echo_once($_, 'x'), 'x', 'a pause: a connection') for @sockets;
	kill 'STOP', @all;
	pause(2.5 * TIMEOUT);
	kill 'CONT', reverse @all;
	is(echo_once($_, 'x'), 'x', 'a pause: goes on') for @sockets;
	pause(1.5 * TIMEOUT);
	is_deeply([ sort(all_of($server)) ], [ sort @all ], 'the same workers and keepers run after a pause');
	unlike($server->log_text, qr/hangs/, 'the log reports no hang after a pause');
	is($server->stop, 0, 'a pause: exit status');
	return;
}

# A debugger holds a worker for longer than it may hang.
sub debugged {
	my $arch = (POSIX::uname())[4];
 SKIP: {
		skip "ptrace(2) has another number on $arch", 1 if $arch ne 'x86_64';
		my $server = Prefork->start('-w', 1, '-p', 0, '-4', '--worker-timeout', TIMEOUT);
		my $worker = { $server->workers }->{0};
		my $socket = $server->tcp_socket;
		is(echo_once($socket, 'x'), 'x', 'a debugger: a connection');
		my $tracer = fork // die "fork: $!\n";
		if ($tracer == 0) {
			# Its end lets the worker go.
			my $held = syscall(SYS_PTRACE, SEIZE, $worker, 0, 0) == 0
			    && syscall(SYS_PTRACE, INTERRUPT, $worker, 0, 0) == 0;
			pause(3 * TIMEOUT) if $held;
			POSIX::_exit($held ? 0 : 1);
		}
		waitpid $tracer, 0;
		skip 'ptrace(2) is not allowed', 1 if $?;
		is(echo_once($socket, 'y'), 'y', 'a debugger: it goes on afterwards');
		is({ $server->workers }->{0}, $worker, 'a debugger: the worker is not replaced');
		unlike($server->log_text, qr/hangs/, 'it did not hang');
		is($server->stop, 0, 'a debugger: exit status');
	}
	return;
}

# So many deaths that the channel to a stopped master has no room for them.
sub master_is_stopped {
	my $server = Prefork->start('-w', 1, '-p', 0, '-4');
	my $socket = $server->tcp_socket;
	my $worker = { $server->workers }->{0};

	is(echo_once($socket, 'x'), 'x', 'a stopped master: a connection');
	kill 'STOP', $server->pid;
	for my $n (1 .. KILLS) {
		kill 'KILL', $worker;
		my $old = $worker;
		wait_for(sub { ($worker) = grep { $_ != $old } workers_of($server->pid) }) or last;
		# It has introduced itself then, as far as it could.
		echo_once($socket, "after $n") eq "after $n" or last;
	}
	kill 'CONT', $server->pid;
	my ($status) = wait_for(sub { my @row = row($server); $row[1] == $worker ? \@row : undef });
	ok($status, 'a stopped master: it learns of the last worker');
	is($status->[-2], KILLS, 'a stopped master: and of all deaths') if $status;
	is(echo_once($socket, 'x'), 'x', 'a stopped master: the connection goes on');
	is($server->stop, 0, 'a stopped master: exit status');
	return;
}

# The only slot's row of prefork-ctl status.
sub row {
	my ($server) = @_;
	my ($line) = (ctl('-s', control_socket($server), 'status'))[1] =~ /^\s+(0\s+\d+\s.*)$/m;

	# SERVED BY is one word, "itself".
	return split q{ }, $line // '0 0 0 0';
}

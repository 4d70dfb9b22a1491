#!/usr/bin/perl

# The same service with each back-end: epoll(7) or poll(2).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Life;
use Test::More;

for my $poller (qw(epoll poll)) {
	my $server = Prefork->start('--poller', $poller, '-v', '-w', 2, '-p', 0,
		'-4');
	is(has_epoll($server), $poller eq 'epoll' ? 2 : 0,
		"$poller: the back-end of the workers");
	echo($server);
	half_close($server);
	reload($server);
	many($server);
	is($server->stop, 0, 'exit status');
}
rests($_) for qw(on off);
done_testing();

# The timer system calls of a worker with --coalesce.
sub rests {
	my ($value) = @_;
	my $server  = Prefork->start('--coalesce', $value, qw(-w 1 -p 0 -4));
	my ($pid)   = settled_workers($server, 1);

      SKIP: {
		skip 'another process\'s timer slack is for root to see', 1 if $>;
		is(slurp("/proc/$pid/timerslack_ns"), ($value eq 'on' ? '1000' : '50000') . "\n",
			"--coalesce $value: timer slack");
	}
	is($server->stop, 0, 'exit status');
	return;
}

# How many workers have an epoll descriptor.
sub has_epoll {
	my ($server) = @_;

	return scalar
	    grep { my %fds = fds($_); grep { /\[eventpoll\]/x } values %fds }
	    settled_workers($server, 2);
}

sub echo {
	my ($server) = @_;
	my $socket = $server->tcp_socket;
	my $data   = join q{ }, 1 .. 200_000;

	is(echo_once($socket, 'x'),   'x',   'tcp');
	is(echo_once($socket, $data), $data, 'more than the buffers hold');
	is(echo_once($server->udp_socket, $_), $_, "udp $_") for 'x', q{};
	return;
}

sub half_close {
	my ($server) = @_;
	my $socket = $server->tcp_socket;

	send $socket, 'last words', 0;
	shutdown $socket, 1;
	is_deeply([ read_until_eof($socket) ],
		[ 'last words', 'eof' ], 'half-close');
	return;
}

sub reload {
	my ($server) = @_;
	my $socket = $server->tcp_socket;

	is(echo_once($socket, 'x'), 'x', 'a connection');
	$server->signal('HUP');
	ok($server->wait_log(qr/reloaded:\s2\sworkers$/mx), 'a reload');
	is(echo_once($socket, 'y'), 'y', 'the old connection');
	is(echo_once($server->tcp_socket, 'z'), 'z', 'a new one');
	close $socket;
	ok(settled_workers($server, 2), 'the old workers end');
	return;
}

# Many descriptors that come and go in an order of their own.
sub many {
	my ($server) = @_;
	my @sockets = map { $server->tcp_socket } 1 .. 200;

	close $sockets[$_] for grep { $_ % 3 == 0 } 0 .. $#sockets;
	is(scalar(grep { (echo_once($sockets[$_], $_) // q{}) ne $_ }
			    grep { $_ % 3 != 0 } 0 .. $#sockets),
		0, 'many connections');
	return;
}

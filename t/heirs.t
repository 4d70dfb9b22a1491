#!/usr/bin/perl

# A worker that leaves shares its connections among all siblings that have room.
# Connections that no sibling takes stay with it for as long as that is so, and
# it says so. A full worker's new clients are served by its siblings.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use List::Util qw(max);
use POSIX ();
use Prefork;
use Prefork::Life;
use Prefork::Sockets qw(have sockets_of);
use Test::More;

use constant {
	LIMIT => 20,
	SPARE => 16, # descriptors; as in lib/transport/take.c
};

my @options = ('-p', 0, '-b', '127.0.0.1', '-n', LIMIT, '--max-per-source', 0);

subtest 'fewer workers' => sub {
	my $server  = Prefork->start('-w', 4, @options);
	my $clients = clients($server, 3 * LIMIT);
	my %worker  = $server->workers;
	$server->signal('TTOU');
	ok($server->wait_log(qr/worker 3 [(]\d+[)] has ended/), 'the surplus worker ends');
	echo($clients, 'a');
	my @held = map { held($worker{$_}) } 0 .. 2;
	is($held[0] + $held[1] + $held[2], 3 * LIMIT, 'the others have all connections');
	ok(!(grep { $_ > LIMIT } @held), "no heir has more connections than it may: @held");
	is($server->stop, 0, 'it stops');
};

subtest 'all siblings are heirs' => sub {
	my $server  = Prefork->start('-w', 4, '-p', 0, '-b', '127.0.0.1');
	my $clients = clients($server, 8 * LIMIT);
	my %worker  = $server->workers;
	my @before  = map { held($worker{$_}) } 0 .. 2;
	$server->signal('TTOU');
	ok($server->wait_log(qr/worker 3 [(]\d+[)] has ended/), 'the surplus worker ends');
	echo($clients, 'a');
	my @more = map { held($worker{$_}) - $before[$_] } 0 .. 2;
	ok(!(grep { $_ == 0 } @more), "each has got some of its connections: @more");
	is($server->stop, 0, 'it stops');
};

# Its loop turns all the time, so that it does not stand still.
subtest 'a busy worker without room' => sub {
	my $server = Prefork->start('-w', 2, '-p', 0, '-b', '127.0.0.1', '-n', 1);
	my $client = $server->tcp_socket;
	my $busy   = fork // die "fork: $!\n";

	if ($busy == 0) {
		1 while defined echo_once($client, 'z');
		POSIX::_exit(0);
	}
	my @bad = grep { (echo_once($server->tcp_socket, "y$_") // q{}) ne "y$_" } 1 .. LIMIT;
	is_deeply(\@bad, [], 'its sibling serves new clients');
	kill 'KILL', $busy;
	waitpid $busy, 0;
	is($server->stop, 0, 'it stops');
};

subtest 'no room' => sub {
	my $server  = Prefork->start('-w', 2, @options);
	my $clients = clients($server, 2 * LIMIT);
	my %worker  = $server->workers;
	is(held($worker{$_}), LIMIT, "worker $_ is full") for 0, 1;
	$server->signal('TTOU');
	ok($server->wait_log(qr/worker 1 .* keeps @{[LIMIT]} connections until .* room/),
		'a leaving worker says that no other has room');
	echo($clients, 'b');
	is(held($worker{0}), LIMIT, 'the sibling has no more than before');
	kill 'KILL', $worker{1};
	ok($server->wait_log(qr/worker 1 .* killed by signal 9/), 'the log reports the kill of the worker that kept connections');
	echo($clients, 'k');
	close $_ for splice @{$clients}, 0, 5;
	ok(wait_for(sub { held($worker{0}) == LIMIT }), 'the sibling takes connections as its own ones end');
	close $_ for splice @{$clients}, 0, LIMIT - 5;
	ok($server->wait_log(qr/worker 1 [(]\d+[)] has ended/), 'the leaving worker ends when the sibling has all its connections');
	echo($clients, 'c');
	is($server->stop, 0, 'it stops');
};

# It keeps some free for new clients and for itself.
subtest 'an heir that is short of descriptors' => sub {
	plan skip_all => 'prlimit is not installed' if !have('prlimit');
	my $server  = Prefork->start('-w', 2, '-p', 0, '-b', '127.0.0.1');
	my $clients = clients($server, 4 * LIMIT);
	my %worker  = $server->workers;
	my $limit   = highest($worker{0}) + 1 + SPARE + 4;
	limit_of_descriptors($worker{0}, $limit);
	$server->signal('TTOU');
	ok(
		$server->wait_log(
			qr/worker 1 .* still has \d+ connections, because an heir .* is full; handing them over again/
		),
		'the leaving worker says that its heir is full'
	);
	echo($clients, 'f');
	my $fd = highest($worker{0});
	ok($fd < $limit - SPARE / 2, "the heir keeps some free: $fd of $limit is its highest");
	echo([ map { $server->tcp_socket } 1 .. SPARE / 4 ], 'n');
	limit_of_descriptors($worker{0}, 1024);
	ok($server->wait_log(qr/worker 1 [(]\d+[)] has ended/), 'with more, it takes all');
	echo($clients, 'g');
	is($server->stop, 0, 'it stops');
};

# A reload is no reason to wait for room.
subtest 'a reload of full workers' => sub {
	my $server  = Prefork->start('-w', 2, @options);
	my $clients = clients($server, 2 * LIMIT);
	my %worker  = $server->workers;
	$server->signal('HUP');
	for my $slot (0, 1) {
		my $old = $worker{$slot};
		ok($server->wait_log(qr/worker $slot [(]$old[)] has ended/), "worker $slot ends");
	}
	echo($clients, 'd');
	is($server->stop, 0, 'it stops');
};

# The packets on their way are lost with it; the giver has the connections.
subtest 'an heir that dies while it takes connections over' => sub {
	for my $order ('TTOU', 'HUP') {
		my $server  = Prefork->start('-w', 2, '-p', 0, '-b', '127.0.0.1');
		my $clients = clients($server, 2 * LIMIT);
		my %worker  = $server->workers;
		my $from    = $server->log_size;
		my $leaving = $order eq 'TTOU' ? 1 : 0;
		my $old     = $worker{$leaving};
		my $heir;

		if ($order eq 'TTOU') {
			$heir = $worker{0};
			kill 'STOP', $heir;
			$server->signal('TTOU');
		} else {
			kill 'STOP', $worker{0};
			$server->signal('HUP');
			$server->wait_log(qr/started worker 0/, 20, $from);
			$heir = { $server->workers }->{0};
			$server->wait_log(qr/worker 0 [(]$old[)] is leaving/, 20, $from);
			kill 'STOP', $heir;
			kill 'CONT', $worker{0};
		}
		ok($server->wait_log(qr/worker $leaving .* is leaving/, 20, $from),
			"$order: a worker leaves");
		kill 'KILL', $heir;
		ok(
			$server->wait_log(
				qr/worker $leaving [(]$old[)] has ended/, 20, $from
			),
			"$order: it ends all the same"
		);
		echo($clients, 'e');
		is($server->stop, 0, "$order: it stops");
	}
};

done_testing();

# So many connections, all of which echo: whichever queue the kernel puts a
# client in, a worker with room serves it.
sub clients {
	my ($server, $count) = @_;
	my @clients = map { $server->tcp_socket } 1 .. $count;

	echo(\@clients, 'x');
	return \@clients;
}

sub echo {
	my ($clients, $text) = @_;
	my @bad = grep { (echo_once($clients->[$_], "$text$_") // q{}) ne "$text$_" } 0 .. $#{$clients};

	return is_deeply(\@bad, [], scalar(@{$clients}) . ' connections echo');
}

sub limit_of_descriptors {
	my ($pid, $limit) = @_;
	my ($code) = run_cmd('/usr/bin/env', 'prlimit', "--nofile=$limit:", '--pid', $pid);

	return is($code, 0, "a limit of $limit descriptors");
}

# The number of its highest descriptor.
sub highest {
	my ($pid) = @_;
	my %fds = fds($pid);

	return max(keys %fds);
}

# How many connections the worker has.
sub held {
	my ($pid) = @_;

	return scalar grep { $_->{state} eq 'connected' } sockets_of($pid);
}

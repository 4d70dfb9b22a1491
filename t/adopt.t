#!/usr/bin/perl

# A slot that cannot serve is served by a sibling: stopped, crash-looping, or
# given up by a smaller number of workers. Every new client is answered
# meanwhile, whichever queue the kernel has put it in.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Sockets qw(sockets_of);
use Prefork::Tools   qw(now);
use Socket           qw(IPPROTO_TCP);
use Test::More;

use constant CLIENTS          => 40;
use constant TCP_DEFER_ACCEPT => 9;
# The master takes a shorter time for enough, where an adopter's loop turns.
use constant STOPPED_SECONDS => 4;

my $server = Prefork->start('--keeper', 'off', '-w', 2, '-p', 0);

subtest 'a stopped worker' => sub {
	calm();
	my %worker = $server->workers;
	my $from   = $server->log_size;
	kill 'STOP', $worker{1};
	serves('while it is stopped');
	ok($server->wait_log(qr/serves for slot 1/, 20, $from), 'adopted');
	kill 'CONT', $worker{1};
	ok($server->wait_log(qr/slot 1 recovered; worker \d released its listeners/, 20, $from),
		'given back');
	serves('when it goes on');
	my %now = $server->workers;
	is($now{1}, $worker{1}, 'by the same worker');
};

subtest 'a worker that dies again and again' => sub {
	calm();
	my $from = $server->log_size;
	die_until_backoff(0);
	serves('in its back-off');
	ok($server->wait_log(qr/serves for slot 0/, 20, $from), 'adopted');
	ok($server->wait_log(qr/slot 0 recovered; worker \d released its listeners/, 20, $from),
		'given back');
	serves('afterwards');
};

# One that stood still is not the first choice for some seconds, but it helps as
# soon as its loop turns again.
subtest 'a worker that stops right after its sibling did' => sub {
	calm();
	my $from   = $server->log_size;
	my %worker = $server->workers;
	my $ill    = now();
	kill 'STOP', $worker{1};
	serves('with one stopped');
	ok($server->wait_log(qr/serves for slot 1, because its worker's loop does not turn$/m, 20, $from), 'worker 0 adopts the queue of worker 1, which is stopped');
	kill 'CONT', $worker{1};
	ok(wait_for(sub { empty_queues() }), 'worker 1 empties its queue after it was continued');
	kill 'STOP', $worker{0};
	my @open = map { $server->tcp_socket } 1 .. CLIENTS;
	ok($server->wait_log(qr/worker 1 .* serves for slot 0/, 20, $from),
		'worker 1 adopts the queue of worker 0, stopped after worker 1 went on');
	SKIP: {
		skip 'this machine was too slow to be in time', 1 if now() - $ill > 4;
		unlike(substr($server->log_text, $from), qr/slot 1 recovered/,
			'slot 1 does not recover while a sibling serves its queue');
	}
	kill 'CONT', $worker{0};
	close $_ for @open;
	calm();
};

# The queue that it has adopted tells, not its own one, which is empty.
subtest 'a helper that stops while its own queue is empty' => sub {
	my $three  = Prefork->start('-w', 3, '-p', 0, '-b', '127.0.0.1');
	my %worker = $three->workers;
	my %queues = map { $_ => 1 } grep { /^socket:/ } values %{ { fds($worker{1}) } };
	my ($client, $helper);
	kill 'STOP', $worker{1};
	for (1 .. CLIENTS) {
		$client = $three->udp_socket;
		is(echo_once($client, 'x'), 'x', 'answered');
		# The log may tell it later.
		($helper) = grep {
			my %open = fds($worker{$_});
			grep { $queues{$_} } values %open
		} 0, 2;
		last if defined $helper;
	}
	like($helper // q{}, qr/[02]/, 'a client of the stopped worker has a helper');
	kill 'STOP', $worker{$helper};
	is(echo_once($client, 'y'), 'y', 'another worker answers when the first helper is stopped');
	kill 'CONT', @worker{ 1, $helper };
	is($three->stop, 0, 'it stops');
};

# One that stood still is not trusted for some seconds, unless nobody else is
# there.
subtest 'a worker that has just recovered helps' => sub {
	calm();
	my $from   = $server->log_size;
	my %worker = $server->workers;
	kill 'STOP', $worker{1};
	my @open = map { $server->tcp_socket } 1 .. CLIENTS;
	ok($server->wait_log(qr/serves for slot 1/, 20, $from), 'a sibling adopts the queue of worker 1, which is stopped');
	kill 'CONT', $worker{1};
	close $_ for @open;
	die_until_backoff(0);
	ok($server->wait_log(qr/worker 1 .* serves for slot 0/, 20, $from), 'worker 1, just continued, adopts the queue of slot 0');
	serves('by it');
	calm();
	serves('afterwards');
};

subtest 'fewer workers' => sub {
	calm();
	my $from = $server->log_size;
	my %fds  = fds($server->pid);
	$server->signal('TTOU');
	ok($server->wait_log(qr/worker 0 .* serves for slot 1, because it has no worker$/m, 20, $from),
		'its sockets are adopted');
	serves('with one worker');
	$server->signal('HUP');
	ok($server->wait_log(qr/reloaded/, 20, $from), 'a reload later');
	ok($server->wait_log(qr/started worker 1/, 20, $from), 'worker 1 starts again after a reload');
	ok($server->wait_log(qr/slot 1 recovered; worker \d released its listeners/, 20, $from),
		'worker 1 takes its listeners back from the adopter');
	serves('with two');
	ok(wait_for(sub { my %now = fds($server->pid); keys %now <= keys %fds }, 10),
		'the master holds no more than before');
};

subtest 'fewer workers for long' => sub {
	my $from = $server->log_size;
	my %all  = fds($server->pid);
	$server->signal('TTOU');
	ok($server->wait_log(qr/closed the listeners of removed slots; 1 worker left/, 20, $from),
		'surplus sockets are closed');
	my %now = fds($server->pid);
	cmp_ok(scalar(keys %now), '<', scalar(keys %all), 'the master closed descriptors of the removed slot');
	my @tcp = $server->addresses('tcp', 4);
	ok(wait_for(sub { listeners($tcp[0][2]) == 1 }, 20), 'no process has the listener of the removed slot');
	serves('by the slots that stay');
	$server->signal('TTIN');
	ok($server->wait_log(qr/started worker 1/, 20, $from), 'worker 1 starts again after TTIN');
	ok(wait_for(sub { listeners($tcp[0][2]) == 2 }, 20), 'the second slot opens a new listener');
	serves('with two again');
};

# The adopter closes its duplicate when it gets to it. Until then no client may
# be put into that queue: one that is on the way when it closes is reset, or
# comes a second later.
subtest 'a queue that is about to go' => sub {
	my $one    = Prefork->start('-w', 2, '-p', 0, '-b', '127.0.0.1', '--worker-timeout', 60);
	my $from   = $one->log_size;
	my %worker = $one->workers;
	my @tcp    = $one->addresses('tcp', 4);
	$one->signal('TTOU');
	ok($one->wait_log(qr/worker 0 .* serves for slot 1/, 20, $from), 'adopted');
	ok(wait_for(sub { !kill 0, $worker{1} }, 20), 'its worker has gone');
	is(echo_once($one->tcp_socket, 'x'), 'x', 'the adopter serves a client of the removed slot');
	kill 'STOP', $worker{0};
	ok($one->wait_log(qr/closed the listeners of removed slots; 1 worker left/, 20, $from), 'closed');
	is(listeners($tcp[0][2]), 2, 'the stopped adopter keeps the removed listener open');
	my $closed = now();
	wait_for(sub { now() - $closed > STOPPED_SECONDS }, 20);
	my @clients = map { $one->tcp_socket } 1 .. CLIENTS;
	is(listeners($tcp[0][2], 1), 1, 'all clients are in one queue');
	kill 'CONT', $worker{0};
	is(scalar(grep { (echo_once($_, 'y') // q{}) eq 'y' } @clients), CLIENTS, 'the adopter, continued, serves all clients');
	is($one->stop, 0, 'it stops');
};

# A handshake stands in no queue. A deferred one lasts until its client sends, or
# for as long as the listener says.
subtest 'handshakes that take long' => sub {
	my $two    = Prefork->start('-w', 2, '-p', 0, '-b', '127.0.0.1');
	my $closed = qr/closed the listeners of removed slots; 1 worker left/;
	my $from   = $two->log_size;
	for my $listener (grep { $_->{state} eq 'listening' } sockets_of($two->pid)) {
		setsockopt $listener->{handle}, IPPROTO_TCP, TCP_DEFER_ACCEPT, 60
		    or die "TCP_DEFER_ACCEPT: $!\n";
	}
	my @slow = map { $two->tcp_socket } 1 .. CLIENTS;
	$two->signal('TTOU');
	# Closed too early, it would be closed within this.
	$two->wait_log($closed, 5, $from);
	is(scalar(grep { (echo_once($_, 'x') // q{}) eq 'x' } @slow), CLIENTS,
		'all are served in the end');
	ok($two->wait_log($closed, 20, $from), 'the listeners are closed then');
	is($two->stop, 0, 'it stops');
};

is($server->stop, 0, 'it stops');
done_testing();

sub die_until_backoff {
	my ($slot) = @_;
	my $after = $server->log_size;

	while (1) {
		my %worker = $server->workers;
		my $pid    = $worker{$slot};
		kill 'KILL', $pid;
		$after = $server->wait_log(qr/worker $slot [(]$pid[)] killed.*\n/,
			20, $after);
		last if substr($server->log_text, 0, $after) =~ /restarting in \d+ ms\n\z/;
		$after = $server->wait_log(qr/started worker $slot/, 20, $after);
		last if !defined $after;
	}
	return;
}

# Waits until no slot has help. One that was slow for a moment has it for some
# seconds, and gets no other meanwhile. Nobody is slow without clients.
sub calm {
	my $helped = sub {
		my %helper;

		for (split /\n/, $server->log_text) {
			$helper{$2} = $1 if /\sworker\s\d+\s[(](\d+)[)]\sserves\sfor\sslot\s(\d+),/x;
			delete $helper{$1} if /\sslot\s(\d+)\srecovered;/x;
			# A worker that leaves or dies helps no more.
			next if !/\sworker\s\d+\s[(](\d+)[)]\s(?!serves)/x;
			my $pid = $1;
			delete @helper{ grep { $helper{$_} == $pid } keys %helper };
		}
		return scalar keys %helper;
	};

	return ok(wait_for(sub { !$helped->() }, 20), 'no worker serves for a sibling any more');
}

# How many IPv4 sockets listen on the port, or of them have something queued.
sub listeners {
	my ($port, $queued) = @_;
	my $local = sprintf ':%04X', $port;

	open my $table, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!\n";
	return scalar grep {
		(split)[1] =~ /$local$/ && (split)[3] eq '0A' && (!$queued || (split)[4] !~ /:0+$/)
	} <$table>;
}

# Whether nothing waits in the queues of the server's listeners.
sub empty_queues {
	return !grep { listeners($_->[2], 1) } $server->addresses('tcp', 4);
}

# New clients over TCP and UDP, spread over both queues, are all answered.
sub serves {
	my ($when) = @_;
	my @open = map { ($server->tcp_socket, $server->udp_socket) } 1 .. CLIENTS;
	my @bad  = grep { (echo_once($open[$_], "n$_") // q{}) ne "n$_" } 0 .. $#open;

	return is_deeply(\@bad, [], "everybody is answered $when");
}

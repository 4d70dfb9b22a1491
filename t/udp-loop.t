#!/usr/bin/perl

# Two servers that answer each other: a loop ends by itself, also one of many
# datagrams; a client that sends the same again and again is served nearly as
# any other. And --udp-rate, which bounds each client.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use IO::Socket::IP;
use List::Util qw(uniq);
use Prefork;
use Prefork::Sockets;
use Prefork::Tools qw(now);
use Socket qw(SOCK_DGRAM);
use Test::More;

use constant {
	# Below 100 a second nothing is dropped; above, one of 100 or fewer.
	REPEATS => 100,
	WINDOW  => 50,
	MANY    => 3000,
	# Counts are logged once a minute.
	PATIENCE => 100,
};

for my $n (1, 5) {
	subtest "a loop of $n" => sub {
		my ($first, $second, $begun) = loop_of($n);
		my @both = ($first, $second);

		# Each server drops some of them.
		ok(wait_for(sub { dropped(@both) >= $n }, PATIENCE), 'as many are dropped')
		    or diag(dropped(@both), ' dropped');
		my $bound = 1000 * $n + 2 * REPEATS * (now() - $begun);
		my $turns = turns(@both);
		cmp_ok($turns, '<', $bound, "it ended after $turns turns");
		# Neither has anything else to do: more turns would come at once.
		for my $server (@both) {
			is(echo_once($server->udp_socket, 'abc'), 'abc', 'echo') for 1 .. 50;
		}
		is(turns(@both), $turns, 'it does not go on');
		is($_->stop, 0, 'exit status') for @both;
		is(dropped(@both), $n, 'no more are dropped than there were');
		like(join(q{}, map { $_->log_text } @both),
			qr/loop\sguard:\sdropped\s\d+\sdatagrams?,.*\sfrom\s127[.]0[.]0[.]1:\d+,.*--loop-guard\soff/x,
			'the log tells it, and the remedy');
	};
}

# Payloads of a client that sends at its own pace: the same; the same at both
# ends; with a number, as a load test has it.
for my $case (
	[ 'the same',      sub { 'x' x 64 },                                     30 ],
	[ 'nearly same',   sub { sprintf '%s%08d%s', 'x' x 40, $_[0], 'y' x 40 }, 0 ],
	[ 'very nearly',   sub { sprintf '%s%08d%s', 'x' x 16, $_[0], 'y' x 8 },  0 ],
	[ 'numbered',      sub { sprintf '%08d', $_[0] },                         0 ],
	[ 'the same, off', sub { 'x' x 64 }, 0, qw(--loop-guard off) ],
    )
{
	my ($name, $payload, $allowed, @arguments) = @{$case};

	subtest "a client sends $name" => sub {
		my $server = Prefork->start(qw(-w 1 -p 0 -b 127.0.0.1), @arguments);
		my $missing = MANY - stream($server->udp_socket, MANY, $payload);

		cmp_ok($missing, '<=', $allowed, "$missing of ${\MANY} are missing");
		is($server->stop, 0, 'exit status');
		my $all = dropped($server);
		cmp_ok($all, '<=', $missing, "of which $all are told");
	};
}

subtest 'the same, not often' => sub {
	my $server = Prefork->start(qw(-w 1 -p 0 -b 127.0.0.1));

	for (1 .. 20) {
		my $client = $server->udp_socket;
		is(stream($client, REPEATS, sub { 'x' x 64 }), REPEATS, 'of a hundred all come back');
	}
	is($server->stop, 0, 'exit status');
	is(dropped($server), 0, 'none is dropped');
};

subtest '--udp-rate' => sub {
	my $server = Prefork->start(qw(-w 1 -p 0 -b 127.0.0.1 --udp-rate 200:500));
	my $begun  = now();
	my $came   = stream($server->udp_socket, 1000, sub { sprintf '%08d', $_[0] });
	my $told   = qr/udp-rate:\sdropped\s(\d+)\sdatagrams?,.*over\s200\s.*over\s500\sa\ssecond/x;

	cmp_ok($came, '>=', 200, "$came of 1000 by one client come back");
	cmp_ok($came, '<=', 200 * (2 + now() - $begun), "$came of 1000 are not many more than allowed");
	# The others share the network.
	my @others = map { stream($server->udp_socket, 150, sub { sprintf '%08d', $_[0] }) } 1 .. 10;
	my $sum = 0;
	$sum += $_ for @others;
	cmp_ok($sum + $came, '<=', 500 * (2 + now() - $begun), "$sum of 1500 by ten others");
	is($server->stop, 0, 'exit status');
	is($server->log_text =~ /$told/ ? 1 : 0, 1, 'the log tells it');
};

for my $bad (qw(x -1 1: :1 1:x 0:5 1:2:3 1000000000)) {
	my ($code, undef, $errors) = run_cmd(Prefork::program(), '-t', "--udp-rate=$bad");
	is($code, 64, "--udp-rate $bad is refused");
	like($errors, qr/udp-rate.*N\[:NETWORK\]/x, 'with the reason');
}
for my $good ([ 0, '0' ], [ 5, '5:50' ], [ '5:7', '5:7' ], [ '5:0', '5:0' ]) {
	my ($code, $output) = run_cmd(Prefork::program(), '-T', '--udp-rate', $good->[0]);
	is($code, 0, "--udp-rate $good->[0] is taken");
	like($output, qr/^udp-rate\s\Q$good->[1]\E$/mx, "--udp-rate $good->[0] is printed as $good->[1]");
}
done_testing();

# A socket sends n datagrams to a server that does not run for the moment; then a
# second server gets the socket's port.
sub loop_of {
	my ($n) = @_;
	my $first  = Prefork->start(qw(-v -w 1 -p 0 -b udp:127.0.0.1));
	my %worker = $first->workers;
	my $socket = $first->udp_socket;
	my $port   = $socket->sockport;

	kill 'STOP', $worker{0};
	send $socket, 'a loop', 0 for 1 .. $n;
	close $socket;
	my $second = Prefork->start(qw(-v -w 1 -b udp:127.0.0.1 -p), $port);
	kill 'CONT', $worker{0};
	return ($first, $second, now());
}

sub turns {
	return scalar map { $_->log_text =~ /recv:\sb'a\sloop'/g } @_;
}

# As the log tells.
sub dropped {
	my (@servers) = @_;
	my $sum = 0;

	$sum += $_ for map { $_->log_text =~ /loop\sguard:\sdropped\s(\d+)\s/g } @servers;
	return $sum;
}

# Sends n datagrams, a window at a time at most unanswered; how many come back.
sub stream {
	my ($socket, $n, $payload) = @_;
	my $select = IO::Select->new($socket);
	my ($sent, $came, $missing) = (0, 0, 0);

	while ($came + $missing < $n) {
		if ($sent < $n && $sent - $came - $missing < WINDOW) {
			send $socket, $payload->($sent++), 0;
			next;
		}
		if ($select->can_read(1)) {
			recv $socket, my $answer, 65_535, 0;
			$came++;
		} else {
			$missing = $sent - $came;
		}
	}
	return $came;
}

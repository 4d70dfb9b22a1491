#!/usr/bin/perl

# Established connections outlive reloads and resizes: they go from worker to
# worker, with their unsent and unread bytes, and no old worker stays for them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Socket qw(SHUT_WR);
use Test::More;

use constant CONNECTIONS => 40;
use constant ROUNDS      => 6;

my $server  = Prefork->start('-w', 3, '-p', 0);
my @clients = map { $server->tcp_socket } 1 .. CONNECTIONS;

# One peer owes us a read: its connection travels with unsent bytes, paused.
my $slow = $server->tcp_socket;
my $sent = fill($slow);
ok($sent > 65_536, 'a peer that does not read is not read from');

# One has sent its end already, and is owed the echo.
my $half = $server->tcp_socket;
my $owed = fill($half);
shutdown $half, SHUT_WR;

for my $round (1 .. ROUNDS) {
	my %old  = $server->workers;
	my $from = $server->log_size;
	my ($signal, $done) = @{
		[ [ 'HUP', qr/reloaded: 3/ ], [ 'TTOU', qr/workers is 2/ ], [ 'TTIN', qr/workers is 3/ ] ]
		->[ ($round - 1) % 3 ]
	};
	$server->signal($signal);
	ok($server->wait_log($done, 20, $from), "round $round: $signal");
	my @bad = grep { echo_once($clients[$_], "$round-$_") ne "$round-$_" }
	    0 .. $#clients;
	is_deeply(\@bad, [], "round $round: every connection echoes");
	my $wanted = $signal eq 'TTOU' ? 2 : 3;
	ok(wait_for(sub { $server->workers_alive == $wanted }, 10),
		"round $round: no old worker stays");
}

is(length drain($slow, $sent), $sent, 'unsent and unread bytes came');
is(length drain($half, $owed), $owed, 'after its end as well');
my ($rest, $how) = read_until_eof($half);
is($how, 'eof', 'the half-closed connection ends after the owed bytes');
undef $_ for @clients;
is($server->stop, 0, 'it stops');
done_testing();

# Sends until nothing more is taken, and returns how much was.
sub fill {
	my ($socket) = @_;
	my $total = 0;
	my $data  = 'x' x 65_536;

	$socket->blocking(0);
	while ($total < 64_000_000) {
		my $set = q{};
		vec($set, fileno $socket, 1) = 1;
		last if !select undef, $set, undef, 0.5;
		$total += syswrite($socket, $data) // 0;
	}
	$socket->blocking(1);
	return $total;
}

sub drain {
	my ($socket, $length) = @_;
	my $data = q{};

	while (length $data < $length) {
		my $set = q{};
		vec($set, fileno $socket, 1) = 1;
		last if !select $set, undef, undef, 10;
		sysread $socket, $data, 1_048_576, length $data or last;
	}
	return $data;
}

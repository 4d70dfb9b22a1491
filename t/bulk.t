#!/usr/bin/perl

# Bulk: connections with bytes that go through a pipe, while workers come and
# go.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Digest::SHA;
use IO::Select;
use Prefork;
use Prefork::Check;
use Socket qw(SHUT_WR);
use Test::More;

use constant CHUNK   => 1 << 18;
use constant BYTES   => 100 << 20;
use constant RELOADS => 5;

my $server = Prefork->start('-w', 2, '-p', 0);

for my $poller (qw(epoll poll)) {
	my $own = Prefork->start('-w', 1, '-p', 0, '--poller', $poller);
	my ($pid)  = values %{ { $own->workers } };
	my $before = pipes($pid);
	my ($sent, $got, $at_work) = stream($own->tcp_socket, sub { pipes($pid) });

	is($got, $sent, "$poller: 100 MiB are the same");
	cmp_ok($at_work, '>', $before, "$poller: and went through a pipe");
	is(echo_once($own->tcp_socket, 'small'), 'small', "$poller: and a small one");
	is($own->stop, 0, "$poller: it stops");
}

# Every byte is checked while connections go from worker to worker.
my $run = start('-p', $server->port, '-n', 12, '-z', 65_536, '--pipeline', 4,
	'-d', 4);
for my $round (1 .. RELOADS) {
	my $from = $server->log_size;
	$server->signal('HUP');
	ok($server->wait_log(qr/reloaded: 2/, 20, $from), "round $round: reloaded");
	ok(wait_for(sub { $server->workers_alive == 2 }, 10),
		"round $round: no old worker stays");
}
my ($status, $result) = finish($run);
is($status, 0, 'nothing lost');
cmp_ok($result->{echoed} // 0, '>', 0, 'of something')
    or diag(explain($result));

# A stop in the midst of it: the bytes that come are those sent, up to the end.
my $socket = $server->tcp_socket;
$socket->blocking(0);
my ($sent, $got) = (q{}, q{});
while (length $sent < 32 << 20) {
	my $data = chunk(length($sent) / CHUNK);
	my $n    = syswrite $socket, $data;
	last if !$n;
	$sent .= substr $data, 0, $n;
	last if $n < CHUNK;
	sysread $socket, $got, CHUNK, length $got;
}
$server->signal('TERM');
$socket->blocking(1);
my ($rest, $how) = read_until_eof($socket);
$got .= $rest;
is($how, 'eof', 'a stop ends it in order');
cmp_ok(length $got, '>', CHUNK, 'much has come');
ok($got eq substr($sent, 0, length $got), 'the received bytes are the beginning of those sent');
is($server->wait_exit, 0, 'it stops');
done_testing();

sub chunk { my ($i) = @_; return pack 'N*', map { $i * CHUNK + $_ } 1 .. CHUNK / 4 }

sub pipes {
	my ($pid) = @_;

	return scalar grep { (readlink // q{}) =~ /^pipe:/ } glob "/proc/$pid/fd/*";
}

# Send much, read it back: both digests, and the most that look returned.
sub stream {
	my ($peer, $look) = @_;
	my ($out, $in) = map { Digest::SHA->new(1) } 1, 2;
	my ($written, $read, $most, $turns) = (0, 0, 0, 0);
	my $reader  = IO::Select->new($peer);
	my $pending = q{};

	$peer->blocking(0);
	while ($read < BYTES) {
		my @want = $written < BYTES ? $reader : ();
		my ($r, $w) = IO::Select->select($reader, @want ? @want : undef, undef, 10);
		last if !$r;
		if (@{$w}) {
			$pending = chunk($written / CHUNK) if $pending eq q{};
			my $n = syswrite $peer, $pending;
			if ($n) {
				$out->add(substr $pending, 0, $n, q{});
				$written += $n;
			}
		}
		if (@{$r}) {
			my $n = sysread $peer, my $data, CHUNK;
			last if defined $n && $n == 0;
			if ($n) {
				$in->add($data);
				$read += $n;
			}
		}
		next if $turns++ % 64 != 0;
		my $seen = $look->();
		$most = $seen if $seen > $most;
	}
	shutdown $peer, SHUT_WR;
	return ($out->hexdigest, $in->hexdigest, $most);
}

#!/usr/bin/perl

# A server with state, killed at every point of its way in turn: each line
# reaches each client exactly once and in order, at each point of a kill.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use Prefork;
use Prefork::Tools qw(now);
use Test::More;

use constant CLIENTS => 3;
# Far more than there are: a bound.
use constant POINTS => 2000;

my $died = 1;
my $point;
for ($point = 1; $died && $point < POINTS; $point++) {
	$died = killed_at($point);
}
ok(!$died, 'the last point was reached') and diag("points: $point");
killed_often();
done_testing();

sub chat {
	my ($die_at) = @_;

	return Prefork->start({ program => "$Prefork::O/examples/chat",
			env => { CHAT_DIE_AT => $die_at } }, '-p', 0, '-4');
}

# Reads from the sockets until each has so much, or the time is up.
sub gather {
	my ($sockets, $len) = @_;
	my @got = (q{}) x @{$sockets};
	my $deadline = now() + 10;

	for my $i (0 .. $#{$sockets}) {
		while (length $got[$i] < $len) {
			my $select = IO::Select->new($sockets->[$i]);
			my $left = $deadline - now();
			last if $left <= 0 || !$select->can_read($left);
			sysread($sockets->[$i], $got[$i], 65536, length $got[$i]) or last;
		}
	}
	return @got;
}

# One conversation; whether the worker died in it.
sub killed_at {
	my ($n)    = @_;
	my $server = chat($n);
	my @in     = map { $server->tcp_socket } 1 .. CLIENTS;
	my $expected = q{};
	my @wrong;

	for my $i (0 .. CLIENTS - 1) {
		# In pieces, and two lines at once.
		syswrite $in[$i], $_ for "first of $i\nse", "cond of $i\n";
		$expected = (2 * $i + 1) . " first of $i\n" . (2 * $i + 2) . " second of $i\n";
		my @got = gather(\@in, length $expected);
		push @wrong, grep { $_ ne $expected } @got;
	}
	close pop @in;
	my $late = $server->tcp_socket;
	my $all = join q{}, map { (2 * $_ + 1) . " first of $_\n" . (2 * $_ + 2) . " second of $_\n" } 0 .. CLIENTS - 1;
	my ($history) = gather([$late], length $all);
	push @wrong, $history if $history ne $all;
	close $_ for @in, $late;
	my $status = $server->stop;
	# The log may be behind while it runs.
	my $deaths = () = $server->log_text =~ /killed\sby\ssignal\s9/gx;
	push @wrong, "exit status $status" if $status != 0;
	ok(!@wrong, "point $n") or diag(explain(\@wrong), $server->log_text);
	return $deaths;
}

# Under load, at random.
sub killed_often {
	my $server = chat(0);
	my @in     = map { $server->tcp_socket } 1 .. CLIENTS;
	my @got    = (q{}) x CLIENTS;

	for my $round (1 .. 300) {
		syswrite $in[ $round % CLIENTS ], "line $round\n";
		kill 'KILL', { $server->workers }->{0} if $round % 7 == 0;
		my $line = "$round line $round\n";
		my @now = gather(\@in, length $line);
		$got[$_] .= $now[$_] for 0 .. $#now;
	}
	my $expected = join q{}, map { "$_ line $_\n" } 1 .. 300;
	ok($got[$_] eq $expected, "client $_: each line once and in order") for 0 .. CLIENTS - 1;
	close $_ for @in;
	is($server->stop, 0, 'exit status');
	return;
}

#!/usr/bin/perl

# A server with state, killed at every point of its way in turn, killed and reloaded
# at random, resized and upgraded: each line reaches each client exactly once and in
# order.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use List::Util qw(sum0);
use Prefork;
use Prefork::Life  qw(count current_workers temp_dir);
use Prefork::Tools qw(now);
use Test::More;

use constant CLIENTS => 3;
# A conversation has some 250; a slow one has more, of the timer.
use constant POINTS => 320;
# So many lines of a client are on their way under load.
use constant AHEAD => 20;
use constant TIMEOUT => 120;

my $died = 1;
for (my $point = 1; $died && $point < POINTS; $point++) {
	$died = killed_at($point, 1);
	killed_at($point, 2) if $point % 8 == 0;
}
killed_often();
under_load('reloads', [qw(-w 3)], [qw(HUP HUP HUP HUP)], 0);
under_load('reloads and kills', [qw(-w 3)], [qw(HUP HUP HUP HUP)], 1);
under_load('other numbers of workers', [qw(-w 2)], [qw(TTIN TTIN TTOU HUP TTIN TTOU)], 1);
upgraded();
done_testing();

sub chat {
	my ($env, @arguments) = @_;

	return Prefork->start({ program => "$Prefork::O/examples/chat", env => $env }, '-p', 0, '-4', @arguments);
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
	my ($n, $workers) = @_;
	my $server = chat({ CHAT_DIE_AT => $n }, '-w', $workers);
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
	ok(!@wrong, "point $n, $workers workers") or diag(explain(\@wrong), $server->log_text);
	return $deaths;
}

# Whether the two are the same, or where they begin to differ.
sub same {
	my ($got, $expected, $name) = @_;
	my ($common) = ($got ^ $expected) =~ /^(\0*)/;
	my $at = length $common;

	return ok($got eq $expected, $name)
	    || diag(sprintf "after %d of %d bytes: '%s', not '%s'", $at, length $expected, substr($got, $at, 80), substr $expected, $at, 80);
}

# Under load, at random.
sub killed_often {
	my $server = chat({}, '-w', 1);
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
	same($got[$_], $expected, "client $_: each line once and in order") for 0 .. CLIENTS - 1;
	close $_ for @in;
	is($server->stop, 0, 'exit status');
	return;
}

# Clients that say lines all the time, while the master gets some signals, each after
# the last one's end, and some workers are killed.
sub under_load {
	my ($name, $arguments, $signals, $kills) = @_;
	my $server  = chat({}, @{$arguments});
	my @clients = clients($server, 5);
	my ($sent, $from, $next, $served) = (0, 0, now(), 0);
	my $serves = qr/\]\sserving\son\s/x;
	# A reload may fail only where the worker that begins to serve is killed.
	my $ended = qr/\]\s(?:reloaded:|the\snumber\sof\sworkers\sis)/x;
	$ended = qr/$ended|\]\sreload\sfailed:/x if $kills;

	converse(
		\@clients,
		sub {
			# On a slow machine no worker would serve before its own end.
			if ($kills && now() > $next && count($server->log_text, $serves) > $served) {
				my @workers = current_workers($server);
				kill 'KILL', $workers[ rand @workers ] if @workers;
				$served = count($server->log_text, $serves);
				$next   = now() + 0.02;
			}
			return 1 if $sent && substr($server->log_text, $from) !~ $ended;
			return 0 if $sent == @{$signals};
			$from = $server->log_size;
			return $server->signal($signals->[ $sent++ ]);
		}
	);
	is($sent, scalar @{$signals}, "$name: all signals");
	in_order($name, $server, @clients);
	return;
}

# Some clients, which are in the room when this returns: each has said a line.
sub clients {
	my ($server, $count) = @_;
	my @clients;

	for my $name (1 .. $count) {
		my $socket = $server->tcp_socket;
		syswrite $socket, "line 1 of $name\n";
		my ($got) = gather([$socket], length join q{}, map { "$_ line 1 of $_\n" } 1 .. $name);
		push @clients, { socket => $socket, name => $name, said => 1, own => 1, got => $got, lines => $name - $count, at => length $got };
	}
	return @clients;
}

# The clients say lines while there is more to be done, and read until they have all.
sub converse {
	my ($clients, $more) = @_;
	my $select   = IO::Select->new(map { $_->{socket} } @{$clients});
	my $deadline = now() + TIMEOUT;
	my ($goes_on, $all) = (1, 0);

	while (now() < $deadline && ($goes_on || grep { $_->{lines} < $all } @{$clients})) {
		$goes_on &&= $more->();
		for my $c (grep { $goes_on && $_->{said} < $_->{own} + AHEAD } @{$clients}) {
			$c->{said}++;
			$all++;
			syswrite $c->{socket}, "line $c->{said} of $c->{name}\n";
		}
		my %ready = map { $_ => 1 } $select->can_read(0.01);
		hear($_) || return for grep { $ready{ $_->{socket} } } @{$clients};
	}
	return;
}

# Reads, and counts the lines.
sub hear {
	my ($c) = @_;

	sysread $c->{socket}, $c->{got}, 65_536, length $c->{got} or return 0;
	pos($c->{got}) = $c->{at};
	while ($c->{got} =~ /\G\d+\sline\s\d+\sof\s(\d+)\n/gc) {
		$c->{lines}++;
		$c->{own}++ if $1 == $c->{name};
	}
	$c->{at} = pos $c->{got};
	return 1;
}

# All have the same lines, with all numbers, and each client's in its order.
sub in_order {
	my ($name, $server, @clients) = @_;
	my @lines = split /\n/, $clients[0]{got};
	my %said;

	same($_->{got}, $clients[0]{got}, "$name: client $_->{name} has what the first one has") for @clients;
	is(scalar @lines, sum0(map { $_->{said} } @clients), "$name: all lines");
	my @wrong = grep { $lines[$_] !~ /^(\d+)\sline\s(\d+)\sof\s(\d+)$/ || $1 != $_ + 1 || $2 != ++$said{$3} } 0 .. $#lines;
	is_deeply([ @lines[@wrong] ], [], "$name: each once, in order");
	my $late    = join q{}, map { "$_\n" } @lines[-16 .. -1];
	my ($heard) = gather([ $server->tcp_socket ], length $late);
	is($heard, $late, "$name: the last ones for a new client");
	is($server->stop, 0, "$name: exit status") or diag($server->log_text);
	return;
}

# A new program in place of the old one, with the room in a file.
sub upgraded {
	my $dir     = temp_dir();
	my $server  = chat({ CHAT_ROOM => "$dir/room" }, '-w', 2, '--control', "$dir/control");
	my @clients = clients($server, 3);
	my ($from, $sent) = (0, 0);

	converse(
		\@clients,
		sub {
			return 1 if $sent && substr($server->log_text, $from) !~ /\]\supgraded\b/;
			return 0 if $sent == 2;
			$from = $server->log_size;
			$sent++;
			return $server->signal('USR2');
		}
	);
	is($sent, 2, 'two upgrades');
	in_order('upgrades', $server, @clients);
	return;
}

package Torture::Many;

# The rows in which a worker with very many connections is killed: the time until
# its clients get their next answer, and the clients of the other workers theirs. And
# the one in which workers are killed very often.

use strict;
use warnings;

use IO::Select ();
use IO::Socket::INET ();
use Prefork::Tools qw(now wait_for fds children);
use Torture::Keeper;
use Torture::Rows;
use Torture::Run;

use constant {
	KILLS      => 10,
	SAMPLES    => 200,    # clients that send at once after each death
	OURS       => 10_000,    # connections of this process
	RESTART_MS => 50,    # for each 10,000 connections of the dead worker
	OTHERS_MS  => 20,
	SOURCE     => '127.0.0.9',    # which others do not use
	WAIT       => 10,
	CONNECT    => 60,
	LOOKS      => 20,    # as many that are the same
	WORKERS    => 4,
	CLIENTS    => 8,    # of the row of many kills
	TOLERANCE  => 256,    # KiB a process
};

sub rows {
	return (
		[ 'restart/10000' => sub { many('restart/10000', 1) } ],
		[ 'restart/50000' => sub { many('restart/50000', 4, 13_500, 13_500, 13_000) } ],
		[ 'kills/10000' => \&very_often ],
	);
}

# Descriptors by kind of the master and of each keeper, whose table is its worker's, and
# the anonymous memory of all, once each slot is served.
sub sizes {
	my ($server) = @_;
	my @keepers = children($server->{pid});
	my %size = (master => kinds($server->{pid}), memory => 0);

	$size{$_} = kinds($_) for @keepers;
	$size{memory} += Torture::Server::anonymous($_)
	    for $server->{pid}, @keepers, map { children($_) } @keepers;
	return %size;
}

# How many of each kind a process has.
sub kinds {
	my ($pid) = @_;
	my %fds = fds($pid);
	my %n;

	$n{ $_ =~ s/[:\[].*//r || $_ }++ for values %fds;
	return join q{ }, scalar(keys %fds), map { "$_ $n{$_}" } sort keys %n;
}

# Those that are not as they were; memory is another matter.
sub others {
	my ($was, $now) = @_;

	return grep { $_ ne 'memory' && ($now->{$_} // q{}) ne $was->{$_} } sort keys %{$was};
}

# The sizes when they have not changed for so many looks: a worker that has just been
# started has few descriptors, one that helps a sibling out has more.
sub settled {
	my ($server) = @_;
	my %size = sizes($server);
	my $same = 0;

	wait_for(sub {
		my %now = sizes($server);
		$same = others(\%size, \%now) ? 0 : $same + 1;
		%size = %now;
		return $same >= LOOKS;
	}, WAIT);
	return %size;
}

# A few connections that go on all the time, so that descriptors can be compared.
sub very_often {
	my $wanted = Torture::Rows::times_of(10_000, 300);
	my %first;

	run_loaded(
		row    => 'kills/10000',
		load   => [ [ '-n', CLIENTS, '-r', 2000 ] ],
		server => [ '-w', WORKERS ],
		events => sub {
			my ($server) = @_;
			my @wrong;
			for my $n (1 .. $wanted) {
				wait_for(sub { $server->serving == WORKERS }, WAIT)
				    or return (events => $n, wrong => ["no restart after $n"]);
				if ($n == 10) {
					# A load that waits for a CPU connects late.
					wait_for(sub { sockets() >= 2 * CLIENTS + WORKERS }, WAIT)
					    or return (events => $n, wrong => ['the load does not connect']);
					%first = settled($server);
				}
				my @workers = $server->serving;
				kill 'KILL', $workers[ rand @workers ] if @workers;
			}
			my %left = Torture::Keeper::afterwards($server);
			my %last;
			# A leak stays.
			wait_for(sub { %last = sizes($server); !others(\%first, \%last) }, WAIT);
			for my $what (others(\%first, \%last)) {
				push @wrong, "descriptors of $what: $first{$what}, then " . ($last{$what} // 'none');
			}
			my $grown = $last{memory} - $first{memory};
			push @wrong, "memory grew by $grown KiB" if $grown > (1 + 2 * WORKERS) * TOLERANCE;
			return (events => $wanted, wrong => [ @wrong, @{ $left{wrong} } ],
				notes => ["anonymous memory after 10 kills $first{memory} KiB, at the end $last{memory}"]);
		},
	);
	return;
}

sub connected {
	my ($n) = @_;
	my @clients;

	for my $i (0 .. $n - 1) {
		push @clients, IO::Socket::INET->new(
			LocalAddr => SOURCE,
			PeerAddr  => "127.0.0.1:$PORT",
		) // die "connection $i: $@\n";
	}
	return @clients;
}

# Those of clients and server.
sub sockets {
	open my $file, '<', '/proc/net/sockstat' or return 0;
	my ($n) = map { /^TCP:\sinuse\s(\d+)/x } <$file>;
	return $n // 0;
}

# Sends a byte on each and returns the milliseconds until it came back, sorted.
sub answers {
	my (@clients) = @_;
	my $select = IO::Select->new(@clients);
	my (%sent, @took);

	for my $client (@clients) {
		$sent{$client} = now();
		syswrite $client, 'x';
	}
	while ($select->count) {
		my @ready = $select->can_read(WAIT) or last;
		for my $client (@ready) {
			push @took, 1000 * (now() - $sent{$client}) if sysread($client, my $byte, 1) == 1;
			$select->remove($client);
		}
	}
	@took = sort { $a <=> $b } @took;
	return @took;
}

sub middle { my (@values) = sort { $a <=> $b } @_; return $values[ @values / 2 ] }

# The connections of this process send, those of others are there.
sub many {
	my ($row, $workers, @more) = @_;
	my $n = OURS;

	$n += $_ for @more;
	progress("$row ...");
	my $server = Torture::Server->start({ name => $row =~ tr{/}{-}r },
		'-w', $workers, '-p', $PORT, '-b', '127.0.0.1');
	# On a busy machine so many connects last longer than the usual 5 s.
	my @loads = map {
		Torture::Load->start([], '-p', $PORT, '-n', $_, '-r', 10, '--sources', 4, '-t', CONNECT)
	} @more;
	my $begun   = now();
	my $wanted  = Torture::Rows::times_of(KILLS, 3);
	my (@own, @others, @wrong);
	eval {
		my @clients = connected(OURS);
		wait_for(sub { sockets() >= 2 * $n }, CONNECT) or die "no $n connections within a minute\n";
		for (1 .. $wanted) {
			my %some = map { $_ => $_ } map { $clients[ rand @clients ] } 1 .. SAMPLES;
			wait_for(sub { $server->serving == $workers }, WAIT) or die "not all workers serve\n";
			kill 'KILL', ($server->serving)[ rand $workers ];
			my @took = answers(values %some);
			die "lost messages\n" if @took != keys %some;
			push @own,    $took[-1];
			push @others, $took[ 0.9 * @took * ($workers - 1) / $workers ];
		}
		1;
	} or push @wrong, $@ =~ s/\s+$//r;
	my $sum = Torture::Load::sum(map { $_->finish } @loads);
	push @wrong, 'it does not settle' if !$server->settle($workers);
	@own or @own = @others = (0);
	my $bound = RESTART_MS * $n / $workers / 10_000;
	push @wrong, sprintf 'its clients waited for %.0f ms, allowed %d', middle(@own), $bound
	    if @own && middle(@own) > $bound;
	push @wrong, sprintf 'others waited for %.0f ms, allowed %d', middle(@others), OTHERS_MS
	    if $workers > 1 && @others && middle(@others) > OTHERS_MS;
	$sum->{started} += $wanted * SAMPLES;
	$sum->{echoed}  += @own * SAMPLES;
	$sum->{worst} = (sort { $b <=> $a } @own)[0] // 0;
	note_result(
		row     => $row,
		events  => $wanted,
		seconds => now() - $begun,
		sum     => $sum,
		notes   => [
			sprintf('%d connections; medians of %d kills:', $n, $wanted),
			sprintf('the last of %d answers came after %.1f ms', SAMPLES, middle(@own)),
			$workers > 1 ? sprintf('those of other workers came after %.1f ms', middle(@others)) : ()
		],
		wrong => [ @wrong, $server->finish ],
	);
	return;
}

1;

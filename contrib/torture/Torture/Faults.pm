package Torture::Faults;

# Rows that each repeat one fault of the past: handshakes that are under way when a
# listener closes, a worker that hangs alone or soon after its sibling did, connections
# that have to be shared among siblings, and a successor that is killed while it takes
# connections over.

use strict;
use warnings;

use Prefork::Tools qw(alive now pause tcp wait_for);
use Torture::Relay;
use Torture::Rows;
use Torture::Run;
use Torture::Server;

use constant {
	WORKERS  => 4,
	SLOW_MS  => 2000,
	SLOW     => 60,
	LATE_MS  => 500,
	ALONE_MS => 2500,
	LIMIT    => 100,
	CLOSED   => qr/closed\sthe\slisteners\sof\sremoved\sslots/x,
	SYN_RECV => '03',
};

sub rows {
	return (
		[ 'slow-link'      => \&slow_link ],
		[ 'hang/siblings'  => \&siblings ],
		[ 'hang/alone'     => \&alone ],
		[ 'heirs'          => \&heirs ],
		[ 'successor-dies' => \&successor_dies ],
	);
}

# Sets a flag when the log has a line like that, from now on.
sub watch {
	my ($server, $pattern) = @_;
	my $seen = 0;

	$server->follow;
	$server->{on_line} = sub { $seen ||= $_[0] =~ $pattern };
	return sub { $server->follow; return $seen };
}

# A round trip lasts 4 s, so that a handshake is under way for 4 s.
sub slow_link {
	my $row = 'slow-link';

	if (my $why = Torture::Relay::missing()) {
		skip_row($row, $why);
		return;
	}
	Torture::Relay::down();
	local $Torture::Relay::ONE_WAY_MS = SLOW_MS;
	my $ok = eval {
		run_loaded(
			row    => $row,
			away   => 1,
			load   => [ [ '-c', '-r', SLOW / 4, '-n', 1000, '-t', 60 ] ],
			events => \&slow_resizes,
		);
		1;
	};
	my $why = $@;
	Torture::Relay::down();
	die $why if !$ok;
	return;
}

sub slow_resizes {
	my ($server) = @_;
	my $wanted = Torture::Rows::times_of(6, 1);
	my $under_way = 0;

	for my $n (1 .. $wanted) {
		my $closed = watch($server, CLOSED);
		wait_for(sub { handshakes() >= SLOW / 2 }, 30)
		    or return (events => $n, wrong => ['no handshakes are under way']);
		$under_way += handshakes();
		$server->signal('TTOU');
		wait_for($closed, 90) or return (events => $n, wrong => ['the listeners are never closed']);
		Torture::Rows::resize($server, 'TTIN', WORKERS)
		    or return (events => $n, wrong => ['the removed worker does not come back']);
	}
	return (events => $wanted, notes => ["$under_way handshakes were under way at the signals"]);
}

sub handshakes {
	my $port = sprintf ':%04X', $PORT;

	open my $table, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!\n";
	return scalar grep { my @field = split; $field[3] eq SYN_RECV && $field[1] =~ /$port$/ } <$table>;
}

# One of two workers hangs, then the other one, before the first one has turned
# for 5 s.
sub siblings {
	run_loaded(
		row    => 'hang/siblings',
		load   => [ [ '-c', '-r', 1000, '-n', 2000 ] ],
		server => [ '-w', 2 ],
		bound  => LATE_MS,
		events => sub {
			my ($server) = @_;
			my $wanted = Torture::Rows::times_of(6, 1);
			for my $n (1 .. $wanted) {
				for my $pid ($server->serving) {
					my $adopted = watch($server, qr/\sserves\sfor\sslot\s/x);
					Torture::Rows::stop_idle($server, $pid);
					my $helped = wait_for($adopted, 10);
					pause_for(2);
					kill 'CONT', $pid;
					return (events => $n, wrong => ["worker $pid got no help"]) if !$helped;
					pause_for(0.3);
				}
				pause_for(6);
			}
			return (events => 2 * $wanted);
		},
	);
	return;
}

# The only worker hangs: now it goes on, now it is aborted. Its connections live on.
sub alone {
	run_loaded(
		row    => 'hang/alone',
		load   => [ [ '-c', '-r', 500, '-n', 4000 ] ],
		server => [ '-w', 1 ],
		bound  => ALONE_MS,
		events => sub {
			my ($server) = @_;
			my $wanted = Torture::Rows::times_of(10, 2);
			my @held   = map { tcp('127.0.0.1', $PORT) } 1 .. 20;
			my @wrong  = Torture::Rows::silent('before', @held);
			for my $n (1 .. $wanted) {
				my ($pid) = $server->serving;
				my $replaced = watch($server, qr/;\sstarting\sits\ssuccessor$/x);
				stop_at_rest($server, $pid, scalar @held);
				wait_for($replaced, 10) or push @wrong, "worker $pid was not replaced";
				pause_for(0.5);
				kill 'CONT', $pid if $n % 2;
				push @wrong, Torture::Rows::silent("after hang $n", @held);
				$server->settle(1) or push @wrong, "worker $pid stays";
			}
			return (events => $wanted, wrong => \@wrong);
		},
	);
	return;
}

# Stops a worker that has so many idle connections and no other.
sub stop_at_rest {
	my ($server, $pid, $idle) = @_;

	for (1 .. 1000) {
		return if ($server->freeze($pid) // last) == $idle;
		kill 'CONT', $pid;
		pause_for(0.003);
	}
	die "worker $pid is never at rest\n";
}

# Clients whose number fits, but not into one worker; and new ones meanwhile, some of
# which the kernel gives to full workers.
sub heirs {
	run_loaded(
		row    => 'heirs',
		load   => [ [ '-c', '-n', 16 ] ],
		server => [ '-n', LIMIT, '--max-per-source', 0 ],
		bound  => 2 * LATE_MS,
		events => sub {
			my ($server) = @_;
			my $wanted = Torture::Rows::times_of(20, 3);
			my $full = 0;
			for my $n (1 .. $wanted) {
				my @wrong = share($server, \$full);
				return (events => $n, wrong => \@wrong) if @wrong;
			}
			return (events => $wanted, notes => ["$full times a worker was full afterwards"]);
		},
	);
	return;
}

# Four workers have 240 connections, then three, then 270; returns the faults.
sub share {
	my ($server, $full) = @_;
	my @held = map { tcp('127.0.0.1', $PORT) // return "connect: $@" } 1 .. 240;
	my @wrong = Torture::Rows::silent('before', @held);

	$server->signal('TTOU');
	$server->settle(WORKERS - 1) or return 'the leaving worker stays';
	push @wrong, Torture::Rows::silent('after', @held);
	push @held, map { tcp('127.0.0.1', $PORT) // return "connect: $@" } 1 .. 30;
	push @wrong, Torture::Rows::silent('of full workers after', @held);
	my %other = map { $_ => 1 } Torture::Server::other_sockets();
	for my $pid ($server->serving) {
		my $has = grep { /^socket:\[(\d+)\]$/ && !$other{$1} } map { readlink($_) // () } glob "/proc/$pid/fd/*";
		push @wrong, "a worker has $has connections" if $has > LIMIT;
		${$full}++ if $has >= LIMIT;
	}
	Torture::Rows::resize($server, 'TTIN', WORKERS) or push @wrong, 'the removed worker does not come back';
	return @wrong;
}

# In each reload one successor is killed some milliseconds after its predecessor
# began to leave.
sub successor_dies {
	run_loaded(
		row    => 'successor-dies',
		load   => [ [ '-n', 2000 ] ],
		events => sub {
			my ($server) = @_;
			my $wanted = Torture::Rows::times_of(40, 6);
			my $kills = 0;
			for my $n (1 .. $wanted) {
				my @old = $server->serving;
				$kills += kill_successor($server);
				wait_for(sub { !grep { alive($_) } @old }, 10)
				    or return (events => $n, wrong => ['predecessors stay: ' . grep { alive($_) } @old]);
				$server->settle(WORKERS) or return (events => $n, wrong => ['it does not settle']);
			}
			return (
				events => $kills,
				wrong  => [ $kills ? () : 'no successor was killed' ],
			);
		},
	);
	return;
}

# Reloads; how many successors it has killed, which is one unless the reload is
# over before.
sub kill_successor {
	my ($server) = @_;
	my $slot = int rand WORKERS;
	my ($leaves, %successor);

	$server->follow;
	$server->{on_line} = sub {
		$successor{$1} = $2 if $_[0] =~ /\]\sstarted\sworker\s(\d+)\s\((\d+)\)/x;
		$leaves ||= $_[0] =~ /\]\sworker\s$slot\s\(\d+\)\sis\sleaving/x;
	};
	my $before = $server->count('reloaded');
	$server->signal('HUP');
	my $killed = 0;
	my $end    = now() + 20;
	while (now() < $end && $server->count('reloaded') == $before) {
		if ($leaves && $successor{$slot} && !$killed) {
			pause_for(rand 0.01);
			$killed = kill 'KILL', $successor{$slot};
		}
		pause(0.0005);
	}
	$server->{on_line} = undef;
	return $killed;
}

1;

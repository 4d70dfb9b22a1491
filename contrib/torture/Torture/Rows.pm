package Torture::Rows;

# The rows of the table with TCP: each has an event that the server suffers, and
# its number.

use strict;
use warnings;

use Prefork::Tools qw(now wait_for children workers_of alive tcp echo_once read_until_eof run_cmd);
use Torture::Load;
use Torture::Run;
use Torture::Server;

use constant {
	WORKERS     => 4,
	HANG_MS     => 150,
	STORM_MS    => 1000,
	GONE        => 1,
	MEMORY_KIB  => 256,
	IDLE        => 500,
	LATEST_BOOT => 2,
	RETIRED     => 4,
	CASES_S     => 1800,
};

# How often, in full and in quick.
sub times_of { my ($full, $quick) = @_; return $QUICK ? $quick : $full }

sub loaded {
	my ($row, $events, %more) = @_;

	return map {
		my $load = $_;
		[ "$row/$load" => sub { run_loaded(row => "$row/$load", load => $load, events => $events, %more) } ]
	} qw(closed open away);
}

# [name, code], in the table's order.
sub rows {
	return (
		loaded('reload', \&reloads),
		loaded('resize', \&resizes),
		[ 'hang/stopped'  => \&stopped ],
		[ 'hang/replaced' => \&replaced ],
		[ 'established'   => \&established ],
		[ 'storm'         => \&storm ],
		[ 'refused'       => \&refused ],
		[ 'orphans'       => \&orphans ],
		[ 'cases'         => \&cases ],
	);
}

# The faults of the past, each by a script of its own.
sub cases {
	my $begun = now();
	my ($code, $output, $errors) = run_cmd({ timeout => CASES_S }, "$Torture::Server::ROOT/contrib/cases/run", '-O', $Torture::Server::O);
	my @cases = $output =~ /^(\S+\s+(?:holds|FAILS|skip)\b.*)$/mg;

	return skip_row('cases', $output =~ s/\s+\z//r) if $code eq '0' && !@cases;
	note_result(
		row     => 'cases',
		events  => scalar @cases,
		seconds => now() - $begun,
		notes   => [ grep { / skip\s/ } @cases ],
		wrong   => [ (grep { /\sFAILS\s/ } @cases), $code =~ /^[01]$/ ? () : "it ended with $code: $errors" ],
	);
	return;
}

sub reloads {
	my ($server) = @_;
	my $wanted = times_of(500, 25);

	for my $n (1 .. $wanted) {
		$server->signal_and_wait('HUP', 'reloaded')
		    or return (events => $n, wrong => ["reload $n did not end"]);
	}
	return (events => $wanted, left($server));
}

# Afterwards only the four are there, and nobody took too long to leave.
sub left {
	my ($server, $workers) = @_;
	my @wrong;

	$server->settle($workers // WORKERS)
	    or push @wrong, 'workers after it: ' . join q{ }, children($server->{pid});
	return (
		wrong => \@wrong,
		notes => [ sprintf 'the slowest worker left within %.2f s', $server->{slowest} ],
	);
}

sub resizes {
	my ($server) = @_;
	my $wanted = times_of(100, 5);

	for my $n (1 .. $wanted) {
		for my $step ([ TTOU => 3 ], [ TTOU => 2 ], [ TTIN => 3 ], [ TTIN => 4 ]) {
			my ($signal, $count) = @{$step};
			resize($server, $signal, $count)
			    or return (events => $n, wrong => ["$n: never $count workers"]);
			# Now and then so long that surplus sockets are retired.
			pause_for(RETIRED) if $count == 2 && $n % 20 == 1;
		}
		pause_for(0.05);
	}
	return (events => $wanted, left($server));
}

sub resize {
	my ($server, $signal, $count) = @_;

	return $server->signal_and_wait($signal, 'resized', 60)
	    && wait_for(sub { $server->serving == $count }, 60);
}

# A worker that has nothing in service at the instant when it is stopped,
# because no other could answer that.
sub stop_idle {
	my ($server, $pid) = @_;

	for (1 .. 1000) {
		my $in_service = $server->freeze($pid) // last;
		return $in_service if !$in_service;
		kill 'CONT', $pid;
		pause_for(0.003);
	}
	die "worker $pid is never idle\n";
}

sub stopped {
	my $seconds = times_of(5, 2);

	run_loaded(
		row    => 'hang/stopped',
		load   => [ [ '-c', '-r', 1000, '-n', 1000 ] ],
		bound  => HANG_MS,
		events => sub {
			my ($server) = @_;
			my @workers = $server->serving;
			@workers = $workers[0] if $QUICK;
			for my $pid (@workers) {
				stop_idle($server, $pid);
				pause_for($seconds);
				kill 'CONT', $pid;
				pause_for(times_of(6, 0.5));
			}
			my %left = left($server);
			return (events => scalar @workers, wrong => $left{wrong},
				notes => ["each stopped for $seconds s"]);
		},
	);
	return;
}

sub replaced {
	run_loaded(
		row    => 'hang/replaced',
		load   => [ [ '-c', '-r', 1000, '-n', 1000 ] ],
		server => [ '--worker-timeout', 1 ],
		bound  => HANG_MS,
		events => sub {
			my ($server) = @_;
			my ($wanted, $slowest) = (times_of(4, 1), 0);
			for my $n (1 .. $wanted) {
				my ($pid) = $server->serving;
				my $begun = now();
				stop_idle($server, $pid);
				wait_for(sub { !$server->{workers}{$pid} && $server->serving == WORKERS }, 20)
				    or return (events => $n, wrong => ["$pid was not replaced"]);
				my $took = now() - $begun;
				$slowest = $took if $took > $slowest;
				pause_for(1);
			}
			return (events => $wanted,
				notes => [ sprintf 'replaced after %.1f s at the latest', $slowest ]);
		},
	);
	return;
}

# Half of the connections are idle, half echo 64 KiB messages.
sub established {
	my @idle;

	run_loaded(
		row    => 'established',
		load   => [ [ '-n', 1000 - IDLE, '-z', 65_536 ] ],
		events => sub {
			my ($server) = @_;
			@idle = map { tcp('127.0.0.1', $PORT) // die "connect: $@\n" } 1 .. IDLE;
			my @wrong = silent('before', @idle);
			for my $n (1 .. times_of(50, 5)) {
				$server->signal_and_wait('HUP', 'reloaded', 60)
				    or push @wrong, "reload $n did not end";
			}
			for my $n (1 .. times_of(20, 2)) {
				my ($signal, $count) = $n % 2 ? ('TTOU', 3) : ('TTIN', 4);
				resize($server, $signal, $count)
				    or push @wrong, "resize $n did not end";
			}
			my %left = left($server);
			push @wrong, @{ $left{wrong} }, silent('after', @idle);
			push @wrong, sprintf 'a predecessor was gone after %.2f s only', $server->{slowest}
			    if $server->{slowest} > GONE;
			return (events => times_of(70, 7), wrong => \@wrong, notes => $left{notes});
		},
	);
	return;
}

# Every idle connection echoes one word.
sub silent {
	my ($word, @sockets) = @_;
	my $bad = grep { (echo_once($sockets[$_], "$word $_", 5) // q{}) ne "$word $_" } 0 .. $#sockets;

	return $bad ? "$bad of the idle connections are lost $word it" : ();
}

sub storm {
	my %before;

	run_loaded(
		row    => 'storm',
		load   => [ [ '-c', '-r', 500, '-n', 1000 ] ],
		bound  => STORM_MS,
		server => sub {
			my ($host) = @_;
			my $server = start_server('storm', $host);
			# The memory that it gets by reloads alone is allowed.
			$server->signal_and_wait('HUP', 'reloaded') for 1 .. 5;
			$server->settle(WORKERS);
			%before = $server->size;
			return $server;
		},
		events => sub {
			my ($server) = @_;
			my $huge = now() + times_of(5, 1);
			my $sent = 0;
			while (now() < $huge) {
				$server->signal('HUP');
				$sent++;
				pause_for(0.001);
			}
			my $events = at_random($server, times_of(60, 4));
			return (events => $sent + $events, notes => ["$sent HUPs, then $events events"]);
		},
		after => sub {
			my ($server) = @_;
			return back_again($server, \%before);
		},
	);
	return;
}

# Signals of all kinds for so long, between one and eight workers, of which the
# log tells: two signals at once are one, and a reload goes back to four.
sub at_random {
	my ($server, $seconds) = @_;
	my $events = 0;
	my $end    = now() + $seconds;

	while (now() < $end) {
		my $event = (qw(TTIN TTOU HUP KILL))[ rand 4 ];
		if ($event eq 'KILL') {
			my @workers = workers_of($server->{pid});
			kill 'KILL', $workers[ rand @workers ] if @workers;
		} elsif ($event eq 'HUP' || ($event eq 'TTIN' ? $server->{wanted} < 8 : $server->{wanted} > 1)) {
			$server->signal($event);
		}
		$events++;
		pause_for(rand 0.2);
	}
	return $events;
}

# Counts and memory are where they were.
sub back_again {
	my ($server, $before) = @_;
	my @wrong;

	# By signals first, then by the configuration.
	pause_for(1);
	for (1 .. 20) {
		last if $server->{wanted} == WORKERS;
		$server->signal_and_wait($server->{wanted} < WORKERS ? 'TTIN' : 'TTOU', 'resized');
	}
	$server->settle(WORKERS, 40) or push @wrong, 'it does not settle: children ' . join q{ }, children($server->{pid});
	$server->signal_and_wait('HUP', 'reloaded', 40) or push @wrong, 'no reload afterwards';
	$server->settle(WORKERS, 40) or push @wrong, 'old workers stay';
	# Surplus sockets are retired in their own time.
	wait_for(sub { my %size = $server->size; $size{descriptors} == $before->{descriptors} }, 4 * RETIRED);
	my %after = $server->size;
	for my $what (qw(workers descriptors)) {
		push @wrong, "$what: $before->{$what} before, $after{$what} after" if $after{$what} != $before->{$what};
	}
	for my $what (qw(master all)) {
		push @wrong, "memory ($what): $before->{$what} KiB before, $after{$what} after"
		    if $after{$what} > $before->{$what} + MEMORY_KIB * ($what eq 'all' ? 1 + WORKERS : 1);
	}
	return (wrong => \@wrong, notes => [
		"meanwhile up to $server->{most} workers",
		map { "$_->[0]: $before->{$_->[1]} before, $after{$_->[1]} after" }
		    [ 'workers' => 'workers' ], [ "the master's descriptors" => 'descriptors' ],
		    [ "the master's memory in KiB" => 'master' ], [ "everybody's" => 'all' ]
	]);
}

# Reloads that cannot succeed.
sub refused {
	my $file = "$Torture::Server::LOGS/refused.conf";
	my @good = ('workers ' . WORKERS, "port $PORT");
	my $write = sub {
		open my $out, '>', "$file.new" or die "$file.new: $!\n";
		print {$out} map { "$_\n" } @_;
		close $out or die "$file.new: $!\n";
		rename "$file.new", $file or die "$file: $!\n";
	};

	$write->(@good, 'bind 127.0.0.1');
	for my $bad (
		[ 'cannot parse' => 'bind 127.0.0.1', 'wrokers 3' ],
		[ 'cannot bind'  => 'bind 127.0.0.1', 'bind 192.0.2.1' ],
		[ 'worker dies'  => 'bind 127.0.0.1' ]
	) {
		my ($name, @lines) = @{$bad};
		run_loaded(
			row    => 'refused/' . $name =~ tr/ /-/r,
			load   => 'open',
			server => sub {
				$write->(@good, 'bind 127.0.0.1');
				# A keeper would restart the worker that is killed.
				return Torture::Server->start({ name => 'refused' }, '-c', $file,
					$name eq 'worker dies' ? qw(--keeper off) : ());
			},
			events => sub {
				my ($server) = @_;
				$write->(@good, @lines);
				return refuse($server, $name eq 'worker dies');
			},
		);
	}
	return;
}

sub refuse {
	my ($server, $kill) = @_;
	my ($wanted, $done, $missed, $in_service, @wrong) = (times_of(50, 5), 0, 0, 0);

	while ($done < $wanted && !@wrong && $missed < 20 * $wanted) {
		$server->settle(WORKERS) or push @wrong, 'it does not settle';
		my @before = sort(children($server->{pid}));
		my $from   = $server->count('refused');
		my $was    = $server->count('reloaded');
		my @other  = Torture::Server::other_sockets();
		$server->signal('HUP');
		$in_service += kill_new($server, \@other, @before) if $kill;
		wait_for(sub { $server->count('refused') > $from || $server->count('reloaded') > $was }, 20)
		    or push @wrong, 'the reload never ends';
		if ($server->count('reloaded') > $was) {
			# It was ready before it could be killed: another try.
			push @wrong, 'the reload succeeds' if !$kill;
			$missed++;
			next;
		}
		$done++;
		my @after = sort(children($server->{pid}));
		push @wrong, "other workers serve: @before, now @after" if "@before" ne "@after";
	}
	push @wrong, "only $done times" if $done < $wanted;
	return (events => $done, wrong => \@wrong, $kill ? (in_service => $in_service) : (),
		notes => [ $kill ? "$missed more were ready too soon to be killed" : () ]);
}

# Kills the first child that was not there, as soon as it is seen; returns the
# number that it had in service, if it served already.
sub kill_new {
	my ($server, $other, @before) = @_;
	my $master = $server->{pid};
	my %old    = map { $_ => 1 } @before;
	my $end    = now() + LATEST_BOOT;

	while (now() < $end) {
		open my $file, '<', "/proc/$master/task/$master/children" or return 0;
		my ($new) = grep { !$old{$_} } split q{ }, <$file> // q{};
		return $server->kill_worker($new, @{$other}) if $new;
	}
	return 0;
}

# The master is killed. A peer that never closes holds its worker up to the
# shutdown timeout; a new master starts at once beside it.
sub orphans {
	my $timeout = times_of(8, 2);
	my $new;

	for my $n (1 .. times_of(3, 1)) {
		my $old = start_server('orphans-old', '127.0.0.1', '--shutdown-timeout', $timeout);
		my @held    = map { tcp('127.0.0.1', $PORT) // die "connect: $@\n" } 1 .. 20;
		my @wrong   = silent('before', @held);
		my $load    = Torture::Load->start([], '-p', $PORT, '-c', '-r', 500, '-n', 1000, '127.0.0.1');
		Torture::Load::warm_up();
		my @workers = $old->serving;
		my $begun   = now();
		$old->signal('KILL');
		$new = start_server('orphans-new', '127.0.0.1');
		my $ready = now() - $begun;
		push @wrong, 'the new one does not serve' if silent('new', map { tcp('127.0.0.1', $PORT) } 1 .. 20);
		wait_for(sub { !grep { alive($_) } @workers }, $timeout + 5);
		my $gone = now() - $begun;
		push @wrong, 'workers of the dead master live on' if grep { alive($_) } @workers;
		push @wrong, sprintf 'the workers were gone after %.2f s, not %d', $gone, $timeout if $gone > $timeout + 1;
		push @wrong, sprintf 'the new one was ready after %.2f s', $ready if $ready > LATEST_BOOT;
		my $sum = Torture::Load::sum($load->finish);
		waitpid $old->{pid}, 0;
		$old->{status} = 9;
		$old->{finished} = 1;
		push @wrong, $new->finish;
		note_result(row => "orphans/$n", events => 1, sum => $sum, in_service => $sum->{lost}, wrong => \@wrong,
			seconds => now() - $begun, notes => [
				sprintf('a new master was ready after %.2f s; the old workers had ended after %.2f s (bound %d s)',
					$ready, $gone, $timeout),
				"lost between the two masters: $sum->{lost} of $sum->{started}"
			]);
	}
	return;
}

1;

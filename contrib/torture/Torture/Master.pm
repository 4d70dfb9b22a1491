package Torture::Master;

# The rows in which the master is killed or replaced, or everything happens at
# once: its workers go on as orphans until the next master takes them over.

use strict;
use warnings;

use Prefork::Tools qw(now wait_for);
use Torture::Keeper;
use Torture::Rows;
use Torture::Run;
use Torture::Server;

use constant {
	WORKERS => 4,
	SOON    => 0.02,
	LATER   => 2,
};

my %events = (
	KILL    => \&kill_worker,
	SEGV    => \&crash_worker,
	HUP     => sub { $_[0]->signal('HUP') },
	TTIN    => sub { $_[0]->{wanted} < 2 * WORKERS ? $_[0]->signal('TTIN') : 0 },
	TTOU    => sub { $_[0]->{wanted} > 1 ? $_[0]->signal('TTOU') : 0 },
	upgrade => \&upgrade,
	master  => sub { again($_[0], rand 2 < 1 ? SOON : rand LATER) },
);

sub rows {
	return (
		(map { row('master', \&masters, @{$_}) } Torture::Keeper::loads()),
		(map { row('upgrade', \&upgrades, @{$_}) } Torture::Keeper::loads()),
		[ 'mixed' => \&mixed ],
	);
}

sub row {
	my ($kind, $events, $name, $load) = @_;
	my $row = "$kind/$name";

	return [ $row => sub { run_loaded(row => $row, load => [$load], events => $events) } ];
}

# Kills the master and starts the next one so many seconds later; returns the
# fault, or nothing.
sub again {
	my ($server, $delay) = @_;

	$server->kill_master;
	pause_for($delay);
	return $server->start_again ? () : 'no new master: ' . ($server->{trouble}[-1] // 'not ready in time');
}

# Now the next one comes at once, now after two seconds.
sub masters {
	my ($server) = @_;
	my $wanted = Torture::Rows::times_of(20, 4);

	for my $n (1 .. $wanted) {
		if (my ($wrong) = again($server, $n % 2 ? SOON : LATER)) {
			return (events => $n, wrong => [$wrong]);
		}
		# Orphans are replaced meanwhile, or not yet all.
		pause_for(rand 1);
	}
	return (events => $wanted, Torture::Keeper::afterwards($server));
}

sub upgrade {
	my ($server) = @_;

	return $server->signal_and_wait('USR2', 'upgraded') ? () : 'an upgrade did not end';
}

sub upgrades {
	my ($server) = @_;
	my $wanted = Torture::Rows::times_of(20, 4);

	for my $n (1 .. $wanted) {
		if (my ($wrong) = upgrade($server)) {
			return (events => $n, wrong => ["$wrong ($n)"]);
		}
		pause_for(rand 0.5);
	}
	return (events => $wanted, Torture::Keeper::afterwards($server));
}

sub kill_worker {
	my ($server) = @_;
	my @workers = $server->serving;

	kill 'KILL', $workers[ rand @workers ] if @workers;
	return;
}

# One that has served for a while: a keeper gives up a worker that crashes again
# and again at its start.
sub crash_worker {
	my ($server) = @_;
	my @workers = grep { now() - $server->{workers}{$_}{at} > 1 } $server->serving;

	kill 'SEGV', $workers[ rand @workers ] if @workers;
	return;
}

# All of it at random, beside all kinds of load. A crashed worker's keeper closes
# the connection that it had in hand, and the log names it.
sub mixed {
	my $seconds = Torture::Rows::times_of(600, 20);

	run_loaded(
		row    => 'mixed',
		load   => [
			[ '-n', 50, '-r', 2000 ], [ '-n', 4, '-z', 1000, '--pipeline', 8 ],
			[ '-n', 4, '-z', '64k', '-r', 200 ], [ '-c', '-n', 100, '-r', 500 ],
			[ '-u', '-n', 50, '-r', 2000 ]
		],
		events => sub { return at_random($_[0], $seconds) },
	);
	return;
}

sub at_random {
	my ($server, $seconds) = @_;
	my $end   = now() + $seconds;
	my @often = ((('KILL') x 40), (('HUP') x 6), (('TTIN', 'TTOU') x 4), (('upgrade') x 3), (('master') x 3), 'SEGV');
	my (%done, @wrong);

	while (now() < $end && !@wrong) {
		my $event = $often[ rand @often ];
		$done{$event}++;
		@wrong = grep { defined && /\D/ } $events{$event}->($server);
		pause_for(rand 0.1);
	}
	my $blamed = () = $server->text =~ /;\sclosing\sthat\sconnection/gx;
	my $events = 0;
	$events += $_ for values %done;
	return (
		events     => $events,
		in_service => $blamed + ($done{SEGV} // 0),
		notes      => [ join ', ', map { "$_ $done{$_}" } sort keys %done ],
		wrong      => [ @wrong, settled($server) ],
	);
}

# As many workers as the configuration says, and nobody else.
sub settled {
	my ($server) = @_;

	$server->signal_and_wait('HUP', 'reloaded', 60) or return 'no reload afterwards';
	return $server->settle(WORKERS, 60) ? () : 'it does not settle';
}

1;

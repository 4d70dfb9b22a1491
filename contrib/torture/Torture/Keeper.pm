package Torture::Keeper;

# The rows in which workers are killed: their keepers clone successors that go on
# with the same connections, so that no message is lost, doubled or changed.

use strict;
use warnings;

use Prefork::Tools qw(now wait_for);
use Torture::Rows;
use Torture::Run;

use constant {
	WORKERS  => 4,
	DELAY_MS => 200,
};

# Every byte that comes back is compared. The sockets hold the datagrams on the
# way while a worker starts.
my @loads = (
	[ 'tcp-50'    => [ '-n', 50 ] ],
	[ 'tcp-2000'  => [ '-n', 2000 ] ],
	[ 'long'      => [ '-n', 200, '-z', 5000 ] ],
	[ 'pipelined' => [ '-n', 50, '-z', 1000, '--pipeline', 16 ] ],
	[ 'bulk'      => [ '-n', 8, '-z', '64k', '--pipeline', 4 ] ],
	[ 'connect'   => [ '-c', '-n', 64 ] ],
	[ 'udp'       => [ '-u', '-n', 16, '--pipeline', 8 ] ],
);

sub loads { return @loads }

sub rows {
	return (
		(map { row($_->[0], 0, $_->[1]) } @loads),
		(map { row("away/$_->[0]", 1, $_->[1]) } @loads),
		row('away/open', 1, [ '-c', '-r', 2000, '-n', 1000 ]),
		row('deferred', 1, [ '-c', '-n', 64 ], '--defer-accept', 'on'),
		[ 'keeper/stopped' => \&stopped ],
	);
}

sub row {
	my ($name, $away, $load, @options) = @_;

	return [
		"keeper/$name" => sub {
			run_loaded(
				row    => "keeper/$name",
				away   => $away,
				load   => [$load],
				server => \@options,
				events => \&kills,
			);
		}
	];
}

sub kills {
	my ($server) = @_;
	my $wanted = Torture::Rows::times_of(300, 20);

	for my $n (1 .. $wanted) {
		kill_one($server) or return (events => $n, wrong => ["no worker serves after kill $n"]);
	}
	return (events => $wanted, afterwards($server));
}

# Kills a random worker, and waits for 10 to 20 ms.
sub kill_one {
	my ($server) = @_;

	wait_for(sub { $server->serving > 0 }, 20) or return 0;
	my @workers = $server->serving;
	kill 'KILL', $workers[ rand @workers ] or return 1;
	pause_for(0.01 + rand 0.01);
	return 1;
}

# The slots are served by one worker each; none was given up.
sub afterwards {
	my ($server) = @_;

	return (wrong => $server->settle(WORKERS) ? [] : ['it does not settle']);
}

# The master cannot restart anybody, so that the keepers do it by themselves.
sub stopped {
	my $seconds = Torture::Rows::times_of(5, 2);

	run_loaded(
		row    => 'keeper/stopped',
		load   => [ [ '-c', '-r', 1000, '-n', 1000 ], [ '-r', 1000, '-n', 50 ], [ '-u', '-r', 1000, '-n', 50 ] ],
		bound  => DELAY_MS,
		events => sub {
			my ($server) = @_;
			my ($n, $end) = (0, now() + $seconds);
			$server->signal('STOP');
			while (now() < $end) {
				last if !kill_one($server);
				$n++;
			}
			$server->signal('CONT');
			return (events => $n, notes => ["the master stood still for $seconds s"], afterwards($server));
		},
	);
	return;
}

1;

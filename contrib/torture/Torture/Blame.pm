package Torture::Blame;

# The rows in which workers crash or hang: their keepers hold the connection or
# datagram in hand responsible, name it in the log, and end it; nobody else loses
# anything. And the one in which nobody hangs, but gets little of the CPUs.

use strict;
use warnings;

use Prefork::Tools qw(now wait_for spawn_process);
use Torture::Keeper;
use Torture::Rows;
use Torture::Run;

use constant {
	TIMEOUT => 0.5,    # after which a hanging worker is killed
	SERVED  => 1.1,    # a worker that crashes sooner is given up
	BUSY    => 16,     # other processes that compute all the time
};

my $NAMED = qr/;\sclosing\sthat\sconnection|a\smessage\sof\s\d+\sbytes;\sdropped\sit/x;

sub rows {
	return ((map { row(@{$_}) } Torture::Keeper::loads()), [ 'alarms' => \&alarms ]);
}

sub row {
	my ($name, $load) = @_;
	my %load = (map { $_ => 1 } @{$load});
	# All messages that are on the way on a connection go with it.
	my $depth = !$load{'-u'} && $load{'--pipeline'} ? $load->[-1] : 1;

	return [
		"blame/$name" => sub {
			run_loaded(
				row    => "blame/$name",
				load   => [$load],
				server => [ '--worker-timeout', TIMEOUT ],
				events => sub { return crashes($_[0], $depth) },
			);
		}
	];
}

# Now one crashes, now one stands still until it is killed.
sub crashes {
	my ($server, $depth) = @_;
	my $wanted = Torture::Rows::times_of(100, 6);

	for my $n (1 .. $wanted) {
		end_one($server, $n % 2 ? 'SEGV' : 'STOP')
		    or return (events => $n, wrong => ["worker $n was not replaced"]);
	}
	my $named = () = $server->text =~ /$NAMED/g;
	my %left  = Torture::Keeper::afterwards($server);
	push @{ $left{wrong} }, "$named connections are blamed for $wanted deaths" if $named > $wanted;
	return (
		events     => $wanted,
		in_service => $named * $depth,
		notes      => ["the log names $named connections or datagrams"],
		%left
	);
}

# Others have the CPUs most of the time; no worker is taken for one that hangs.
sub alarms {
	my $seconds = Torture::Rows::times_of(60, 5);

	run_loaded(
		row    => 'alarms',
		load   => [ [ '-n', 50, '-r', 500 ], [ '-c', '-n', 50, '-r', 100 ], [ '-u', '-n', 50, '-r', 500 ] ],
		server => [ '--worker-timeout', 2 * TIMEOUT ],
		events => sub {
			my ($server) = @_;
			my @busy = map { spawn_process({}, $^X, '-e', '1 while 1') } 1 .. BUSY;
			pause_for($seconds);
			kill 'KILL', @busy;
			waitpid $_, 0 for @busy;
			my $hung  = () = $server->text =~ /\s(?:hangs:|has\sstood\sstill\s)/gx;
			my $ended = () = $server->text =~ /killed\sby\ssignal/g;
			return (
				events => BUSY,
				wrong  => [ $hung + $ended ? "$hung workers were said to hang, $ended killed" : () ],
				notes  => [ BUSY . " processes computed for $seconds s" ],
			);
		},
	);
	return;
}

# Ends a random worker that has served for a while, and waits for its successor.
sub end_one {
	my ($server, $signal) = @_;
	my @workers;

	wait_for(sub { @workers = grep { now() - $server->{workers}{$_}{at} > SERVED } $server->serving }, 20)
	    or return 0;
	my $pid = $workers[ rand @workers ];
	pause_for(rand 0.02);
	kill $signal, $pid or return 0;
	return wait_for(sub { $server->follow; return !$server->{workers}{$pid} }, 20);
}

1;

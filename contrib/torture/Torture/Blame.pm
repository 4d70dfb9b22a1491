package Torture::Blame;

# The rows in which workers crash or hang: their keepers hold the connection or
# datagram in hand responsible, name it in the log, and end it; nobody else loses
# anything.

use strict;
use warnings;

use Prefork::Tools qw(now wait_for);
use Torture::Keeper;
use Torture::Rows;
use Torture::Run;

use constant {
	TIMEOUT => 0.5,    # after which a hanging worker is killed
	SERVED  => 1.1,    # a worker that crashes sooner is given up
};

my $NAMED = qr/;\sclosing\sthat\sconnection|a\smessage\sof\s\d+\sbytes;\sdropped\sit/x;

sub rows {
	return map { row(@{$_}) } Torture::Keeper::loads();
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

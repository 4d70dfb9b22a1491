package Torture::Udp;

# The rows with UDP. Datagrams that were lost are accounted for by the kernel's
# own counters: datagrams that workers had received and not answered were in
# service.

use strict;
use warnings;

use Prefork::Tools qw(wait_for);
use Torture::Counters qw(counters);
use Torture::Keeper;
use Torture::Rows;
use Torture::Run;

use constant FLOWS => 100;

# So many flows that one which waits for a lost datagram need not stop sending,
# and then catch up by a burst that overruns the socket.
use constant LOAD => [ [ '-u', '-r', 20_000, '-n', 1000, '-t', 2 ] ];

sub rows {
	return (
		[ 'udp/reload' => sub { loaded('udp/reload', \&Torture::Rows::reloads) } ],
		[ 'udp/kill'   => sub { loaded('udp/kill',   \&Torture::Keeper::kills) } ],
		[ 'udp/resize' => sub { loaded('udp/resize', \&Torture::Rows::resizes) } ],
		[ 'udp/flows'  => \&flows ],
	);
}

sub loaded {
	my ($row, $events) = @_;
	my $before = counters();

	run_loaded(
		row    => $row,
		load   => LOAD,
		events => $events,
		after => sub {
			my ($server, $sum) = @_;
			my $after     = counters();
			my %by        = map { $_ => $after->{$_} - $before->{$_} } qw(UdpInDatagrams UdpOutDatagrams UdpRcvbufErrors);
			my $taken     = $by{UdpInDatagrams} - $sum->{echoed} - ($sum->{kinds}{duplicate} // 0);
			my $answered  = $by{UdpOutDatagrams} - $sum->{started};
			my $swallowed = $taken - $answered;
			return (
				wrong => [ $sum->{kinds}{duplicate} ? "$sum->{kinds}{duplicate} twice" : () ],
				notes => [
					"sent $sum->{started}, taken by workers $taken, answered $answered: taken and not answered "
					    . $swallowed,
					"dropped by a full socket: $by{UdpRcvbufErrors}"
				]
			);
		},
	);
	return;
}

# A reload moves no flow to another slot: the log of -v has the worker of each
# datagram. A sibling that adopts a slot for a while takes its datagrams without
# moving anything, so only the workers after the adoptions count.
sub flows {
	my (%slots, %before, $adopted);

	run_loaded(
		row    => 'udp/flows',
		load   => [ [ '-u', '-r', 400, '-n', FLOWS ] ],
		server => ['-v'],
		events => sub {
			my ($server) = @_;
			$server->{on_line} = sub {
				my ($line) = @_;
				$adopted->{$1} = 1      if $line =~ /\sserves\sfor\sslot\s(\d+),/x;
				delete $adopted->{$1} if $line =~ /\]\sslot\s(\d+)\srecovered;/x;
				$slots{$2} = $1 if $line =~ /^\[worker-(\d+).*\]\sdatagram\sfrom\s(.*)/x;
			};
			%before = alone($server, $adopted //= {}, \%slots);
			my $wanted = Torture::Rows::times_of(50, 5);
			for my $n (1 .. $wanted) {
				$server->signal_and_wait('HUP', 'reloaded')
				    or return (events => $n, wrong => ["reload $n did not end"]);
				pause_for(0.05);
			}
			my %after = alone($server, $adopted, \%slots);
			my $moved = grep { ($after{$_} // -1) != $before{$_} } keys %before;
			my $flows = keys %before;
			return (
				events => $wanted,
				wrong  => [
					$moved ? "$moved flows moved to another slot" : (),
					$flows == FLOWS ? () : "only $flows flows seen"
				],
				notes => ["$flows flows, $moved moved to another slot"],
			);
		},
	);
	return;
}

# Which slot takes which flow, once no slot has had help for a while.
sub alone {
	my ($server, $adopted, $slots) = @_;

	for (1 .. 10) {
		wait_for(sub { $server->follow; !%{$adopted} }, 30) or last;
		%{$slots} = ();
		pause_for(1);
		return %{$slots} if !%{$adopted};
	}
	die "a slot is never without help\n";
}

1;

package Torture::Run;

# One line of the table: a server, loads on it, events, and the losses.

use strict;
use warnings;

use Exporter       'import';
use Prefork::Tools qw(now wait_for);
use Torture::Counters qw(counters counted);
use Torture::Load;
use Torture::Relay;
use Torture::Server;

our @EXPORT = qw(run_loaded loads_of start_server note_result pause_for results
    progress skip_row $PORT $QUICK);

use constant WORKERS => 4;

our $QUICK = 0;
*PORT = \$Torture::Server::PORT;
our $PORT;

my @results;

# -n of the open loop: as many connections as half a second's stall keeps open.
my %loads = (
	closed => [ [ '-c', '-n', 64 ] ],
	open   => [ [ '-c', '-r', 2000, '-n', 1000 ] ],
	away   => [ [ '-c', '-r', 2000, '-n', 1000 ], [ '-c', '-n', 64 ] ],
	# For peers: connections that are there all the time.
	stay => [ [ '-n', 50 ] ],
);

sub loads_of {
	my ($name) = @_;

	return ref $name ? @{$name} : @{ $loads{$name} };
}

sub results { return @results }

sub progress {
	my ($text) = @_;

	printf {*STDERR} "%s %s\n", POSIX::strftime('%H:%M:%S', localtime), $text;
	return;
}

# note_result(row => ..., events => N, sum => ..., in_service => N, notes =>
# [...], wrong => [...]): a line of the table. A text in wrong makes it FAIL; so
# does a loss beyond the number in service.
sub note_result {
	my (%result) = @_;
	my $sum     = $result{sum} // Torture::Load::sum();
	my $allowed = $result{in_service} // 0;
	my @wrong   = @{ $result{wrong} // [] };

	my $ordered = $sum->{kinds}{reordered} // 0;
	my $lost    = $sum->{lost} - $ordered;
	push @wrong, "lost $lost, in service were $allowed" if $lost > $allowed;
	push @wrong, 'nothing was echoed' if $result{sum} && !$sum->{echoed};
	push @wrong, sprintf 'worst latency %.0f ms, allowed %d', $sum->{worst}, $result{bound}
	    if $result{bound} && $sum->{worst} > $result{bound};
	# Of a peer the losses are the result.
	my $verdict = !@wrong ? 'ok' : $result{peer} ? 'loses' : 'FAIL';
	push @results, { %result, sum => $sum, lost => $lost, wrong => \@wrong, verdict => $verdict };
	progress(join q{ }, (sprintf '%-18s %s', $result{row}, $verdict), @wrong);
	return;
}

sub skip_row {
	my ($row, $why) = @_;

	push @results, { row => $row, verdict => "skipped: $why" };
	progress("$row skipped: $why");
	return;
}

# Lets time pass for a measurement, never to wait for a condition.
sub pause_for { my ($seconds) = @_; wait_for(sub { 0 }, $seconds); return }

# start_server(NAME, HOST, ARGUMENTS): with four workers unless they say more.
sub start_server {
	my ($name, $host, @arguments) = @_;

	return Torture::Server->start({ name => $name =~ tr{/}{-}r },
		'-w', WORKERS, '-p', $PORT, '-b', $host, @arguments);
}

# run_loaded(row => NAME, load => NAME or a list, events => CODE, ...): starts
# the server and the loads, calls the code with the server, ends them, and notes
# the result. The code returns a hash: events, in_service, notes, wrong. More
# keys: away (clients at a distance), server (arguments, or code that starts
# another), host (its address), before (the words that run a command beside the
# clients), after (code called with the server and the loads' results, for
# another such hash), bound (ms).
sub run_loaded {
	my (%run) = @_;
	my $away   = $run{away} || (!ref $run{load} && $run{load} eq 'away');
	my $host   = $run{host} // ($away ? Torture::Relay::ADDRESS() : '127.0.0.1');
	my $before = $run{before} // [];

	if ($away) {
		if (my $why = Torture::Relay::missing()) {
			skip_row($run{row}, $why);
			return;
		}
		$before = Torture::Relay::up()->before;
	}
	progress("$run{row} ...");
	my $dropped = $away ? Torture::Relay::up()->dropped : 0;
	my %count   = ('this end' => undef, $away ? ('the clients\' end' => Torture::Relay::up()->{pid}) : ());
	my %before  = map { $_ => counters($count{$_}) } keys %count;
	my $server = ref $run{server} eq 'CODE' ? $run{server}->($host)
	    : start_server($run{row}, $host, @{ $run{server} // [] });
	my ($begun, $seconds, %found, @sums);
	eval {
		my @loads = map { Torture::Load->start($before, '-p', $PORT, @{$_}, $host) } loads_of($run{load});
		Torture::Load::warm_up();
		$begun   = now();
		%found   = $run{events}->($server);
		$seconds = now() - $begun;
		@sums    = map { $_->finish } @loads;
		1;
	} or do {
		my $why = $@;
		# The next row needs the port.
		$server->finish;
		die $why;
	};
	my $sum     = Torture::Load::sum(@sums);
	my %more    = $run{after} ? $run{after}->($server, $sum) : ();
	my @notes   = (@{ delete $found{notes} // [] }, @{ delete $more{notes} // [] });
	my @wrong   = (@{ delete $found{wrong} // [] }, @{ delete $more{wrong} // [] }, $server->finish);
	if ($away && (my $more_dropped = Torture::Relay::up()->dropped - $dropped)) {
		push @notes, "the relay's devices dropped $more_dropped packets: no fault of the server's";
	}
	for my $where (sort keys %count) {
		my $text = counted($before{$where}, counters($count{$where}));
		push @notes, "TCP, $where: $text" if $text;
	}
	push @notes, "log: $_" for first_of(3, @{ $server->{trouble} });
	note_result(
		%found, %more,
		row     => $run{row},
		bound   => $run{bound},
		peer    => $run{peer},
		seconds => $seconds,
		sum     => $sum,
		notes   => \@notes,
		wrong   => \@wrong,
	);
	return;
}

sub first_of {
	my ($wanted, @list) = @_;
	my %seen;

	@list = grep { !$seen{ s/\d+/N/gr }++ } @list;
	return @list > $wanted ? (@list[ 0 .. $wanted - 1 ], '...') : @list;
}

1;

package Bench::Figures;

# The figures that prefork-echo is to reach, and whether it does.

use strict;
use warnings;

use Bench::Measure qw(ratio_of median value);
use Exporter       'import';

our @EXPORT_OK = qw(figures);

use constant WORKER_MIB => 1.5;

# Peers with a loop that waits for readiness, as prefork's does.
my $other = qr/^(?:floor|prefork|eager|deferred|poll|uring)/;

# The list of [name, bound as a text, measured as a text, verdict]; those that
# were not measured say so.
sub figures {
	my ($result) = @_;

	return (
		at_most_floor($result, 'tcp-50',      1.03),
		below_peers($result, 'tcp-50'),
		at_most_floor($result, 'tcp-1000',    1.03),
		below_peers($result, 'tcp-1000'),
		plain('tcp-50: system calls a message', 2.02, $result->{calls}{'tcp-50'}{prefork}, '%.3f'),
		plain('tcp-50: user instructions a message', 250, $result->{instructions}{'tcp-50'}{prefork}, '%.0f'),
		at_most_floor($result, 'bulk', 0.5),
		bulk($result),
		at_most_floor($result, 'connect',     0.95),
		at_most_floor($result, 'connect',     0.95, 'deferred'),
		at_most_floor($result, 'udp-16',      0.85),
		at_most_floor($result, 'udp-16x8',    0.85),
		at_most_floor($result, 'udp-segment', 0.4),
		within($result, 'idle',   'prefork, 10,000 idle', 'prefork',     1.05, 'floor, 10,000 idle', 'floor'),
		(map { within($result, $_, 'prefork, 10,000', 'prefork, 10', 1.3, 'floor, 10,000', 'floor, 10') }
			    qw(growth growth-few)),
		plain('memory of an idle connection, bytes', 256, $result->{memory}{connection}, '%.0f'),
		plain('private memory of a new worker, MiB', WORKER_MIB,
			defined $result->{memory}{worker} ? $result->{memory}{worker} / 1024 / 1024 : undef, '%.2f'),
		map { plain("$_->[0], ms", $_->[1], scalar(median(@{ $result->{life}{ $_->[2] } // [] })), '%.1f') }
		    [ 'start of 4 workers to ready', 20, 'start' ],
		[ 'SIGKILL to an answer of the replacement', 5, 'replacement' ],
		[ 'reload of 4 workers', 50, 'reload' ],
	);
}

sub plain {
	my ($what, $bound, $measured, $format) = @_;

	return [ $what, $bound, q{-}, 'not measured' ] if !defined $measured;
	return [ $what, $bound, sprintf($format, $measured), $measured <= $bound ? 'reached' : 'missed' ];
}

sub at_most_floor {
	my ($result, $scenario, $bound, $server) = @_;
	my $ratio = ratio_of($result->{rounds}{$scenario}, $server // 'prefork', 'floor', 'cpu_us');
	my $name = $server ? "$scenario, $server" : $scenario;

	return plain("$name: CPU a message, x floor", $bound, $ratio, '%.2f');
}

sub peers {
	my ($rounds) = @_;

	return if !$rounds->{floor};
	return grep { !/$other/ } sort keys %{$rounds};
}

# The cheapest peer, by its ratio to the floor.
sub below_peers {
	my ($result, $scenario) = @_;
	my $rounds = $result->{rounds}{$scenario};
	my $own    = ratio_of($rounds, 'prefork', 'floor', 'cpu_us');
	my %ratio  = map { $_ => scalar ratio_of($rounds, $_, 'floor', 'cpu_us') } peers($rounds);
	my ($best) = sort { $ratio{$a} <=> $ratio{$b} } keys %ratio;

	return [ "$scenario: no readiness-based peer below", 'none', q{-}, 'not measured' ] if !$best || !$own;
	return [
		"$scenario: no readiness-based peer below", 'none',
		sprintf('%s %.2f', $best, $ratio{$best}), $ratio{$best} < $own ? 'missed' : 'reached'
	];
}

sub bulk {
	my ($result) = @_;
	my $rounds = $result->{rounds}{bulk};
	my %cost  = map { $_ => scalar ratio_of($rounds, $_, 'floor', 'cpu_us') } peers($rounds);
	my ($best) = sort { $cost{$a} <=> $cost{$b} } keys %cost;
	my %rate = map { $_ => value($rounds, $_, 'rate') } keys %{$rounds};
	my ($fastest) = sort { $rate{$b} <=> $rate{$a} } keys %rate;
	my @figures;

	push @figures, $best
	    ? plain("bulk: CPU a message, x best peer ($best)", 0.6, scalar ratio_of($rounds, 'prefork', $best, 'cpu_us'), '%.2f')
	    : [ 'bulk: CPU a message, x best peer', 0.6, q{-}, 'not measured' ];
	push @figures, $fastest && $rate{prefork}
	    ? [ 'bulk: the fastest', 'prefork', sprintf('%s %.0f/s', $fastest, $rate{$fastest}), $fastest eq 'prefork' ? 'reached' : 'missed' ]
	    : [ 'bulk: the fastest', 'prefork', q{-}, 'not measured' ];
	return @figures;
}

# The addition of a feature to one server, and to the floor.
sub within {
	my ($result, $scenario, $label, $base, $bound, @floor) = @_;
	my $rounds = $result->{rounds}{$scenario};
	my $figure = plain("$scenario: $label against $base", $bound, scalar ratio_of($rounds, $label, $base, 'cpu_us'), '%.2f');
	my $floor  = ratio_of($rounds, @floor, 'cpu_us');

	$figure->[2] .= sprintf ' (floor %.2f)', $floor if defined $floor;
	return $figure;
}

1;

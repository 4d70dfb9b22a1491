package Bench::Measure;

# Runs scenarios, in rounds in which the servers take turns, and keeps every
# single figure. Each round begins with the next server of the list, so that none
# is always the first or always follows the same one. A run during which another
# process had one of the two CPUs for too long is done again, twice at most.

use strict;
use warnings;

use Bench::Build   qw(built);
use Bench::Servers qw(start_server stop_server raised);
use Exporter       'import';
use JSON::PP       ();
use Prefork::Tools qw(now run_cmd);

our @EXPORT_OK = qw(measure load_once median range spread ratios ratio_of interval value);

use constant TIMEOUT   => 60;
use constant DISTURBED => 0.04;    # of the time: then it is done again
use constant TRIES     => 3;
use constant OUTSIDE   => 0.05;    # the chance that an interval misses the median

# measure(\%scenario, \%settings, $until, $progress): {label => [figures of round
# 1, ...]}. When the time is up, the round is the last one.
sub measure {
	my ($scenario, $settings, $until, $progress) = @_;
	my %rounds;

	for my $round (1 .. $settings->{rounds}) {
		last if $round > 1 && now() > $until;
		for my $run (rotated($round - 1, @{ $scenario->{runs} })) {
			next if $scenario->{failed}{ $run->{label} };
			$progress->($round, $run->{label});
			my $sample = eval { sample($run, $settings) };
			if (!$sample) {
				$scenario->{failed}{ $run->{label} } = $@ =~ s{\s+\z}{}r;
				next;
			}
			push @{ $rounds{ $run->{label} } }, $sample;
		}
	}
	delete @rounds{ keys %{ $scenario->{failed} // {} } };
	return \%rounds;
}

# The list, begun with its element number $by.
sub rotated {
	my ($by, @list) = @_;
	my $from = @list ? $by % @list : 0;

	return @list[ $from .. $#list, 0 .. $from - 1 ];
}

sub sample {
	my ($run, $settings) = @_;
	my ($best, $error);

	for my $try (1 .. TRIES) {
		my $sample = eval { once($run, $settings) };
		$error = $@;
		$best = $sample if $sample && (!$best || $sample->{disturbed} < $best->{disturbed});
		last if $best && $best->{disturbed} < DISTURBED || $settings->{repeats} >= $settings->{repeats_max};
		$settings->{repeats}++ if $try < TRIES;
	}
	return $best // die $error;
}

sub once {
	my ($run, $settings) = @_;
	my $protocol = $run->{mode} eq 'udp' ? 'udp' : 'tcp';
	my $server   = start_server($run->{server}, $protocol, $settings->{server_cpu});
	my $figures  = eval {
		load_once($server, $settings, $run->{mode}, @{ $run->{load} }, '-w', $settings->{warm}, '-d', $settings->{seconds});
	};
	my $error = $@;

	stop_server($server);
	die $error if !$figures;
	return $figures;
}

# One load on a server that runs.
sub load_once {
	my ($server, $settings, $mode, @arguments) = @_;
	my ($code, $output, $errors) = run_cmd(
		{ timeout => TIMEOUT },
		raised(
			$settings->{load_cpu}, built('load'), '-p', $server->{port},
			'-P', join(q{,}, @{ $server->{pids} }), @arguments, $mode
		)
	);
	my $raw = eval { JSON::PP::decode_json($output) };

	die "the load ended with $code: $errors\n" if !$raw || $code !~ /^[01]$/ || !$raw->{messages};
	return {
		%{$raw},
		rate      => $raw->{messages} / $raw->{seconds},
		cpu_us    => $raw->{cpu_ns} / 1e3 / $raw->{messages},
		busy      => $raw->{cpu_ns} / 1e9 / $raw->{seconds},
		load_busy => $raw->{load_cpu_ns} / 1e9 / $raw->{seconds},
		disturbed => ($raw->{wait_ns} > $raw->{load_wait_ns} ? $raw->{wait_ns} : $raw->{load_wait_ns}) / 1e9 /
		    $raw->{seconds},
	};
}

sub median {
	my @sorted = sort { $a <=> $b } @_;

	return if !@sorted;
	return ($sorted[ $#sorted / 2 ] + $sorted[ @sorted / 2 ]) / 2;
}

# Half of the way from the least to the most, as a part of the median.
sub spread {
	my @sorted = sort { $a <=> $b } @_;

	return 0 if !@sorted || !median(@sorted);
	return ($sorted[-1] - $sorted[0]) / 2 / median(@sorted);
}

sub value { my ($rounds, $label, $field) = @_; return scalar median(map { $_->{$field} } @{ $rounds->{$label} // [] }) }

# The ratios of each round, so that a change of the machine between two rounds
# does not count.
sub ratios {
	my ($rounds, $label, $base, $field) = @_;
	my ($own, $others) = ($rounds->{$label}, $rounds->{$base});
	my @ratios;

	return if !$own || !$others;
	for my $i (0 .. ($#{$own} < $#{$others} ? $#{$own} : $#{$others})) {
		push @ratios, $own->[$i]{$field} / $others->[$i]{$field} if $others->[$i]{$field};
	}
	return @ratios;
}

sub ratio_of { return scalar median(ratios(@_)) }

# The least and the most.
sub range { my @sorted = sort { $a <=> $b } @_; return @sorted[ 0, -1 ] }

# The least and the most value between which the true median lies with a
# probability of 95 %, for each distribution: each value is above it or below it
# by the toss of a coin. Fewer than six values have no such interval.
sub interval {
	my @sorted = sort { $a <=> $b } @_;
	my ($chance, $below, $n) = (0.5**@sorted, 0, scalar @sorted);
	my $outside = 0;

	while (2 * ($outside + $chance) <= OUTSIDE) {
		$outside += $chance;
		$chance *= ($n - $below) / ($below + 1);
		$below++;
	}
	return if !$below;
	return @sorted[ $below - 1, $n - $below ];
}

1;

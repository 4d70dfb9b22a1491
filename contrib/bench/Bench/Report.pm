package Bench::Report;

# The table, the JSON and the chart.

use strict;
use warnings;

use Bench::Counts  qw(has_tool);
use Bench::Figures qw(figures);
use Bench::Measure qw(median range spread ratios ratio_of value);
use Exporter       'import';
use JSON::PP       ();

our @EXPORT_OK = qw(print_scenario print_rest print_counts print_machine write_json write_chart);

use constant NOISY => 0.05;

use constant ROUNDS => 7;    # fewer ratios make no figure

my $row = "%-22s %9s %6s %6s %-11s %9s %9s %9s %7s %5s %s\n";

sub print_scenario {
	my ($scenario, $rounds, $wanted) = @_;

	printf "\n%s: %s\n", $scenario->{name}, $scenario->{title};
	printf $row, q{}, 'us CPU', q{+-%}, 'ratio', 'range', 'msg/s', 'p50 us', 'p99 us', 'KiB', 'busy', q{};
	for my $run (@{ $scenario->{runs} }) {
		my $label = $run->{label};
		if ($scenario->{failed}{$label}) {
			printf "%-22s failed: %s\n", $label, $scenario->{failed}{$label};
			next;
		}
		my @ratios = ratios($rounds, $label, $run->{base}, 'cpu_us');
		printf $row, $label,
		    sprintf('%.2f', value($rounds, $label, 'cpu_us')),
		    sprintf('%.0f', 100 * spread(map { $_->{cpu_us} } @{ $rounds->{$label} })),
		    @ratios ? (sprintf('%.2f', median(@ratios)), sprintf('%.2f-%.2f', range(@ratios))) : (q{-}, q{-}),
		    sprintf('%.0f', value($rounds, $label, 'rate')),
		    sprintf('%.1f', value($rounds, $label, 'p50_us')),
		    sprintf('%.1f', value($rounds, $label, 'p99_us')),
		    sprintf('%.0f', value($rounds, $label, 'memory') / 1024),
		    sprintf('%.0f%%', 100 * value($rounds, $label, 'busy')), lost_text($rounds->{$label});
	}
	my $done = @{ $rounds->{ $scenario->{runs}[0]{label} } // [] };
	print "  $done rounds: no time for more\n" if $done < $wanted;
	printf "  ROUGH: %d rounds, a figure takes %d\n", $done, ROUNDS if $done < ROUNDS;
	my $noise = noise($scenario, $rounds);
	print "  NOISY: $noise\n" if $noise;
	return;
}

sub lost_text {
	my ($samples) = @_;
	my $lost = 0;

	$lost += $_->{lost} for @{$samples};
	return $lost ? "lost $lost" : q{};
}

# Why the figures of this scenario should not be believed, or nothing.
sub noise {
	my ($scenario, $rounds) = @_;
	my $first   = $scenario->{runs}[0]{label};
	my @samples = map { @{$_} } values %{$rounds};
	my $spread  = spread(map { $_->{cpu_us} } @{ $rounds->{$first} // [] });
	my $shared  = median(map { $_->{disturbed} } @samples) // 0;
	my @why;

	push @why, sprintf 'the cost of %s varies by +-%.0f%% between rounds', $first, 100 * $spread if $spread > NOISY;
	push @why, sprintf 'other processes had a CPU for %.0f%% of the time', 100 * $shared if $shared > NOISY;
	return join '; ', @why;
}

# All ratios to the floor at a glance.
sub print_ratios {
	my ($result, @scenarios) = @_;
	my @columns = grep { @{ $_->{runs} } && $_->{name} !~ /^(?:idle|growth)/ } @scenarios;
	my (%seen, @servers);

	push @servers, grep { $_ ne 'floor' && !$seen{$_}++ } map { $_->{label} } @{ $_->{runs} } for @columns;
	return if @columns < 2;
	print "\nserver CPU a message, x floor\n";
	printf '%-9s' . (' %11s') x @columns . "\n", q{}, map { $_->{name} } @columns;
	for my $server (@servers) {
		my @ratios = map { scalar ratio_of($result->{rounds}{ $_->{name} }, $server, 'floor', 'cpu_us') } @columns;
		printf '%-9s' . (' %11s') x @columns . "\n", $server, map { defined ? sprintf '%.2f', $_ : q{-} } @ratios;
	}
	return;
}

sub print_rest {
	my ($result, @scenarios) = @_;

	print_ratios($result, @scenarios);
	print_counts($result);
	# A scenario that was not asked for is no miss.
	my @figures = grep { $result->{whole} || $_->[3] ne 'not measured' } figures($result);
	print "\nfigures to reach\n" if @figures;
	printf "%-52s %8s  %-22s %s\n", @{$_} for @figures ? [ q{}, 'at most', 'measured', q{} ] : (), @figures;
	print_machine($result);
	return;
}

# By strace and callgrind, where they were asked for.
sub print_counts {
	my ($result) = @_;

	for my $what ([ calls => 'system calls', '%.3f' ], [ instructions => 'user instructions', '%.0f' ]) {
		my ($key, $title, $format) = @{$what};
		for my $scenario (sort keys %{ $result->{$key} }) {
			my $of = $result->{$key}{$scenario};
			printf "\n%s a message, %s: %s\n", $title, $scenario,
			    join ', ', map { "$_ " . (defined $of->{$_} ? sprintf $format, $of->{$_} : q{-}) } sort keys %{$of};
		}
	}
	return;
}

# The machine, and the reasons not to believe the run.
sub print_machine {
	my ($result) = @_;

	print "\n$result->{machine}\n";
	printf "load average %.2f before, %.0f s, %d rounds of %s s, %d runs done again, steal %.1f s\n",
	    @{$result}{qw(load_before took rounds_wanted seconds repeats steal)};
	my %missing = %{ $result->{missing} };
	printf "missing: %s\n", join ', ', map { "$_ (package $missing{$_})" } sort keys %missing if %missing;
	print "NOT BELIEVABLE: $_\n" for @{ $result->{doubts} };
	return;
}

sub write_json {
	my ($path, $result, @scenarios) = @_;
	my %out = %{$result};
	my @figures = map { { what => $_->[0], at_most => $_->[1], measured => $_->[2], verdict => $_->[3] } } figures($result);

	$out{figures}   = \@figures;
	$out{scenarios} = [
		map {
			my $scenario = $_;
			my $rounds   = $result->{rounds}{ $scenario->{name} };
			{
				name  => $scenario->{name},
				title => $scenario->{title},
				noise => noise($scenario, $rounds),
				failed => $scenario->{failed} // {},
				runs  => [ map { summary($_, $rounds) } grep { $rounds->{ $_->{label} } } @{ $scenario->{runs} } ],
			}
		} @scenarios
	];
	delete $out{rounds};
	open my $file, '>', $path or die "$path: $!\n";
	print {$file} JSON::PP->new->canonical->pretty->encode(\%out);
	close $file or die "$path: $!\n";
	return;
}

sub summary {
	my ($run, $rounds) = @_;
	my $label = $run->{label};
	my @ratios = ratios($rounds, $label, $run->{base}, 'cpu_us');

	return {
		label  => $label,
		base   => $run->{base},
		rounds => $rounds->{$label},
		ratio  => scalar median(@ratios),
		ratio_range => [ range(@ratios) ],
		map { $_ => value($rounds, $label, $_) } qw(cpu_us rate p50_us p99_us memory busy lost),
	};
}

# Bars of the ratios to the floor, a group for each scenario; false without
# gnuplot.
sub write_chart {
	my ($path, $result, @scenarios) = @_;
	my @groups = grep { $_->{name} !~ /^(?:idle|growth)/ } @scenarios;
	my (%seen, @labels);

	return if !has_tool('gnuplot');
	push @labels, grep { $_ ne 'floor' && !$seen{$_}++ } map { $_->{label} } @{ $_->{runs} } for @groups;
	$path =~ s/'/''/g;
	open my $plot, q{|-}, 'gnuplot' or return;
	print {$plot} "set terminal svg size 1100,480 dynamic background 'white'\nset output '$path'\n",
	    "set style data histograms\nset style histogram clustered gap 1\nset style fill solid 0.8 noborder\n",
	    "set logscale y 2\nset yrange [0.125:16]\nset grid ytics\nset ylabel 'server CPU a message, floor = 1'\n",
	    "set linetype 9 lc rgb '#999999'\nset linetype 10 lc rgb '#8b5a2b'\nset key outside right top\nset xtics rotate by -25\nset boxwidth 0.9\n\$data << EOD\n",
	    join("\t", 'scenario', @labels), "\n";
	for my $group (@groups) {
		my $rounds = $result->{rounds}{ $group->{name} };
		print {$plot} join("\t", $group->{name},
			map { my $r = ratio_of($rounds, $_, 'floor', 'cpu_us'); defined $r ? sprintf '%.3f', $r : q{?} } @labels), "\n";
	}
	print {$plot} "EOD\nset datafile missing '?'\nplot 1 title 'floor' with lines lc rgb 'black'";
	printf {$plot} ", \$data using %d:xtic(1) title columnheader(%d)", $_ + 1, $_ + 1 for 1 .. @labels;
	print {$plot} "\n";
	return close $plot;
}

1;

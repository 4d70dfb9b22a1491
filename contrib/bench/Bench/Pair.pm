package Bench::Pair;

# Two servers of prefork's against each other: two builds, or two sets of options.
# They alternate, and the median of B's cost by A's has an interval, so that a
# claim such as "costs at most 1.03 times as much" can be held or refused.

use strict;
use warnings;

use Bench::Build   ();
use Bench::Measure qw(median interval ratios);
use Bench::Servers qw(add_server);
use Exporter       'import';
use Text::ParseWords qw(shellwords);

our @EXPORT_OK = qw(add_pair print_pair);

use constant LABELS => qw(A B);

# add_pair(A, B): the names of two servers, each told by a build's directory or a
# program, or neither for this build's prefork-echo, and options. Dies with the
# cause.
sub add_pair {
	my (@texts) = @_;

	@texts == 2 or die "--pair is given twice: once for A, once for B\n";
	for my $label (LABELS) {
		my $text  = shift @texts;
		my @words = shellwords($text);
		die "--pair '$text': the quotes do not match\n" if !@words && $text =~ /\S/;
		my $program = @words && $words[0] !~ /^-/ ? shift @words : $Bench::Build::O;
		$program .= '/prefork-echo' if -d $program;
		-x $program or die "--pair '$text': $program is no program\n";
		add_server($label, $program, qw(-w 1 -p 0 -b 127.0.0.1), @words);
	}
	return LABELS;
}

# Prints the verdict of one scenario; whether it is within the bound, where one is
# given.
sub print_pair {
	my ($rounds, $bound) = @_;
	my @ratios = ratios($rounds, 'B', 'A', 'cpu_us');
	my ($least, $most) = interval(@ratios);

	if (!defined $least) {
		printf "  %d rounds are too few for an interval\n", scalar @ratios;
		return !defined $bound;
	}
	printf "  B costs %.3f x A: between %.3f and %.3f with a probability of 95 %%, by %d rounds\n",
	    median(@ratios), $least, $most, scalar @ratios;
	return 1 if !defined $bound;
	printf "  at most %.3f: %s\n", $bound, $most <= $bound ? 'reached' : $least > $bound ? 'missed' : 'not decided';
	return $most <= $bound;
}

1;

#!/usr/bin/perl

# What the library exports is what lib/prefork.h declares, and no symbol of it
# can clash with a program's.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Test::More;

my ($shared) = glob "$Prefork::O/libprefork.so.*" or die "not built\n";
my @exported = grep { !/^(?:_init|_fini|_edata|_end|__bss_start)$/ }
    symbols('-D', $shared);
my @declared = declared("$Prefork::ROOT/lib/prefork.h");

cmp_ok(scalar @declared, '>', 0, 'lib/prefork.h declares something');
is_deeply([ missing(\@exported, \@declared) ],
	[], 'all that lib/prefork.h declares is exported');
is_deeply([ missing(\@declared, \@exported) ],
	[], 'all that is exported stands in lib/prefork.h');
is_deeply([ grep { !/^pfk_[a-z]/ } @declared ], [], 'public names: pfk_x');
is_deeply([ grep { !/^pfk__?[a-z]/ } symbols("$Prefork::O/libprefork.a") ],
	[], 'global names in libprefork.a: pfk_x and pfk__x');
done_testing();

# Those of the second list that the first lacks.
sub missing {
	my ($have, $want) = @_;
	my %have = map { $_ => 1 } @{$have};

	return grep { !$have{$_} } @{$want};
}

sub symbols {
	my @arguments = @_;
	my ($code, $output, $errors) =
	    run_cmd('/usr/bin/env', 'nm', '-g', '--defined-only', @arguments);

	die "nm: $errors" if $code != 0;
	my %names = map { $_ => 1 } $output =~ /^[0-9a-f]+\s[A-Z]\s(\S+)$/gmx;
	# The sanitizers' own.
	return grep { !/^(?:__odr_asan|__asan_|_*[.]L)/x } sort keys %names;
}

# The functions and variables that a header declares.
sub declared {
	my ($path) = @_;

	open my $file, '<', $path or die "$path: $!\n";
	my $text = join q{}, <$file>;
	$text =~ s{/\*.*?\*/}{ }gs;
	$text =~ s{//[^\n]*}{ }g;
	$text =~ s/^\s*\#(?:[^\n]*\\\n)*[^\n]*$//gmx;
	$text =~ s/extern\s+"C"\s*[{]//x;
	# Bodies, and whatever else stands in braces.
	1 while $text =~ s/[{][^{}]*[}]/;/;
	# Attributes, spelt out or behind a macro.
	$text =~ s/\b(?:__attribute__|[A-Z][A-Z0-9_]+)\s*(\((?:[^()]++|(?1))*\))/ /gx;

	my @names;
	for my $declaration (split /;/, $text) {
		next if $declaration =~ /^\s*(?:typedef|static)\b/;
		if ($declaration =~ /\b(\w+)\s*\(/) {
			push @names, $1;
		} elsif ($declaration =~ /^\s*extern\b.*?(\w+)\s*(?:\[[^\]]*\]\s*)*$/s) {
			push @names, $1;
		}
	}
	return sort @names;
}

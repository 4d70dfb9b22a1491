#!/usr/bin/perl

# The library exports exactly the declarations of lib/prefork.h, and no symbol
# of it can clash with a program's.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Header;
use Prefork::Life qw(slurp);
use Test::More;

plan skip_all => 'counters of coverage are exported, too' if slurp("$Prefork::O/flags") =~ /-fprofile/;

my ($shared) = glob "$Prefork::O/libprefork.so.*" or die "not built\n";
my @exported = grep { !/^(?:_init|_fini|_edata|_end|__bss_start|mangle_path)$/ }
    symbols('-D', $shared);
my %declared = declarations("$Prefork::ROOT/lib/prefork.h");
my @declared = sort keys %declared;

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
	# The versions of a shared library's are checked in t/abi.t.
	my %names = map { $_ => 1 } $output =~ /^[0-9a-f]+\s[B-Z]\s([^\s@]+)(?:@@?\S+)?$/gmx;
	# The sanitizers' own.
	return grep { !/^(?:__odr_asan|__asan_|_*[.]L)/x } sort keys %names;
}

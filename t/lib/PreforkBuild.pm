package PreforkBuild;

# A plugin of prove(1), named in .proverc: runs `make tests` before prove
# gathers its tests. PREFORK_O in the environment names the variant;
# PREFORK_BUILT says that make has just done it.

use strict;
use warnings;

use Cwd            ();
use File::Basename ();

sub load {
	return if $ENV{PREFORK_BUILT};

	my $root = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../..');
	my $variant = $ENV{PREFORK_O} // 'build';

	# A make above us must not hand down its flags or its job server.
	local @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL)};
	delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL)};

	open my $make, q{-|}, 'sh', '-c', 'exec make "$@" 2>&1', 'sh', '-s',
	    '-j4', '-C', $root, "O=$variant", 'tests'
	    or die "make: $!\n";
	my $output = join q{}, <$make>;
	if (!close $make) {
		print {*STDERR} $output, "prove: the build failed\n";
		exit 2;
	}
	$ENV{PREFORK_O} = $variant;
	return;
}

1;

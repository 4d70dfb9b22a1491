#!/usr/bin/perl

# The archive of `make dist`: the committed files, the same bytes each time, and
# enough to build the programs without git.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../t/lib";

use Prefork;
use Prefork::Life;
use Test::More;

use constant TIMEOUT => 300;

chdir $Prefork::ROOT or die "$Prefork::ROOT: $!\n";
-e '.git' or plan skip_all => 'this is no clone: make dist archives a commit';

# The makefile that runs this test hands down neither flags nor variables.
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL CFLAGS LDFLAGS O)};

my $dir  = temp_dir();
my $name = make_dist("$dir/once");
is(make_dist("$dir/again"), $name, 'made again');
is(system('cmp', "$dir/once/$name.tar.xz", "$dir/again/$name.tar.xz"), 0, 'it has the same bytes');
is(system("cd $dir/once && tar -xf $name.tar.xz"), 0, 'the archive');
my $committed = qx(git ls-tree -r --name-only HEAD);
my $packed    = qx(cd $dir/once/$name && find . -type f -o -type l | sed 's,^./,,');
is(join("\n", sort split /\n/, $packed), join("\n", sort split /\n/, $committed), 'has the committed files');
my ($code, $output, $errors) =
    run_cmd({ timeout => TIMEOUT }, 'make', '-s', '-C', "$dir/once/$name", 'build/prefork-echo');
is($code, 0, 'it builds') or diag($output . $errors);
($code, $output) = run_cmd("$dir/once/$name/build/prefork-echo", '--version');
is($output, $name =~ s/\Aprefork-/prefork-echo /r . "\n", 'and the program has its version');
done_testing();

sub make_dist {
	my ($where) = @_;
	my ($code, $output, $errors) = run_cmd({ timeout => TIMEOUT }, 'make', '-s', 'dist', "O=$where");

	is($code, 0, 'make dist') or diag($errors);
	my ($sum, $archive) = $output =~ /\A([0-9a-f]{64})\s+(prefork-\S+)[.]tar[.]xz\n\z/x or die "no sum: $output\n";
	is((split q{ }, qx(sha256sum $where/$archive.tar.xz))[0], $sum, 'it prints the sum');
	return $archive;
}

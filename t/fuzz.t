#!/usr/bin/perl

# The fuzz targets of t/fuzz/ with their seeds, which hold each input that has
# failed once, and with some changes of each seed. `make fuzz` looks for more.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Tools qw(run_cmd);
use Test::More;

use constant CHANGES => 100;

my $dir = "$FindBin::Bin/fuzz";
for my $source (sort glob "$dir/*.c") {
	my ($name) = $source =~ m{([^/]+)[.]c\z};
	my @seeds = sort glob "$dir/seeds/$name/*";

	ok(scalar @seeds, "$name has seeds");
	if (-d "$dir/../../cmd/$name" && !-x Prefork::program($name)) {
		diag("$name is not built: its program lacks a library");
		next;
	}
	my ($status, $output, $errors) =
	    run_cmd({ timeout => 120 }, "$Prefork::O/fuzz/$name", '-n', CHANGES, @seeds);
	is($status, 0, "$name: exit status") or diag($errors);
	like($output, qr/\A\d+\sinputs\n\z/, "$name: all were run");
}
done_testing();

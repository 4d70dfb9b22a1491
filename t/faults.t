#!/usr/bin/perl

# contrib/faults finds a program that believes that no call fails, and some faults
# of each kind of run, which have been found by it before, are none any more.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../contrib/faults";

use Faults::Order;
use Faults::Programs;
use Prefork;
use Prefork::Life;
use Prefork::Sockets qw(have);
use Test::More;

my @compiler = compiler();
plan skip_all => 'no C compiler' if !have($compiler[0]);
plan skip_all => 'ASan wants to be first' if slurp("$Prefork::O/flags") =~ /-fsanitize/;

my $faults = "$Prefork::ROOT/contrib/faults";
my $dir    = temp_dir();
my $shim   = compiled("$faults/shim.c", qw(-shared -fPIC), '-ldl');

careless();
found_before();
done_testing();

sub compiled {
	my ($source, @options) = @_;
	my ($name) = $source =~ m{([^/]+)[.]c\z};
	my ($code, $output, $errors) =
	    run_cmd({ timeout => 60 }, @compiler, qw(-D_GNU_SOURCE -O0 -Wall -o), "$dir/$name", $source, @options);

	is("$code$errors", '0', "$name.c compiles");
	return "$dir/$name";
}

sub careless {
	write_file("$dir/careless.c", <<'END_OF_C');
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int
main(void)
{
	char *volatile p = malloc(10);
	*p = 'x';
	return write(1, "done\n", 5) == 5 ? 0 : 3;
}
END_OF_C
	my $row = [ 'careless', compiled("$dir/careless.c") ];
	my ($findings, $sites) = Faults::Programs->run($shim, $row, undef);
	is_deeply($findings, [], 'a program without a fault');
	my %site = map { $_->{call} => $_ } @{$sites};
	is_deeply([ sort keys %site ], [qw(malloc write)], 'its call sites');
	($findings) = Faults::Programs->run($shim, $row, fault($site{malloc}, 'ENOMEM', 1));
	is($findings->[0], 'signal 11', 'a crash is found');
	($findings) = Faults::Programs->run($shim, $row, fault($site{write}, 'ENOSPC', 1));
	like($findings->[0], qr/\Ait\sfails[ ]with[ ]3,[ ]without[ ]a[ ]line/, 'so is a silent failure');
	($findings, undef, undef, my $hit) = Faults::Programs->run($shim, $row, fault($site{write}, 'ENOSPC', 2));
	is("@{$findings}$hit", '0', 'a second call that does not come fails nothing');
	return;
}

sub fault {
	my ($site, $error, $nth) = @_;

	return { at => $site->{at}, error => $error, nth => $nth, name => 'fault' };
}

sub found_before {
	my @kinds = ('program/client-verify/recv', 'program/ctl-top/strdup', 'daemon/serve/calloc', 'daemon/serve/getsockname',
		'daemon/exporter/malloc@event/signal', 'service/crash/calloc', 'service/serve/recv', 'service/reload/fork',
		'service/upgrade/dup3@process/orphan', 'service/upgrade/getsockname@process/lend',
		'service/stop/waitpid@process/children', 'service/crash/waitpid', 'service/takeover/bind@process/instance',
		'service/takeover/pwrite@main/pidfile', 'service/back/fork', 'detached/start/write@main/daemon',
		'detached/start/read@main/daemon', 'service/crash/recvmsg@base/received',
		'service/reload/recvmsg@base/received', 'syslog/start/connect');
	my ($code, $output, $errors) = run_cmd({ timeout => 240, env => { PREFORK_O => $Prefork::O } }, "$faults/faults",
		map { ('--only', $_) } @kinds);

	is($code, 0, 'faults that were found before are none') or diag("$output$errors");
	like($output, qr/^\d+\sfaults:\s0\sfindings/m, 'the output has 0 findings');
	return;
}

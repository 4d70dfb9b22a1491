#!/usr/bin/perl

# contrib/bench runs: one scenario of each kind for a moment, the figures are
# there, and bad usage is refused with its reason. How large the figures are is not
# tested.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../contrib/bench";

use Bench::Measure ();
use File::Temp ();
use JSON::PP   ();
use Prefork;
use Test::More;

use constant TIMEOUT => 120;

my $bench = "$Prefork::ROOT/contrib/bench/bench";
my @short = qw(--rounds 2 --seconds 0.02 --server prefork);

sub has { my ($tool) = @_; return scalar grep { -x "$_/$tool" } split /:/, $ENV{PATH} }

plan(skip_all => 'taskset is not installed') if !has('taskset');
plan(skip_all => 'no C compiler')            if !has((compiler())[0]);
plan(skip_all => "may not build in $Prefork::O") if !-w $Prefork::O;

subtest 'the figures of each kind of load' => sub {
	my $file = File::Temp->new;
	my ($code, $output, $errors) = run_cmd({ timeout => TIMEOUT }, $bench, @short, '--json', "$file",
		map { ('--scenario', $_) } qw(tcp-50 pipelined bulk connect udp-segment));

	is($code, 0, 'it ends well') or diag($output . $errors);
	like($output, qr/^tcp-50:\sTCP,.*^prefork\s+\d/msx, 'it prints a table');
	my $result = JSON::PP::decode_json(join q{}, <$file>);
	is(scalar @{ $result->{scenarios} }, 5, 'each scenario is in the JSON');
	for my $scenario (@{ $result->{scenarios} }) {
		my $name = $scenario->{name};
		is_deeply([ map { $_->{label} } @{ $scenario->{runs} } ], [qw(floor prefork)], "$name: the servers");
		is(scalar grep({ @{ $_->{rounds} } == 2 } @{ $scenario->{runs} }), 2, "$name: the rounds");
		my @samples = map { @{ $_->{rounds} } } @{ $scenario->{runs} };
		is_deeply([ grep { $_->{lost} } @samples ], [], "$name: nothing is lost") if $name !~ /^udp/;
		for my $field (qw(messages rate cpu_us memory p50_us p99_us)) {
			is_deeply([ grep { !($_->{$field} > 0) } @samples ], [], "$name: $field");
		}
		cmp_ok($scenario->{runs}[0]{ratio}, '==', 1, "$name: the floor is 1");
		my $run = $scenario->{runs}[1];
		my ($least, $most) = @{ $run->{ratio_range} };
		ok($least <= $run->{ratio} && $run->{ratio} <= $most, "$name: the ratio is in its range");
	}
	my ($reached) = grep { $_->{what} =~ /^tcp-50:.*floor/ } @{ $result->{figures} };
	like($reached->{verdict}, qr/^(?:reached|missed)$/, 'a figure to reach has its verdict');
};

# By less it would cost more in bulk, and whatever is compared with it would look
# cheaper.
subtest 'the floor reads 256 KiB by one call' => sub {
	plan skip_all => 'strace is not installed' if !has('strace');
	my $dir = File::Temp->newdir;
	my $pid = open(my $floor, q{-|}, 'strace', '-o', "$dir/calls", '-e', 'trace=recvfrom',
		"$Prefork::O/bench/floor", 'tcp') // plan skip_all => "strace cannot be started: $!";
	my ($port) = (<$floor> // q{}) =~ /ready\s(\d+)/;

	if (!$port) {
		waitpid $pid, 0;
		plan skip_all => 'strace may not trace here';
	}
	my $client = tcp('127.0.0.1', $port);
	is(echo_once($client, 'x'), 'x', 'it echoes');
	kill 'TERM', children($pid);
	close $floor;
	like(slurp("$dir/calls"), qr/^recvfrom[(]\d+,\s"x",\s262144,\s/mx, 'it asks for as much');
};

# A program that notes which of the two it is and where it may run, and becomes
# prefork-echo.
sub noting {
	my ($dir, $label) = @_;

	open my $file, '>', "$dir/$label" or die "$dir/$label: $!\n";
	print {$file} "#!/bin/sh\nprintf $label >>'$dir/order'\n",
	    "sed -n 's/^Cpus_allowed_list:[[:blank:]]*//p' /proc/self/status >>'$dir/cpus'\n",
	    "exec '$Prefork::O/prefork-echo' \"\$@\"\n";
	close $file or die "$dir/$label: $!\n";
	chmod oct 755, "$dir/$label" or die "$dir/$label: $!\n";
	return "'$dir/$label'";
}

sub slurp {
	my ($path) = @_;

	open my $file, '<', $path or return q{};
	return join q{}, <$file>;
}

subtest 'a pair' => sub {
	my $dir  = File::Temp->newdir('a blank XXXXXX', TMPDIR => 1);
	my @pair = ('--pair', noting($dir, 'A'), '--pair', noting($dir, 'B') . ' --poller poll');
	my ($code, $output, $errors) =
	    run_cmd({ timeout => TIMEOUT }, $bench, qw(--rounds 2 --seconds 0.02 --at-most 1000), @pair);

	is($code, 1, 'two rounds decide nothing') or diag($output . $errors);
	like($output, qr/\b2\srounds\sare\stoo\sfew/, 'the output says that two rounds are too few');
	like(slurp("$dir/order"), qr/^A+B+A+$/, 'they alternate, and take turns to be the first');
	my %cpus = map { $_ => 1 } split /\n/, slurp("$dir/cpus");
	is_deeply([ grep { !/^\d+$/ } keys %cpus ], [], 'each is on one CPU');
	is(scalar keys %cpus, 1, 'the same one');

	for my $bound ([ 1000 => 0, 'reached' ], [ 0.001 => 1, 'missed' ]) {
		my ($ratio, $status, $verdict) = @{$bound};
		($code, $output, $errors) = run_cmd({ timeout => TIMEOUT }, $bench, qw(--rounds 6 --seconds 0.02 --at-most), $ratio,
			'--pair', $Prefork::O, '--pair', '--coalesce off');
		is($code, $status, "at most $ratio: exit status") or diag($output . $errors);
		like($output, qr/^\s+at\smost\s[\d.]+:\s$verdict$/m, "at most $ratio: $verdict");
		like($output, qr/^\s+B\scosts\s[\d.]+\sx\sA:\sbetween\s[\d.]+\sand\s/m, 'the interval');
	}
};

# The median lies outside by the chance that all tosses of a coin but few fall on
# one side: 2 * 0.5^6 is 3.1 %, and 40 values leave 13 out on each side (3.8 %).
subtest 'the interval of a median' => sub {
	is_deeply([ Bench::Measure::interval(1 .. 5) ], [], 'none of 5 values');
	is_deeply([ Bench::Measure::interval(reverse 1 .. 6) ], [ 1, 6 ], 'all of 6');
	is_deeply([ Bench::Measure::interval(1 .. 9) ], [ 2, 8 ], 'without one on each side of 9');
	is_deeply([ Bench::Measure::interval(1 .. 40) ], [ 14, 27 ], 'without 13 of 40');
};

subtest 'memory and life-cycle times' => sub {
	my $file = File::Temp->new;
	my ($code, $output, $errors) =
	    run_cmd({ timeout => TIMEOUT }, $bench, @short, qw(--quick --scenario life --json), "$file");

	is($code, 0, 'it ends well') or diag($output . $errors);
	my $result = JSON::PP::decode_json(join q{}, <$file>);
	cmp_ok($result->{memory}{worker}, '>', 0, 'memory of a worker');
	for my $what (qw(start replacement reload)) {
		is(scalar grep({ $_ > 0 } @{ $result->{life}{$what} }), 3, "$what: three times");
	}
};

subtest 'usage' => sub {
	for my $bad (
		[ [qw(--scenario nothing)] => qr/no\sscenario\s'nothing';\sthere\sare\stcp-1\s/x ],
		[ [qw(--server nobody)]    => qr/no\sserver\s'nobody';\sthere\sare\sfloor\s/x ],
		[ [qw(--rounds 0)]         => qr/--rounds\stakes/x ],
		[ [qw(--seconds 0)]        => qr/--seconds\stakes/x ],
		[ [qw(--minutes 0)]        => qr/--minutes\stakes/x ],
		[ [qw(--cpus 1)]           => qr/--cpus\stakes\stwo/x ],
		[ [ '--cpus', '4095,0' ]   => qr/CPU\s4095\sis\snot/x ],
		[ [qw(--pair x)]           => qr/--pair\sis\sgiven\stwice/x ],
		[ [qw(--pair /nowhere --pair -v)]       => qr{/nowhere\sis\sno\sprogram}x ],
		[ [ '--pair', "'", '--pair', '-v' ]     => qr/the\squotes\sdo\snot\smatch/x ],
		[ [qw(--pair -v --pair -v -s growth)]   => qr/no\sscenario\s'growth'/x ],
		[ [qw(--pair -v --pair -v -S libev)]    => qr/exclude[ ]each[ ]other/x ],
		[ [qw(--at-most 1)]        => qr/--at-most\stakes/x ],
		[ [qw(--nothing)]          => qr/^usage:/mx ],
		[ [qw(word)]               => qr/^usage:/mx ],
	) {
		my ($arguments, $pattern) = @{$bad};
		my ($code, undef, $errors) = run_cmd($bench, @{$arguments});
		is($code, 64, "@{$arguments}: exit status");
		like($errors, $pattern, "@{$arguments}: the reason");
	}
	my ($code, $output) = run_cmd($bench, '--help');
	is($code, 0, '--help: exit status');
	like($output, qr/^usage:/, '--help: the options');
};
done_testing();

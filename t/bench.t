#!/usr/bin/perl

# contrib/bench runs: one scenario of each kind for a moment, the figures are
# there, and bad usage is told. How large the figures are is nobody's matter
# here.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Temp ();
use JSON::PP   ();
use Prefork;
use Test::More;

use constant TIMEOUT => 120;

my $bench = "$Prefork::ROOT/contrib/bench/bench";
my @short = qw(--rounds 2 --seconds 0.02 --server prefork);

sub has { my ($tool) = @_; return scalar grep { -x "$_/$tool" } split /:/, $ENV{PATH} }

plan(skip_all => 'taskset is not installed') if !has('taskset');
plan(skip_all => 'no C compiler')            if !has($ENV{CC} // 'cc');
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
	}
	my ($reached) = grep { $_->{what} =~ /^tcp-50:.*floor/ } @{ $result->{figures} };
	like($reached->{verdict}, qr/^(?:reached|missed)$/, 'a figure to reach has its verdict');
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

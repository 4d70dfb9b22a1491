#!/usr/bin/perl

# The manifests in contrib/kubernetes: the server takes their arguments, their probes
# see that it serves, and the pod's way to its end is as they say: it serves on for the
# time of --stop-delay, and the time that is granted is enough.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP qw(decode_json);
use Prefork;
use Prefork::Control;
use Prefork::Life;
use Test::More;

chdir $Prefork::ROOT or die "chdir: $!\n";
my $places = "$Prefork::ROOT/contrib/kubernetes";

for my $name (qw(echo mesh)) {
	my $text = slurp("$places/$name.yaml");
	my @args = lists($text, 'args');

	is(scalar @args, 1, "$name.yaml: one server");
	my ($code, undef, $errors) = run_cmd(bin('prefork-echo'), '-t', @{ $args[0] });
	is($code, 0, 'takes its arguments') or diag($errors);
	my %of = @{ $args[0] };
	my ($grace) = $text =~ /^\s*terminationGracePeriodSeconds:\s(\d+)$/mx;
	cmp_ok($of{'--stop-delay'} + 8, '<', $grace, 'the stop delay and timeout are less than the grace period');
	my ($version) = slurp("$Prefork::ROOT/GNUmakefile") =~ /^VERSION\s=\s(\S+)$/mx;
	is_deeply([ grep { $_ ne "prefork-echo:$version" } $text =~ /^\s*image:\s(\S+)$/mxg ],
		[], 'the image is of this version');
}
probes();
prober();
done_testing();

sub bin { return "$Prefork::O/$_[0]" }

sub lists {
	my ($text, $key) = @_;

	return map { decode_json($_) } $text =~ /^\s*$key:\s(\[.*\])$/mxg;
}

sub probes {
	my @probes = lists(slurp("$places/echo.yaml"), 'command');
	my ($args) = lists(slurp("$places/echo.yaml"), 'args');
	my $dir = temp_dir();
	my @own = map { s{/run/prefork}{$dir}r } grep { !/\A(?:-p|8888)\z/x } @{$args};
	my $server = Prefork->start('-p', 0, @own);
	my $port   = $server->port;

	is(scalar @probes, 3, 'three probes');
	for my $probe (@probes) {
		my ($program, @rest) = map { s/\A8888\z/$port/rx } @{$probe};
		my ($code, undef, $errors) = run_cmd(bin($program =~ s{/}{}r), @rest);
		is($code, 0, "a probe: @rest") or diag($errors);
	}
	is((ctl('-s', "$dir/echo.sock", 'status'))[0], 0, 'the command in its comment');
	is((ctl('-s', "$dir/echo.sock", 'stop', '--now'))[0], 0, 'prefork-ctl stop succeeds');
	for my $probe (@probes) {
		my ($program, @rest) = map { s/\A8888\z/$port/rx } @{$probe};
		cmp_ok((run_cmd(bin($program =~ s{/}{}r), @rest))[0], '!=', 0, 'without a server a probe fails');
	}
	return;
}

# It takes the options: the name of the cluster has no address here, and is probed still.
sub prober {
	my ($command) = lists(slurp("$places/mesh.yaml"), 'command');
	my ($program, @rest) = map { s/\A[*]:9489\z/127.0.0.1:0/rx } @{$command};
	my ($code, undef, $errors) = run_cmd(bin($program =~ s{/}{}r), @rest, '--version');

	is($code, 0, 'the prober takes its arguments') or diag($errors);
	return;
}

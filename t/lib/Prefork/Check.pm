package Prefork::Check;

# echo-check run by a test, and its findings.

use strict;
use warnings;

use Exporter 'import';
use File::Temp ();
use JSON::PP   ();
use List::Util qw(sum0);
use POSIX qw(WNOHANG);
use Prefork;
use Prefork::Life qw(slurp);
use Prefork::Tools qw(spawn_process);
use Test::More ();

our @EXPORT = qw(check start finish found adds_up ordered);

use constant TIMEOUT => 60;

# All kinds of loss, and the other faults, of which late ones stand for a message.
our @LOSING = qw(refused reset timeout short mismatch other);
our @ADDED  = qw(late duplicate reordered);

# check(@arguments): (exit status, the output of --json or undef, standard
# error).
sub check { return finish(start(@_)) }

# The same in two steps, so that several can run at a time.
sub start {
	my @arguments = @_;
	my ($output, $errors) = (File::Temp->new, File::Temp->new);
	my $pid = spawn_process({ stdout => $output, stderr => $errors },
		Prefork::program('echo-check'), '--json', @arguments);

	return { pid => $pid, output => $output, errors => $errors };
}

sub finish {
	my ($run) = @_;
	my $status;
	my $ended = sub {
		return 0 if waitpid($run->{pid}, WNOHANG) != $run->{pid};
		$status = $?;
		return 1;
	};

	if (!wait_for($ended, TIMEOUT)) {
		kill 'KILL', $run->{pid};
		waitpid $run->{pid}, 0;
		return ('timeout', undef, q{});
	}
	my ($output, $errors) = map { slurp("$_") } @{$run}{qw(output errors)};
	return ($status & 127 ? 128 + ($status & 127) : $status >> 8,
		scalar eval { JSON::PP::decode_json($output) }, $errors);
}

# found($result): the kinds of fault that it counts, each with its number.
sub found {
	my ($result) = @_;

	return { map { $_ => $result->{$_} } grep { $result->{$_} } @LOSING, @ADDED };
}

# Whether every message that was sent is echoed, late or missing, once, and the
# total of losses is that of their kinds.
sub adds_up {
	my ($result, $name) = @_;
	my $missing = sum0(@{$result}{@LOSING});

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return Test::More::is_deeply(
		[ $result->{sent}, $result->{lost} ],
		[
			$result->{echoed} + $result->{late} + $missing,
			$missing
		],
		"$name: adds up"
	);
}

# Whether the percentiles can be ones.
sub ordered {
	my ($result, $name) = @_;
	my @latency = @{ $result->{latency_ms} }{qw(p50 p90 p99 p99.9 slowest)};

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return Test::More::is_deeply([@latency], [ sort { $a <=> $b } @latency ],
		"$name: percentiles grow");
}

1;

#!/usr/bin/perl

# No client notices: echo-check keeps sequenced flows going, over TCP with a
# connection for each message, over long-lived connections and over UDP, while
# workers are reloaded, resized, stopped and killed. contrib/torture does the
# same for minutes.

use strict;
use warnings;

use File::Temp ();
use FindBin;
use JSON::PP ();
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Tools qw(spawn_process);
use Test::More;

use constant ROUNDS => 3;

my @loads = (
	[ 'connecting, closed loop', '-c', '-n', 16 ],
	[ 'connecting, open loop',   '-c', '-n', 64, '-r', 500 ],
	[ 'long-lived, 64 KiB',      '-n', 8, '-z', '64k', '--pipeline', 2 ],
	[ 'datagrams',               '-u', '-n', 50, '-r', 2000 ],
);

for my $load (@loads) {
	my ($name, @options) = @{$load};
	my $server = Prefork->start('-w', 3, '-p', 0, '-4');
	my %before = fds($server->pid);

	unnoticed("$name: reload", $server, \@options,
		sub { told($server, 'HUP', qr/reloaded: 3/) });
	unnoticed("$name: resize", $server, \@options,
		sub {
			told($server, 'TTOU', qr/number of workers is 2 .*worker 2 \(\d+\) has ended/s);
			told($server, 'TTIN', qr/number of workers is 3 .*slot 2 recovered/s);
		});
	killed("$name: a killed worker", $server, \@options);
	ok(wait_for(sub { $server->workers_alive == 3 }, 20), "$name: three workers");
	ok(wait_for(sub { my %now = fds($server->pid); keys %now == keys %before }, 20),
		"$name: and as many descriptors as before");
	is($server->stop, 0, "$name: exit status");
}
done_testing();

sub told {
	my ($server, $signal, $answer) = @_;
	my $from = $server->log_size;

	$server->signal($signal);
	return $server->wait_log($answer, 20, $from);
}

# echo-check under way: call it for the report.
sub checker {
	my ($server, $options) = @_;
	my $out = File::Temp->new;
	my $pid = spawn_process({ stdout => $out, stderr => \*STDERR },
		Prefork::program('echo-check'), '--json', '-d', 600,
		@{$options}, '-p', $server->port, '127.0.0.1');

	wait_for(sub { my %fd = fds($pid); grep { /^socket:/ } values %fd }, 20);
	return sub {
		kill 'INT', $pid;
		waitpid $pid, 0;
		seek $out, 0, 0;
		return JSON::PP::decode_json(join q{}, <$out>);
	};
}

sub unnoticed {
	my ($name, $server, $options, $event) = @_;
	my $finish = checker($server, $options);
	my $done   = grep { $event->() } 1 .. ROUNDS;
	my $report = $finish->();

	is($done, ROUNDS, "$name: all happened");
	cmp_ok($report->{echoed}, '>', 0, "$name: under load");
	is_deeply(losses($report), {}, "$name: nothing was lost");
	return;
}

# The connections of a killed worker go on in its successor.
sub killed {
	my ($name, $server, $options) = @_;
	my $finish = checker($server, $options);

	for my $slot (0 .. 2) {
		my $from = $server->log_size;
		my %pid  = $server->workers;
		kill 'KILL', $pid{$slot};
		$server->wait_log(qr/\[worker-$slot \(\d+\)\] serving on .*udp/, 20, $from);
	}
	is_deeply(losses($finish->()), {}, "$name: nothing was lost");
	return;
}

# While a sibling helps a worker that is late, two processes read one UDP socket, so
# that the order may change.
sub losses {
	my ($report) = @_;
	my @kinds = qw(refused reset timeout short mismatch other late duplicate);

	return { map { $_ => $report->{$_} } grep { $report->{$_} } @kinds };
}

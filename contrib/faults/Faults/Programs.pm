package Faults::Programs;

# The small programs: each runs once for each fault. It ends in time, by no signal,
# and either does its work or says why not.

use strict;
use warnings;

use Faults::Order;
use Faults::Service;
use Prefork::Tools qw(run_cmd spawn_process wait_for);

use constant PATIENCE => 20;

# rows($programs, $echo): a name and a command for each. The service that they talk to
# has a port, a control socket, a name and a pid file.
sub rows {
	my ($programs, $service) = @_;
	my ($client, $check, $ctl, $echo) = map { "$programs/$_" } qw(echo-client echo-check prefork-ctl prefork-echo);
	my ($port, $socket, $name, $pid_file) = @{$service}{qw(port socket name pid_file)};

	return (
		(map { [ "ctl-$_", $ctl, '-s', $socket, $_ ] } qw(status connections doctor why dump metrics reload)),
		[ 'ctl-json', $ctl, '-s', $socket, qw(status --json) ],
		[ 'ctl-top', $ctl, '-s', $socket, 'top' ],
		[ 'ctl-name', $ctl, '--name', $name, 'reopen' ],
		[ 'ctl-pid', $ctl, '-P', $pid_file, qw(loglevel info) ],
		[ 'ctl-alone', $ctl, 'status' ],
		[ 'ctl-kill', $ctl, '-s', $socket, 'kill', '192.0.2.1:9' ],
		[ 'ctl-workers', $ctl, '-s', $socket, qw(workers 2) ],
		[ 'echo-signal', $echo, '-P', $pid_file, qw(-s reload) ],
		[ 'echo-test', $echo, qw(-p 0 -t) ],
		[ 'ctl-output', $ctl, '-s', $socket, qw(metrics --output), "$socket.prom" ],
		(map { [ "client-$_", $client, '--api', $_, '-v', '-p', $port, '127.0.0.1', 'one', 'two' ] }
			qw(protocol stream poll)),
		[ 'client-udp', $client, '-u', '-v', '-p', $port, '127.0.0.1', 'one', 'two' ],
		[ 'client-input', $client, '-p', $port, '127.0.0.1', q{-} ],
		[ 'client-verify', $client, '--verify', '-p', $port, '127.0.0.1', q{-} ],
		[ 'check-tcp', $check, qw(-n 20 -C 2 -p), $port, '127.0.0.1' ],
		[ 'check-udp', $check, qw(-u -n 20 -p), $port, '127.0.0.1' ],
		[ 'check-connect', $check, qw(-c -n 20 -p), $port, '127.0.0.1' ],
		[ 'check-json', $check, qw(--json -n 20 -p), $port, '127.0.0.1' ],
	);
}

# run($class, $shim, $row, $fault): the findings, and the sites.
sub run {
	my (undef, $shim, $row, $fault) = @_;
	my ($name, @command) = @{$row};
	my $order = Faults::Order->new;
	my @findings;

	$order->arm($fault) if $fault;
	my ($code, $output, $errors) = run_cmd({ timeout => PATIENCE, env => $order->env($shim), input => "some input\n" x 50 },
		@command);
	if ($code eq 'timeout') {
		push @findings, 'it does not end';
	} else {
		push @findings, 'signal ' . ($code - 128) if $code > 128;
		push @findings, "exit status $code" if $code > 78 && $code <= 128;
		# The line itself may have failed.
		push @findings, "it fails with $code, without a line"
		    if $code && $errors !~ /\S/ && $output !~ /\S/ && !($fault && $fault->{name} =~ $Faults::Service::LINES);
	}
	return (\@findings, [ $order->sites ], "exit status $code\n$output$errors", $order->hit);
}

1;

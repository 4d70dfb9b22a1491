#!/usr/bin/perl

# The service manager is told how the service is: sd_notify(3), by a socket of
# this test's own.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use IO::Socket::UNIX;
use Prefork;
use Prefork::Control;
use Prefork::Life;
use Prefork::Tools qw(now);
use Socket         qw(SOCK_DGRAM);
use Test::More;

my $dir  = temp_dir();
my $path = "$dir/notify";
my $manager = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $path) or die "socket: $!\n";

life();
bad_file();
lame_duck();
watchdog();
abstract();
nobody();
done_testing();

# The next message that has the pattern, as it came; undef when there is none.
sub told {
	my ($pattern, $socket) = @_;
	my $deadline = now() + 20;

	$socket //= $manager;
	while (now() < $deadline) {
		IO::Select->new($socket)->can_read(1) or next;
		recv $socket, my $text, 4096, 0;
		return $text if $text =~ $pattern;
	}
	return;
}

sub start {
	my ($env, @arguments) = @_;

	return Prefork->start({ env => { NOTIFY_SOCKET => $path, %{$env} } }, qw(-p 0 -4),
		@arguments);
}

sub life {
	my $server = start({}, qw(-w 2));
	my $pid    = $server->pid;

	like(told(qr/READY/), qr/^READY=1\nMAINPID=$pid\nSTATUS=2\sof\s2\sworkers\sserve,\s0
		\sconnections\z/x, 'it is ready');
	my $before = now();
	is((ctl('-s', control_socket($server), 'reload'))[0], 0, 'a reload');
	my ($usec) = told(qr/RELOADING/) =~ /\ARELOADING=1\nMONOTONIC_USEC=(\d+)\n/x;
	my ($uptime) = slurp('/proc/uptime') =~ /^([\d.]+)/x;
	cmp_ok(abs($usec / 1e6 - $uptime), '<', 30, 'begins, at a time of the monotonic clock');
	like(told(qr/READY/), qr/^STATUS=2\sof\s2\sworkers\sserve,.*,\sreload\s\d+s\sago:\sok$/mx,
		'READY ends the reload, and has its result');
	$server->signal('TERM');
	like(told(qr/STOPPING/), qr/\ASTOPPING=1$/mx, 'STOPPING is sent at a stop');
	like(told(qr/EXTEND/), qr/\AEXTEND_TIMEOUT_USEC=\d+$/mx, 'a stop asks for more time');
	is($server->wait_exit, 0, 'exit status');
	return;
}

# Until the delay of a stop has passed, all are served, and it is not ready.
sub lame_duck {
	my $server = start({}, qw(-w 1 --stop-delay 3600));
	my $socket = control_socket($server);

	told(qr/READY/);
	$server->signal('TERM');
	like(told(qr/STOPPING/), qr/\ASTOPPING=1$/mx, '--stop-delay: STOPPING is sent at once');
	like(told(qr/EXTEND/), qr/STATUS=1\sof\s1.*,\sstopping$/mx, 'the status line ends with "stopping"');
	like((ctl('-s', $socket, 'status'))[1], qr/\A\S+\sstopping,/x, 'as the status does');
	like((ctl('-s', $socket, 'metrics'))[1], qr/^prefork_ready\{.*\}\s0$/mx, 'it is not ready');
	is(echo_once($server->tcp_socket(4), 'new'), 'new', 'a new client is served during the delay');
	cmp_ok((ctl('-s', $socket, 'upgrade'))[0], '!=', 0, 'an upgrade during the delay is refused');
	is((ctl('-s', $socket, qw(reload)))[0], 0, 'a reload does not, either');
	like((ctl('-s', $socket, 'status'))[1], qr/\A\S+\sstopping,/x, 'the status is still "stopping" after a reload');
	is((ctl('-s', $socket, qw(stop --now)))[0], 0, 'it stops by another order');
	is($server->wait_exit, 0, 'exit status');

	$server = start({}, qw(-w 1 --stop-delay 0.2));
	$server->signal('TERM');
	is($server->wait_exit, 0, 'or when the delay has passed');
	like($server->log_text, qr/stopping\sin\s0\.2\ss;.*\sstopping$/msx, 'the log has the delay and the stop');
	return;
}

# A reload that is refused ends, too; otherwise systemd would wait for it.
sub bad_file {
	my $file = write_file("$dir/conf", 'workers 1');
	my $server = start({}, '-c', $file);

	told(qr/READY/);
	write_file($file, 'colour blue');
	$server->signal('HUP');
	ok(told(qr/RELOADING/), 'a reload of a bad file begins');
	like(told(qr/READY/), qr/reload\s\d+s\sago:\srefused$/mx, 'READY ends the refused reload');
	is($server->stop, 0, 'exit status');
	return;
}

# A master that is stopped sends nothing.
sub watchdog {
	my $server = start({ WATCHDOG_USEC => 300_000 }, qw(-w 1));

	ok(told(qr/\AWATCHDOG=1\z/), 'WATCHDOG is sent') for 1 .. 3;
	$server->signal('STOP');
	ok(wait_for(sub { slurp('/proc/' . $server->pid . '/stat') =~ /[)]\sT/ }), 'a stopped master');
	recv $manager, my $text, 4096, 0 while IO::Select->new($manager)->can_read(0);
	ok(!IO::Select->new($manager)->can_read(1), 'a stopped master sends no WATCHDOG');
	$server->signal('CONT');
	ok(told(qr/WATCHDOG/), 'a continued master sends WATCHDOG again');
	is($server->stop, 0, 'exit status');

	$server = start({ WATCHDOG_USEC => 300_000, WATCHDOG_PID => 1 }, qw(-w 1));
	ok(told(qr/READY/), 'WATCHDOG_PID of another process: READY is sent');
	ok(!IO::Select->new($manager)->can_read(1), 'WATCHDOG_PID of another process: no WATCHDOG is sent');
	is($server->stop, 0, 'exit status');
	return;
}

sub abstract {
	my $name = "\0prefork-test-$$";
	my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $name);

	SKIP: {
		skip 'no abstract sockets', 2 if !$socket;
		my $server = start({ NOTIFY_SOCKET => $name =~ s/\0/@/r }, qw(-w 1));
		ok(told(qr/READY/, $socket), 'an abstract socket');
		is($server->stop, 0, 'exit status');
	}
	return;
}

# A socket that is not there, or a manager that does not read, delays nothing.
sub nobody {
	for my $where ("$dir/none", 'relative', 'x' x 200) {
		my $server = start({ NOTIFY_SOCKET => $where }, qw(-w 1));
		like($server->log_text, qr/cannot\sreach\sthe\sservice\smanager/x, 'it is logged');
		is(echo_once($server->tcp_socket, 'x'), 'x', 'the service runs without a service manager');
		is($server->stop, 0, 'exit status');
	}
	my $server = start({ WATCHDOG_USEC => 3000 }, qw(-w 1));
	ok(!wait_for(sub { 0 }, 1), 'messages that nobody reads');
	is((ctl('-s', control_socket($server), 'reload'))[0], 0, 'a reload');
	is($server->stop, 0, 'exit status');
	return;
}

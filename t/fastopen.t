#!/usr/bin/perl

# TCP Fast Open, RFC 7413: a server's option and the client's, in a network
# namespace of its own, for the system's leave to take data with a SYN is off
# by default.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::IP;
use Prefork;
use Prefork::Sockets qw(have);
use Prefork::Tools   qw(now);
use Socket qw(AF_INET SOCK_STREAM inet_aton pack_sockaddr_in sockaddr_in);
use Test::More;

if (!$ENV{PREFORK_NAMESPACE}) {
	plan skip_all => 'no unshare or no ip here' if !have('unshare') || !have('ip');
	plan skip_all => 'no network namespace can be made here'
	    if (run_cmd('unshare', '-rn', 'ip', 'link', 'set', 'lo', 'up'))[0] != 0;
	local $ENV{PREFORK_NAMESPACE} = 1;
	exec 'unshare', '-rn', $^X, $0 or die "unshare: $!\n";
}

system('ip', 'link', 'set', 'lo', 'up') == 0 or die "ip: $?\n";
open my $sysctl, '>', '/proc/sys/net/ipv4/tcp_fastopen' or die "sysctl: $!\n";
print {$sysctl} 3 or die "sysctl: $!\n";
close $sysctl or die "sysctl: $!\n";

my @modes  = qw(protocol stream poll);
my $server = Prefork->start(qw(-w 1 -p 0 --fastopen 16));
my @to     = ('-p', $server->port, '127.0.0.1');

like(client('--fastopen', @to, 'text'),
	qr/with the SYN: not taken$/m, 'the first SYN asks for a cookie');
for my $mode (@modes) {
	my $log = client('--api', $mode, '--fastopen', @to, 'one', 'two');
	like($log, qr/with the SYN: taken$/m, "$mode: the next one has data");
	like($log, qr/^status 0$/m,           "$mode: all comes back");
	like(client('--api', $mode, '--fastopen', @to, 'x' x 100_000),
		qr/^status 0$/m, "$mode: also more than a SYN holds");
	unlike(client('--api', $mode, @to), qr/SYN/, "$mode: not unless asked");
}
is($server->stop, 0, 'the server stops');

for my $mode (@modes) {
	like(client('--api', $mode, '--fastopen', @to),
		qr/\bREFUSED: .*^status 2$/ms, "$mode: refused");
}

# The cookie is the address', not the port's: here it meets a full queue.
socket my $listener, AF_INET, SOCK_STREAM, 0 or die "socket: $!\n";
bind $listener, pack_sockaddr_in(0, inet_aton('127.0.0.1')) or die "bind: $!\n";
listen $listener, 0;
my ($port) = sockaddr_in(getsockname $listener);
my @fillers = map {
	IO::Socket::IP->new(
		PeerHost => '127.0.0.1',
		PeerPort => $port,
		Type     => SOCK_STREAM,
		Blocking => 0
	)
} 1 .. 4;

for my $mode (@modes) {
	my $start = now();
	like(
		client('--api', $mode, '--fastopen', '--connect-timeout', 0.4, '-p',
			$port, '127.0.0.1'),
		qr/\bTIMEOUT: .*^status 2$/ms,
		"$mode: a silent server"
	);
	cmp_ok(now() - $start, '>', 0.3, "$mode: when the connect timeout is over");
}
done_testing();

# Its output and exit status.
sub client {
	my @arguments = @_;
	my ($code, $output, $errors) =
	    run_cmd({ timeout => 20 }, Prefork::program('echo-client'), '-v', @arguments);

	return "$output${errors}status $code\n";
}

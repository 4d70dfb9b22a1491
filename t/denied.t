#!/usr/bin/perl

# A sandbox denies system calls, one at a time, by EPERM or by ENOSYS: the
# service works without the call, or the start fails at once and names it.

use strict;
use warnings;

use Errno qw(EPERM ENOSYS);
use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use Prefork;
use Prefork::Deny;
use Prefork::Sockets;
use Socket qw(MSG_DONTWAIT);
use Test::More;

use constant BULK  => 4 << 20;
use constant BURST => 50;

plan skip_all => 'seccomp(2) is not to be had' if !can_deny();

for my $call (qw(recvmmsg sendmmsg splice)) {
	for my $errno (EPERM, ENOSYS) {
		local $! = $errno;
		works("$call: $!", deny($errno, $call));
	}
}
done_testing();

sub works {
	my ($name, $setup) = @_;
	my $server = Prefork->start({ setup => $setup }, qw(-w 2 -p 0 -b 127.0.0.1));
	my $data   = random_bytes(BULK);

	is(echo_once($server->tcp_socket, 'abc'), 'abc', "$name: TCP");
	ok(echo_once($server->tcp_socket, $data) eq $data, "$name: much of it");
	is(burst($server->udp_socket), BURST, "$name: a burst of datagrams");
	is($server->stop, 0, "$name: exit status");
	return;
}

# How many of many datagrams at once come back.
sub burst {
	my ($socket) = @_;
	my %want = map { ("$_ " . 'x' x (20 * ($_ % 5)) => 1) } 1 .. BURST;

	send $socket, $_, 0 for sort keys %want;
	while (%want && IO::Select->new($socket)->can_read(10)) {
		last if !defined recv $socket, my $answer, 2048, MSG_DONTWAIT;
		delete $want{$answer};
	}
	return BURST - keys %want;
}

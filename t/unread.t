#!/usr/bin/perl

# A client that sends and never reads takes a bounded part of the kernel's memory
# (--unsent-limit), and when it reads, all its bytes come.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Errno qw(EAGAIN);
use IO::Select;
use Prefork;
use Prefork::Life;
use Socket qw(SOL_SOCKET SO_SNDBUF);
use Test::More;

# Its own buffers, those of the server's connection, and a reserve.  Without a
# limit the server's send buffer alone grows to the third number of tcp_wmem.
use constant BOUND  => 2 << 20;
use constant ENOUGH => 16 << 20;

my $block = join q{}, map { pack 'N', $_ } 1 .. 1 << 14;

plan skip_all => 'net.ipv4.tcp_wmem bounds it already' if wmem() < 2 * BOUND;

my $server = Prefork->start(qw(-w 1 -p 0 -4));
my $socket = $server->tcp_socket;

$socket->setsockopt(SOL_SOCKET, SO_SNDBUF, 16_384) or die "SO_SNDBUF: $!\n";
$socket->blocking(0);
my $sent = fill();
cmp_ok($sent, '<', BOUND, "not read, it could send $sent bytes only");
is(echo_once($server->tcp_socket, 'x'), 'x', 'another one is served');
is(drain(), $sent, 'they all come back');
is($server->stop, 0, 'exit status');
done_testing();

sub wmem {
	open my $f, '<', '/proc/sys/net/ipv4/tcp_wmem' or return 0;
	return (split q{ }, <$f>)[2];
}

# Send until there is no room for a second; so many bytes.
sub fill {
	my $select = IO::Select->new($socket);
	my $n = 0;

	while ($n < ENOUGH && $select->can_write(1)) {
		my $at = $n % length $block;
		$n += $socket->syswrite($block, length($block) - $at, $at) // ($! == EAGAIN ? 0 : die "write: $!\n");
	}
	return $n;
}

# Read them; so many are right.
sub drain {
	my $select = IO::Select->new($socket);
	my $n = 0;

	while ($n < $sent && $select->can_read(60)) {
		my $at = $n % length $block;
		my $got = $socket->sysread(my $bytes, length($block) - $at) or last;
		last if $bytes ne substr $block, $at, $got;
		$n += $got;
	}
	return $n;
}

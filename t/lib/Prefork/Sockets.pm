package Prefork::Sockets;

# Sockets seen from outside and from inside: ss(8), and pidfd_getfd(2), by which
# a test reads the options of the very socket of another process.

use strict;
use warnings;

use Exporter 'import';
use Socket qw(:addrinfo getaddrinfo getnameinfo SOL_SOCKET SO_TYPE SO_ACCEPTCONN
    SOCK_STREAM SO_LINGER AF_INET AF_INET6 sockaddr_family);

use Prefork::Tools qw(fds run_cmd);

our @EXPORT = qw(random_bytes own_address local_addresses6 have ss sockets_of
    option_of address_of reset_connection asan_env);

# Linux has the same numbers on all architectures.
use constant SYS_PIDFD_OPEN  => 434;
use constant SYS_PIDFD_GETFD => 438;

sub random_bytes {
	my ($count) = @_;
	my $bytes = q{};

	open my $random, '<:raw', '/dev/urandom' or die "/dev/urandom: $!\n";
	read $random, $bytes, $count;
	return $bytes;
}

# own_address($n), $n from 0 to 3: a loopback address that nobody else uses now,
# so that all its ports are free.
sub own_address {
	my ($n) = @_;

	return join q{.}, 127, ($$ >> 14) % 256 ^ 128, ($$ >> 6) % 256,
	    ($$ % 64 << 2) + ($n // 0);
}

# The machine's IPv6 addresses that can be used, with a zone where it is needed.
sub local_addresses6 {
	open my $table, '<', '/proc/net/if_inet6' or return;
	my @addresses;

	while (my $line = <$table>) {
		my ($hex, undef, undef, $scope, $flags, $interface) =
		    split q{ }, $line;
		# Tentative, or a duplicate.
		next if hex($flags) & 0x48;
		my $address = join q{:}, unpack '(A4)*', $hex;
		push @addresses,
		    hex $scope == 0x20 ? "$address%$interface" : $address;
	}
	return @addresses;
}

# Whether a program is there to be run.
sub have {
	my ($name) = @_;

	return scalar grep { -x "$_/$name" } split /:/, $ENV{PATH};
}

# ss('-t', PORT): the listeners on the port, a line each, with the columns of
# ss(8): state, queues, local address, peer, users, and more.
sub ss {
	my ($kind, $port) = @_;
	my ($code, $output, $errors) =
	    run_cmd('ss', '-H', '-l', '-n', '-p', '-e', $kind, 'sport', '=', ":$port");

	die "ss: $errors\n" if $code;
	return split /\n/, $output;
}

# sockets_of(PID): the Internet sockets of another process, each a hash of
# handle (a duplicate of its descriptor), inode, kind (tcp or udp), family (4
# or 6), host, port, and state: listening, connected or open. Nothing where that
# is not permitted, with $! set.
sub sockets_of {
	my ($pid) = @_;
	my %fds = fds($pid);
	my @sockets;

	my $pidfd = syscall SYS_PIDFD_OPEN, 0 + $pid, 0;
	return if $pidfd < 0;
	open my $closer, '<&=', $pidfd or return;
	for my $fd (sort { $a <=> $b } keys %fds) {
		my ($inode) = $fds{$fd} =~ /^socket:\[(\d+)\]$/ or next;
		my $copy = syscall SYS_PIDFD_GETFD, $pidfd, 0 + $fd, 0;
		# Closed meanwhile, as the channel of a hand-over is.
		next   if $copy < 0 && $!{EBADF};
		return if $copy < 0;
		open my $handle, '+<&=', $copy or die "open: $!\n";
		my $socket = describe($handle) or next;
		push @sockets, { %{$socket}, inode => $inode };
	}
	return @sockets;
}

sub describe {
	my ($handle) = @_;
	my ($host, $port, $family) = address_of(getsockname $handle) or return;
	my $state = 'open';

	$state = 'listening' if option_of($handle, SOL_SOCKET, SO_ACCEPTCONN);
	$state = 'connected' if getpeername $handle;
	return {
		handle => $handle,
		kind   => option_of($handle, SOL_SOCKET, SO_TYPE) == SOCK_STREAM
		? 'tcp'
		: 'udp',
		family => $family,
		host   => $host,
		port   => $port,
		state  => $state,
	};
}

# address_of(SOCKADDR): (host, port, 4 or 6), or nothing for other families.
sub address_of {
	my ($packed) = @_;
	my %families = (AF_INET, 4, AF_INET6, 6);
	my $family = defined $packed ? $families{ sockaddr_family($packed) } : undef;

	return if !$family;
	my ($error, $host, $port) =
	    getnameinfo($packed, NI_NUMERICHOST | NI_NUMERICSERV);
	return if $error;
	return ($host, $port, $family);
}

# option_of(HANDLE, LEVEL, NAME): an integer socket option.
sub option_of {
	my ($handle, $level, $name) = @_;
	my $value = getsockopt $handle, $level, $name;

	return if !defined $value;
	return unpack 'i', $value;
}

# Closes a TCP socket with a reset.
sub reset_connection {
	my ($socket) = @_;

	setsockopt $socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
	close $socket;
	return;
}

# asan_env('detect_leaks=0'): an environment for Prefork->start, with more
# options for an ASan build.
sub asan_env {
	my (@options) = @_;
	my @old = grep { defined && length } $ENV{ASAN_OPTIONS};

	return { ASAN_OPTIONS => join q{:}, @old, @options };
}

1;

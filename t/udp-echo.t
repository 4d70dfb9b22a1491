#!/usr/bin/perl

# UDP echo: every size, the answering address, ICMP errors, and datagrams that
# must not be answered.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use IO::Socket::IP;
use Prefork;
use Prefork::Sockets;
use Socket qw(:addrinfo AF_INET IPPROTO_IP IPPROTO_UDP IP_ADD_MEMBERSHIP IP_MULTICAST_IF
    SOCK_DGRAM SOCK_RAW inet_aton pack_ip_mreq pack_sockaddr_in);
use Test::More;

# RFC 768's length field, less the headers.
use constant MAX_IPV4 => 65_507;
use constant MAX_IPV6 => 65_527;
# linux/udp.h
use constant UDP_SEGMENT => 103;
# As many as the default receive buffer holds in any case.
use constant BURST => 200;
# Ports of services that answer or amplify, as FIELD.md lists them.
use constant CHATTY =>
    qw(7 9 11 13 17 19 37 53 69 123 138 161 389 1900 3702 5353 11211);

subtest 'every size' => sub {
	my $server = Prefork->start(qw(-w 2 -p 0));

	for my $family (grep { $server->addresses('udp', $_) } 4, 6) {
		my $max = $family == 4 ? MAX_IPV4 : MAX_IPV6;
		my $client = $server->udp_socket($family);
		for my $size (0, 1, 2, 1472, 1473, 9000, 65_000, 65_507, $max) {
			my $data = random_bytes($size);
			my $got = echo_once($client, $data);
			ok(defined $got && $got eq $data, "$size bytes over IPv$family");
		}
	}
};

subtest 'a wildcard answers from the address that was asked' => sub {
	my $server = Prefork->start(qw(-w 2 -p 0 -b 0.0.0.0 -b ::));
	my @hosts = ('127.0.0.1', '127.0.0.5', own_address());

	push @hosts, local_addresses6() if $server->addresses('udp', 6);
	for my $host (@hosts) {
		# Connected: it gets nothing from elsewhere.
		is(echo_once(udp($host, $server->port), $host), $host, $host);
	}
};

subtest 'a burst' => sub {
	my $server = Prefork->start(qw(-w 2 -p 0));
	my $client = $server->udp_socket;
	my @words  = map { "$_ " . random_bytes(rand 100) } 1 .. BURST;

	send $client, $_, 0 for @words;
	my @got = receive_all($client, scalar @words);
	is_deeply(\@got, \@words, 'all is answered, in order');
};

subtest 'sent with UDP_SEGMENT' => sub {
	my $server = Prefork->start(qw(-w 2 -p 0));

	for my $family (grep { $server->addresses('udp', $_) } 4, 6) {
		my $client = segmenting($server->udp_socket($family), 100)
		    or plan skip_all => "no UDP_SEGMENT: $!";
		my @words = map { random_bytes(100) } 1 .. 40;
		push @words, random_bytes(33);
		send $client, join(q{}, @words), 0;
		my @got = receive_all($client, scalar @words);
		is_deeply(\@got, \@words, "each comes back by itself over IPv$family");
	}
};

subtest 'ICMP errors' => sub {
	my $server = Prefork->start(qw(-w 1 -p 0));
	my %workers = $server->workers;
	# A later one could get the port of one that has left, and its answers.
	my $stays = $server->udp_socket;

	for my $i (1 .. 100) {
		my $client = $server->udp_socket;
		send $client, "leaving $i", 0 for 1 .. 3;
		close $client;
		is(echo_once($stays, 'abc'), 'abc', 'echo') if $i % 25 == 0;
	}
	is_deeply({ $server->workers }, \%workers, 'the worker is the same');
};

subtest 'loop guard: each of those sent together' => sub {
	my $server = Prefork->start(qw(-w 1 -p 0 -b 127.0.0.1));
	my $socket = bound_udp(own_address(1), $server->port)
	    or plan skip_all => "cannot bind our port elsewhere: $!";

	segmenting($socket, 5) or plan skip_all => "no UDP_SEGMENT: $!";
	send $socket, 'guard' x 12, 0,
	    pack_sockaddr_in($server->port, inet_aton('127.0.0.1'));
	ok($server->wait_log(qr/loop\sguard:\srefused\s11\sdatagrams,\s12\sin\sall$/mx),
		'all are counted');
	ok(!IO::Select->new($socket)->can_read(0), 'none is answered');
};

# The datagram, the server's address, the client's, and the reason for the
# refusal.
my @cases = (
	[ 'from a service that answers', '127.0.0.1', \&from_services, 'service' ],
	[ 'from a port of our own', '127.0.0.1', \&from_own_port, 'our own' ],
	[ 'to a broadcast address', '0.0.0.0', \&to_broadcast, 'broadcast' ],
	[ 'to a multicast address', '0.0.0.0', \&to_multicast, 'multicast' ],
	[ 'to an IPv6 multicast address', '::', \&to_all_nodes, 'multicast' ],
	[ 'from port 0', '127.0.0.1', \&from_port_0, 'port 0' ],
);

for my $case (@cases) {
	my ($name, $bind, $code, $why) = @{$case};

	subtest "loop guard: $name" => sub {
		plan skip_all => 'no IPv6 here' if $bind =~ /:/ && !local_addresses6();
		my $server = Prefork->start(qw(-w 1 -p 0 -b), $bind);
		my ($sent, $answered) = exchange($server, $code);
		plan skip_all => "cannot send it: $!" if !$sent;
		is($answered, 0, "of $sent none is answered");
		ok($server->wait_log(
			qr/loop\sguard:\srefused\s1\sdatagram\sfrom\s\S+:\d+:\s.*\Q$why\E/x),
			'the first is logged with the reason');
		ok($server->wait_log(qr/loop\sguard:\srefused\s\d+\sdatagrams,\s$sent\sin\sall$/mx),
			'the others are counted') if $sent > 1;

		# No kernel sends to port 0.
		return if $code == \&from_port_0;
		$server = Prefork->start(qw(-w 1 -p 0 --loop-guard off -b), $bind);
		($sent, $answered) = exchange($server, $code);
		is($answered, $sent, 'all are answered with --loop-guard off');
		unlike($server->log_text, qr/loop\sguard/x, 'no line of the loop guard with --loop-guard off');
	};
}
done_testing();

# Sends a case's datagrams; how many that were, and how many were answered.
sub exchange {
	my ($server, $code) = @_;
	my ($any)    = $server->addresses;
	my @sockets  = $code->($server->port) or return;
	my $answered = 0;

	# One worker, one queue: this one is answered after the others.
	my $host = $any->[1] =~ /:/ ? '::1' : '127.0.0.1';
	is(echo_once(udp($host, $server->port), 'abc'), 'abc', 'an ordinary one');
	for my $socket (@sockets) {
		next if !IO::Select->new($socket)->can_read(0);
		recv $socket, my $answer, 100, 0;
		$answered++ if $answer =~ /guard$/;
	}
	return (scalar @sockets, $answered);
}

# The bytes of one send are cut into datagrams of that size: udp(7).
sub segmenting {
	my ($socket, $size) = @_;

	return setsockopt($socket, IPPROTO_UDP, UDP_SEGMENT, pack 'i', $size)
	    ? $socket
	    : undef;
}

# At most so many.
sub receive_all {
	my ($socket, $n) = @_;
	my @got;

	while (@got < $n && IO::Select->new($socket)->can_read(10)) {
		recv $socket, my $answer, 65_535, 0;
		push @got, $answer;
	}
	return @got;
}

sub bound_udp {
	my ($host, $port) = @_;

	return IO::Socket::IP->new(
		LocalHost => $host,
		LocalPort => $port,
		Type      => SOCK_DGRAM,
		Broadcast => 1,
	);
}

sub send_to {
	my ($socket, $host, $port) = @_;

	return if !$socket;
	return defined send($socket, 'guard', 0,
		pack_sockaddr_in($port, inet_aton($host))) ? $socket : ();
}

sub from_services {
	my ($port) = @_;
	my @sockets;

	for my $source (CHATTY) {
		my $socket = send_to(bound_udp(own_address(), $source), '127.0.0.1', $port);
		note "port $source: $!" if !$socket;
		push @sockets, $socket // ();
	}
	return @sockets;
}

# A stranger with our port.
sub from_own_port {
	my ($port) = @_;

	return send_to(bound_udp(own_address(1), $port), '127.0.0.1', $port);
}

sub to_broadcast {
	my ($port) = @_;

	return send_to(bound_udp('127.0.0.1', 0), '127.255.255.255', $port);
}

# On the loopback interface, where only a member's machine delivers it.
sub to_multicast {
	my ($port) = @_;
	my ($group, $lo) = map { inet_aton($_) } '239.255.77.77', '127.0.0.1';
	my $socket = bound_udp('127.0.0.1', 0);

	setsockopt $socket, IPPROTO_IP, IP_ADD_MEMBERSHIP, pack_ip_mreq($group, $lo)
	    or return;
	setsockopt $socket, IPPROTO_IP, IP_MULTICAST_IF, $lo or return;
	return send_to($socket, '239.255.77.77', $port);
}

# The group of which every machine is a member; with this scope nothing leaves it.
sub to_all_nodes {
	my ($port) = @_;
	my ($zone) = map { /(%.*)/ } local_addresses6() or return;
	my ($error, $to) = getaddrinfo("ff01::1$zone", $port,
		{ socktype => SOCK_DGRAM, flags => AI_NUMERICHOST });
	my $socket = bound_udp('::', 0);

	return if $error || !$socket || !defined send $socket, 'guard', 0, $to->{addr};
	return $socket;
}

# Only a raw socket can send such a datagram, and see an answer.
sub from_port_0 {
	my ($port) = @_;

	socket my $socket, AF_INET, SOCK_RAW, IPPROTO_UDP or return;
	bind $socket, pack_sockaddr_in(0, inet_aton(own_address(2))) or return;
	my $datagram = pack 'nnnna*', 0, $port, 8 + 5, 0, 'guard';
	send $socket, $datagram, 0, pack_sockaddr_in(0, inet_aton('127.0.0.1')) or return;
	return $socket;
}

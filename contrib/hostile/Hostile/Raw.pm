package Hostile::Raw;

# Packets with false sources, by a raw socket: raw(7), RFC 9293, RFC 768.

use strict;
use warnings;

use Exporter qw(import);
use Socket qw(AF_INET SOCK_RAW inet_aton pack_sockaddr_in);

our @EXPORT_OK = qw(raw_socket send_syn send_datagram);

use constant {
	IPPROTO_RAW => 255,
	TCP         => 6,
	UDP         => 17,
	SYN         => 2,
};

sub raw_socket {
	socket my $socket, AF_INET, SOCK_RAW, IPPROTO_RAW or die "raw socket: $!\n";
	return $socket;
}

sub checksum {
	my ($bytes) = @_;
	my $sum = 0;

	$bytes .= "\0" if length($bytes) % 2;
	$sum += $_ for unpack 'n*', $bytes;
	$sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
	return ~$sum & 0xffff;
}

# The kernel fills in the length, the number and the checksum of the IP header.
sub send_ip {
	my ($socket, $protocol, $from, $to, $segment) = @_;
	my $header = pack 'CCnnnCCna4a4', 0x45, 0, 0, 0, 0, 64, $protocol, 0, inet_aton($from), inet_aton($to);

	send $socket, $header . $segment, 0, pack_sockaddr_in(0, inet_aton($to)) or return 0;
	return 1;
}

sub pseudo {
	my ($protocol, $from, $to, $segment) = @_;

	return pack('a4a4CCn', inet_aton($from), inet_aton($to), 0, $protocol, length $segment) . $segment;
}

# Addresses are [ADDRESS, PORT].
sub send_syn {
	my ($socket, $from, $to) = @_;
	my $segment = pack 'nnNNCCnnn', $from->[1], $to->[1], int rand 2**32, 0, 5 << 4, SYN, 65_535, 0, 0;

	substr $segment, 16, 2, pack 'n', checksum(pseudo(TCP, $from->[0], $to->[0], $segment));
	return send_ip($socket, TCP, $from->[0], $to->[0], $segment);
}

sub send_datagram {
	my ($socket, $from, $to, $bytes) = @_;
	my $segment = pack('nnnn', $from->[1], $to->[1], 8 + length $bytes, 0) . $bytes;

	substr $segment, 6, 2, pack 'n', checksum(pseudo(UDP, $from->[0], $to->[0], $segment));
	return send_ip($socket, UDP, $from->[0], $to->[0], $segment);
}

1;

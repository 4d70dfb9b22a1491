#!/usr/bin/perl

# Talks to it with the tools that people have: nc of all kinds, socat, and
# Python's asyncio.

use strict;
use warnings;

use Cwd ();
use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Sockets;
use Test::More;

my $server = Prefork->start(qw(-w 2 -p 0));
my $port   = $server->port;
my @hosts  = map { $_->[1] } $server->addresses('tcp');
my $text   = join q{}, map { "line $_\n" } 1 .. 2000;

for my $program (netcats()) {
	subtest $program => sub {
		my %flags = flags_of($program);
		plan skip_all => 'of an unknown kind' if !%flags;
		for my $host (@hosts) {
			next if $host =~ /:/ && $flags{v4_only};
			talk("tcp $host", $text, $program, @{ $flags{tcp} }, $host, $port);
			talk("udp $host", "Hello World!\n", $program, @{ $flags{udp} }, $host, $port)
			    if $flags{udp};
		}
	};
}

subtest 'socat' => sub {
	plan skip_all => 'socat is not installed' if !have('socat');
	for my $host (@hosts) {
		my ($six, $to) = $host =~ /:/ ? (6, "[$host]:$port") : (4, "$host:$port");
		talk("tcp $host", $text, 'socat', '-t', 10, q{-}, "TCP$six:$to");
		talk("udp $host", 'Hello World!', 'socat', '-t', 1, q{-}, "UDP$six:$to");
	}
};

my $python = <<'END';
import asyncio, sys

host, port, once = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

class Datagrams(asyncio.DatagramProtocol):
    def __init__(self):
        self.answer = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        transport.sendto(b'Hello World!')

    def datagram_received(self, data, address):
        self.answer.set_result(data)

async def stream():
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b'Hello World!')
    print('stream', await reader.read(100))
    print('end', await reader.read()) if once else None
    writer.close()
    await writer.wait_closed()

async def half_close():
    data = bytes(range(256)) * 4096
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(data)
    writer.write_eof()
    print('all', await reader.read() == data)
    writer.close()
    await writer.wait_closed()

async def datagram():
    transport, protocol = await asyncio.get_running_loop() \
        .create_datagram_endpoint(Datagrams, remote_addr=(host, port))
    print('datagram', await protocol.answer)
    transport.close()

async def main():
    await asyncio.wait_for(stream(), 10)
    if not once:
        await asyncio.wait_for(half_close(), 10)
    await asyncio.wait_for(datagram(), 10)

asyncio.run(main())
END

subtest 'asyncio' => sub {
	my ($code) = run_cmd('python3', '-c', 'import asyncio; asyncio.run');
	plan skip_all => 'python3 with asyncio.run is not here' if $code;

	for my $host (@hosts) {
		is_deeply([ run_cmd({ timeout => 30 }, 'python3', '-c', $python, $host, $port, 0) ],
			[ 0, "stream b'Hello World!'\nall True\ndatagram b'Hello World!'\n", q{} ], $host);
	}
	my $once = Prefork->start(qw(-1 -w 2 -p 0));
	for my $host (@hosts) {
		is_deeply([ run_cmd({ timeout => 30 }, 'python3', '-c', $python, $host, $once->port, 1) ],
			[ 0, "stream b'Hello World!'\nend b''\ndatagram b'Hello World!'\n", q{} ],
			"$host, once");
	}
};
is($server->stop, 0, 'exit status');
done_testing();

# The netcats that are installed, each once, under any name.
sub netcats {
	my %seen;

	return grep { !$seen{ Cwd::abs_path($_) }++ } grep { -x }
	    map { my $name = $_; map { "$_/$name" } split /:/, $ENV{PATH} }
	    qw(nc nc.openbsd nc.traditional ncat);
}

# Options for the kind of nc that this is: end with the input on TCP, and soon
# after the last datagram on UDP.
sub flags_of {
	my ($name) = @_;

	my $help = join q{}, run_cmd($name, '-h');
	return (tcp => ['-N'], udp => [qw(-u -w 1)]) if $help =~ /OpenBSD/;
	# This one leaves at the input's end, without waiting for an answer.
	return (tcp => []) if $help =~ /Ncat\s\d/;
	return (tcp => [qw(-q 1)], udp => [qw(-u -w 1)], v4_only => 1)
	    if $help =~ /^\[v1[.]/m;
	return;
}

sub talk {
	my ($name, $input, @command) = @_;
	my (undef, $output, $errors) = run_cmd({ input => $input, timeout => 20 }, @command);

	ok($output eq $input, $name) or diag("@command: '$output' $errors");
	return;
}

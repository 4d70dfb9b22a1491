#!/usr/bin/perl

# echo-client comes back with 0 in each of its modes, from this project's
# server and from other people's, and `-` carries any bytes of any number.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Fcntl qw(O_NOCTTY O_RDWR);
use IO::Socket::IP;
use Prefork;
use Prefork::Life qw(slurp temp_dir);
use Prefork::Peer;
use Prefork::Sockets qw(random_bytes own_address have);
use Prefork::Tools qw(spawn_process);
use Socket qw(IPPROTO_TCP SOCK_DGRAM);
use Test::More;

use constant KIB => 1024;
use constant MIB => 1_048_576;
use constant TCP_CORK => 3;    # tcp(7)
# ioctl_tty(2).
use constant {
	TIOCSPTLCK => 0x40045431,
	TIOCGPTN   => 0x80045430,
};

my @tcp_modes = map { [ '--api', $_ ] } qw(protocol stream poll);

my $persistent = Prefork->start('-w', 2, '-p', 0, '--receive-buffer', '64k',
	'--send-buffer', '64k');
my $once = Prefork->start(qw(-w 2 -p 0 -1));

for my $case ([ 'persistent', $persistent ], [ 'once', $once ]) {
	my ($name, $server) = @{$case};
	my $port = $server->port;

	for my $mode (@tcp_modes, ['-u']) {
		comes_back("$name: @{$mode}", @{$mode}, '-p', $port);
		comes_back("$name: @{$mode}: messages", @{$mode}, '-p', $port,
			'--count', 3, '--interval', 0.01, 'localhost', 'one', 'two');
	}
}

subtest 'log' => sub {
	my $port = $persistent->port;
	my $peer = qr/connected\sto\s\('127[.]0[.]0[.]1',\s$port\)/x;
	my $line = qr/\[echo-client\s\(\d+\)\]\s/x;
	my %expect = (
		protocol => [
			$peer, qr/TCP_NODELAY: 1/, qr/SO_RCVBUF: 65536/, qr/SO_SNDBUF: 131072/,
			qr/sent: b'Hello World!'/, qr/recv: b'Hello World!'/
		],
		stream => [ $peer, qr/sent: b'Hello World!'/, qr/recv: b'Hello World!'/ ],
		poll => [
			$peer,
			qr/connect timeout 3[.]5 s; the kernel's own is 15 s \(TCP_SYNCNT 3\)/,
			qr/multiplex timeout 5[.]5 s/,
			qr/SO_RCVBUF: 65536, .* \d+ \(tcp_rmem\)/,
			qr/SO_SNDBUF: 131072, .* \d+ \(tcp_wmem\)/,
			qr/sent: b'data1\\n'/,
			qr/sent: b'data2\\n'/,
			qr/nothing to send: waiting to read only/
		],
	);

	for my $api (sort keys %expect) {
		my (undef, undef, $log) = client('-v', '--api', $api, '-p', $port,
			'--receive-buffer', '32k', '--send-buffer', '64k', '--syn-retries', 3);
		like($log, $_, "--api $api: $_")
		    for @{ $expect{$api} }, qr/TCP_SYNCNT: 3$/m,
		    qr/all is back: ending our side/;
		is_deeply([ grep { !/^$line/ } split /\n/, $log ],
			[], "--api $api: nothing but log lines");
	}
	my (undef, undef, $log) = client('-v', '-u', '-p', $port);
	like($log, qr/recv: b'data' from \('127[.]0[.]0[.]1', $port\)/, '-u: the peer');
};

subtest 'options' => sub {
	my $port = $persistent->port;

	for my $mode (@tcp_modes, ['-u']) {
		comes_back("@{$mode}: --source", @{$mode}, '-p', $port, '--source',
			own_address(1), '--reuse-port', '-4', '--nodelay', 'off');
	}
	# Its answer and its end come at once: whoever ends first has TIME_WAIT.
	my $first_to_end = Prefork::Peer->scripted(
		sub {
			my ($socket) = @_;
			setsockopt $socket, IPPROTO_TCP, TCP_CORK, 1;
			sysread $socket, my $message, KIB;
			syswrite $socket, $message;
			shutdown $socket, 1;
			while (sysread $socket, $message, KIB) { }
		}
	);
	for my $mode (@tcp_modes) {
		# A new connection from the same port, and from that of the run before.
		comes_back("@{$mode}: a source port", @{$mode}, '-p', $first_to_end->port,
			'--source', own_address(1) . ':7001', '127.0.0.1', qw(one two three))
		    for 1 .. 2;
	}
	SKIP: {
		skip 'no IPv6', 1 if !$persistent->addresses('tcp', 6);
		comes_back("@{$_}: -6", @{$_}, '-6', '-p', $port) for @tcp_modes, ['-u'];
	}
	comes_back('empty messages', '-p', $port, '--count', 2_147_483_647,
		'127.0.0.1', q{}, q{});
	comes_back('-u: empty datagram', '-u', '-p', $port, '127.0.0.1', q{});
	my ($code, $output) = client('-u', '-p', $port, '--count', 3, '--interval', 0.1);
	is($code, 0, '-u --count');
	like($output, qr/^3 sent, 3 received, 0 lost/, 'has a summary');
	like($output, qr/^round trip min\/avg\/max [\d.\/]+ ms$/m, '-u --count prints the round trips');
	is((client('-q', '-u', '-p', $port, '--count', 2, '--interval', 0))[1],
		q{}, 'not with -q');
};

subtest '-u, interrupted' => sub {
	my $address = own_address(3);
	my $socket  = udp_peer($address);
	my @arguments = ('-v', '-u', '--count', 100, '-p', $socket->sockport, $address);

	alarm 60;
	for my $case ([ 2, '--interval', 0 ], [ 1, '--interval', 100 ]) {
		my ($answers, @more) = @{$case};
		pipe my $read, my $write or die "pipe: $!\n";
		my $pid = spawn_process({ stdout => $write, stderr => $write },
			Prefork::program('echo-client'), @more, @arguments);
		close $write;
		for (1 .. $answers) {
			my $from = recv $socket, my $in, 100, 0;
			send $socket, $in, 0, $from;
		}
		# Then it either waits for an answer, or for its next turn.
		recv $socket, my $in, 100, 0 if $answers == 2;
		my $log = q{};
		1 while $log !~ /recv:/ && sysread $read, $log, 4096, length $log;
		kill 'INT', $pid;
		1 while sysread $read, $log, 4096, length $log;
		waitpid $pid, 0;
		is($?, $answers == 2 ? 1 << 8 : 0, "@more: exit status");
		like($log, $answers == 2 ? qr/^3 sent, 2 received, 1 lost/m
			: qr/^1 sent, 1 received, 0 lost/m, "@more: summary");
	}
	alarm 0;
};

subtest 'answers on a terminal' => sub {
	for my $mode (@tcp_modes, ['-u']) {
		my @run = (@{$mode}, '--interval', 0, '-p', $persistent->port, '127.0.0.1', 'one', "two\n", 'three');
		my $summary = $mode->[0] eq '-u' ? qr/3\ssent,\s.*/s : qr//;
		my ($status, $text) = on_terminal(@run);

		is($status, 0, "@{$mode}: exit status");
		like($text, qr/^one\ntwo\nthree\n$summary$/, "@{$mode}: each on a line of its own");
		is_deeply([ on_terminal('-q', @run) ], [ 0, q{} ], "@{$mode}: not with -q");
		is_deeply([ on_terminal('--verify', @{$mode}, '-p', $persistent->port, '127.0.0.1', 'hello') ],
			[ 0, "hello\n" ], "@{$mode}: --verify goes with a message");
	}
	my ($code, $output) = client('-p', $persistent->port, '127.0.0.1', 'hello');
	is("$code$output", '0', 'not elsewhere');
};

subtest 'standard input' => sub {
	my $port = $persistent->port;
	my $data = random_bytes(6 * MIB + 5);

	for my $mode (@tcp_modes) {
		for my $more ([], ['--verify']) {
			my ($code, $output) = client({ input => $data, timeout => 60 },
				@{$mode}, @{$more}, '-p', $port, '-');
			is($code, 0, "@{$mode} @{$more}: exit status");
			ok($output eq $data, "@{$mode} @{$more}: identical");
		}
		my ($code, $output) = client({ input => q{} }, @{$mode}, '-p', $port, '-');
		is("$code$output", '0', "@{$mode}: nothing at all");
	}
	my ($code, $output) = client({ input => substr $data, 0, 9000 },
		'-u', '-p', $port, '127.0.0.1', '-');
	is($code, 0, '-u: exit status');
	ok($output eq substr($data, 0, 9000), '-u: one datagram');
	# Somebody else's descriptor may be non-blocking.
	local $SIG{PIPE} = 'IGNORE';
	for my $mode (@tcp_modes, ['-u']) {
		pipe my $read, my $write or die "pipe: $!\n";
		$read->blocking(0);
		pipe my $out, my $back or die "pipe: $!\n";
		my $pid = spawn_process({ stdin => $read, stdout => $back },
			Prefork::program('echo-client'), @{$mode}, '-p', $port, '127.0.0.1', '-');
		close $back;
		wait_for(sub { waits($pid) });
		print {$write} 'late';
		close $write;
		is(join(q{}, <$out>), 'late', "@{$mode}: a non-blocking pipe");
		waitpid $pid, 0;
	}
	($code, $output) = run_cmd({ input => $data }, 'sh', '-c',
		'cat | "$0" -p "$1" - | cat', Prefork::program('echo-client'), $port);
	ok($output eq $data, 'between pipes');
};

# Both directions at once, and nobody reads at first: all buffers on the way are
# full then, and still everything arrives.
subtest 'back-pressure' => sub {
	my $dir  = temp_dir();
	my $size = 128 * MIB;
	my $rest = random_bytes(MIB - 4);
	my $lean = slurp("$Prefork::O/flags") !~ /-fsanitize/;

	open my $file, '+>', "$dir/data" or die "$dir/data: $!\n";
	print {$file} pack('N', $_) . $rest for 0 .. $size / MIB - 1;
	$file->flush;
	for my $mode (@tcp_modes) {
		sysseek $file, 0, 0;
		pipe my $read, my $write or die "pipe: $!\n";
		my $pid = spawn_process(
			{ stdin => $file, stdout => $write },
			Prefork::program('echo-client'),
			@{$mode}, '-p', $persistent->port, '--receive-buffer', '64k',
			'--send-buffer', '64k', '-'
		);
		close $write;
		my $at = settled(sub { sysseek $file, 0, 1 });
		cmp_ok($at, '<', 4 * MIB, "@{$mode}: a peer that is not read does not read: $at");
		my ($got, $wrong, $peak) = (0, 0, 0);
		while ($got < $size && read $read, my $piece, MIB) {
			$wrong += $piece ne pack('N', $got / MIB) . $rest;
			$got += length $piece;
			$peak = peak($pid) if $got == $size - MIB;
		}
		is("$got $wrong", "$size 0", "@{$mode}: all comes in the end");
		SKIP: {
			skip 'sanitizers have memory of their own', 2 if !$lean;
			cmp_ok($peak, '<', 16 * KIB, "@{$mode}: the client's peak: $peak KiB");
			my @peaks = sort { $a <=> $b } map { peak($_) } $persistent->workers_alive;
			cmp_ok($peaks[-1], '<', 16 * KIB, "a worker's peak: $peaks[-1] KiB");
		}
		waitpid $pid, 0;
		is($?, 0, "@{$mode}: exit status");
	}
};

# Other people's servers.

my $asyncio = <<'PYTHON';
import asyncio, sys
class Echo(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data):
        self.transport.write(data)
        if sys.argv[3] == "once": self.transport.close()
class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport): self.transport = transport
    def datagram_received(self, data, addr): self.transport.sendto(data, addr)
async def handle(reader, writer):
    while data := await reader.read(100):
        writer.write(data)
        await writer.drain()
        if sys.argv[3] == "streams-once": break
    writer.close()
async def main():
    host, port, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    loop = asyncio.get_running_loop()
    if how == "udp":
        await loop.create_datagram_endpoint(Datagrams, local_addr=(host, port))
    elif how.startswith("streams"):
        await asyncio.start_server(handle, host, port)
    else:
        await loop.create_server(Echo, host, port)
    await asyncio.sleep(1000)
asyncio.run(main())
PYTHON

my $number = 7000;
for my $how (qw(protocol once streams streams-once udp)) {
	SKIP: {
		my @modes = $how eq 'udp' ? ['-u'] : @tcp_modes;
		skip 'python3 is not installed', scalar @modes if !have('python3');
		my $where = where($how eq 'udp');
		my $peer = Prefork::Peer->program($where, '/usr/bin/env', 'python3',
			'-c', $asyncio, $where->{host}, $where->{port}, $how);
		skip 'no asyncio', scalar @modes if !$peer;
		comes_back("asyncio $how: @{$_}", @{$_}, '-p', $peer->port, $peer->host)
		    for @modes;
	}
}
for my $udp (0, 1) {
	SKIP: {
		my @modes = $udp ? ['-u'] : @tcp_modes;
		skip 'socat is not installed', scalar @modes if !have('socat');
		my $where = where($udp);
		my $kind  = $udp ? 'UDP-RECVFROM' : 'TCP-LISTEN';
		my $peer  = Prefork::Peer->program($where, '/usr/bin/env', 'socat',
			"$kind:$where->{port},bind=$where->{host},fork,reuseaddr",
			$udp ? 'PIPE' : 'EXEC:cat');
		comes_back("socat: @{$_}", @{$_}, '-p', $peer->port, $peer->host) for @modes;
	}
}
for my $name (qw(nc ncat)) {
	for my $mode (@tcp_modes, ['-u']) {
		SKIP: {
			skip "$name is not installed", 1 if !have($name);
			my $udp   = $mode->[0] eq '-u';
			my $dir   = temp_dir();
			my $where = where($udp);
			my @listen = ($udp ? '-u' : (), '-l', @{$where}{qw(host port)});
			my @argv =
			    $name eq 'ncat'
			    ? ('/usr/bin/env', 'ncat', '-e', '/bin/cat', @listen)
			    : ('/bin/sh', '-c', 'mkfifo "$0" && exec nc "$@" <>"$0" >&0',
				"$dir/fifo", @listen);
			my $peer = Prefork::Peer->program($where, @argv);
			skip "this $name does not listen so", 1 if !$peer;
			comes_back("$name: @{$mode}", @{$mode}, '-p', $peer->port, $peer->host);
		}
	}
}
done_testing();

sub where {
	my ($udp) = @_;

	return { udp => $udp, host => own_address(2), port => $number++ };
}

sub client {
	my $options = ref $_[0] ? shift : {};
	my @arguments = @_;

	return run_cmd({ timeout => 20, %{$options} },
		Prefork::program('echo-client'), @arguments);
}

sub comes_back {
	my ($name, @arguments) = @_;
	my ($code, $output, $errors) = client(@arguments);

	$output =~ s/^\d+\ssent,.*\nround\strip.*\n//x;
	return is_deeply([ $code, $output, $errors ], [ 0, q{}, q{} ], $name);
}

# Whether it sleeps, or is dead.
sub waits {
	my ($pid) = @_;

	return slurp("/proc/$pid/stat") =~ /\)\s[SZ]\s/;
}

# The most memory that the process has had, in KiB.
sub peak {
	my ($pid) = @_;
	my ($kib) = slurp("/proc/$pid/status") =~ /^VmHWM:\s+(\d+)/m;

	return $kib;
}

sub udp_peer {
	my ($address) = @_;

	return IO::Socket::IP->new(
		LocalHost => $address,
		LocalPort => 0,
		Type      => SOCK_DGRAM
	) // die "udp: $@\n";
}

# The code's value once that does not change for a while.
sub settled {
	my ($code) = @_;
	my ($value, $same) = (-1, 0);

	wait_for(
		sub {
			my $now = $code->();
			$same = $now == $value && $now > 0 ? $same + 1 : 0;
			$value = $now;
			return $same >= 30;
		},
		10
	);
	return $value;
}

# Runs echo-client on a terminal: its status, and its output there.
sub on_terminal {
	my (@arguments) = @_;
	my ($unlocked, $number) = (pack('i', 0), pack 'i', 0);

	sysopen my $master, '/dev/ptmx', O_RDWR | O_NOCTTY or die "/dev/ptmx: $!\n";
	ioctl $master, TIOCSPTLCK, $unlocked or die "TIOCSPTLCK: $!\n";
	ioctl $master, TIOCGPTN, $number or die "TIOCGPTN: $!\n";
	my $path = '/dev/pts/' . unpack 'i', $number;
	sysopen my $terminal, $path, O_RDWR | O_NOCTTY or die "$path: $!\n";
	my $pid = spawn_process({ stdout => $terminal, stderr => $terminal },
		Prefork::program('echo-client'), @arguments);
	close $terminal or die "$path: $!\n";
	my $text = q{};
	# It ends by EIO when nobody has the terminal open any more.
	1 while sysread $master, $text, KIB, length $text;
	waitpid $pid, 0;
	return ($?, $text =~ tr/\r//dr);
}

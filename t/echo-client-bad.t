#!/usr/bin/perl

# Failures: echo-client reports each in one word, with the right exit status, in
# time, in each of its modes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::IP;
use POSIX ();
use Prefork;
use Prefork::Peer;
use Prefork::Sockets qw(random_bytes own_address reset_connection have);
use Prefork::Tools   qw(now spawn_process);
use Socket qw(MSG_OOB SOCK_STREAM SOCK_DGRAM inet_aton pack_sockaddr_in);
use Test::More;
use Time::HiRes ();

my @tcp_modes = map { [ '--api', $_ ] } qw(protocol stream poll);
my @all_modes = (@tcp_modes, ['-u']);

subtest 'usage' => sub {
	for my $case (
		[ qr/--api: bad value/, qw(--api none) ],
		[ qr/unknown option -x/, '-x' ],
		[ qr/--port: bad value/, qw(-p 0) ],
		[ qr/exclude each other/, qw(-4 -6) ],
		[ qr/- stands alone/, qw(127.0.0.1 - more) ],
		[ qr/- can be read once/, qw(--count 2 -) ],
		[ qr/--source: bad value/, qw(--source localhost) ],
		[ qr/--source is of the other family/, qw(-4 --source ::1) ],
		[ qr/--nodelay: bad value/, qw(--nodelay maybe) ],
		[ qr/as in fe80::1%eth0/, 'fe80::1' ],
		[ qr/--syn-retries: bad value/, qw(--syn-retries 128) ],
		[ qr/--fastopen is for messages/, qw(--fastopen -) ],
		[ qr/--fastopen and --syn-retries are for TCP/, qw(-u --fastopen) ],
	) {
		my ($expect, @arguments) = @{$case};
		my ($code, undef, $errors) = client(@arguments);
		is($code, 2, "@arguments: exit status");
		like($errors, $expect, "@arguments: message");
	}
	my ($code, $output) = client('-V');
	like("$code $output", qr/^0 echo-client \d/, '-V');
	for my $option (qw(--help --version)) {
		($code, undef, my $errors) = run_cmd('sh', '-c',
			"exec \"\$0\" $option >/dev/full", Prefork::program('echo-client'));
		is($code, 2, "$option into a full file");
		like($errors, qr/\Aecho-client: OTHER: standard output: .*\n\z/, "$option: the error names standard output");
	}
};

subtest 'no connection' => sub {
	for my $mode (@all_modes) {
		fails('DNS', 2, "@{$mode}: no such name", @{$mode}, 'no-such-name.invalid');
		fails('DNS', 2, "@{$mode}: of the other family", @{$mode}, '-6', '127.0.0.1');
		fails('REFUSED', 2, "@{$mode}: nobody there", @{$mode}, own_address(1));
		fails('UNREACHABLE', 2, "@{$mode}: source is not ours",
			@{$mode}, '--source', '203.0.113.1', own_address(1));
	}
	for my $mode (@tcp_modes) {
		fails('UNREACHABLE', 2, "@{$mode}: broadcast", @{$mode}, '255.255.255.255');
	}
	SKIP: {
		my @alone = qw(unshare -rn);
		skip 'no network namespace can be made here', scalar @all_modes
		    if !have('unshare') || (run_cmd(@alone, 'true'))[0] != 0;
		for my $mode (@all_modes) {
			my ($code, undef, $errors) = run_cmd(@alone,
				Prefork::program('echo-client'), @{$mode}, '192.0.2.1');
			like("$code $errors", qr/^2 echo-client: UNREACHABLE: .*\n\z/,
				"@{$mode}: no way there");
		}
	}
	fails('REFUSED', 2, '-u: refused each time',
		'-u', '--count', 3, '--interval', 0, '-q', own_address(1));
};

# A full accept queue swallows later clients.
subtest 'black hole' => sub {
	my $address = own_address(2);
	socket my $listener, Socket::AF_INET(), SOCK_STREAM, 0 or die "socket: $!\n";
	bind $listener, pack_sockaddr_in(7777, inet_aton($address)) or die "bind: $!\n";
	listen $listener, 0;
	my @fillers = map { filler($address, 7777) } 1 .. 4;

	for my $mode (@tcp_modes) {
		my $start = now();
		fails('TIMEOUT', 2, "@{$mode}: connect timeout", @{$mode}, '-p', 7777, $address);
		my $took = now() - $start;
		# It is 5.5 s that the other time-out has.
		ok($took > 3.3 && $took < 5.3, "@{$mode}: after 3.5 s: $took");
	}
	my $start = now();
	fails('TIMEOUT', 2, '--connect-timeout', '--connect-timeout', 0.3, '-p', 7777, $address);
	cmp_ok(now() - $start, '<', 3.3, 'it ends after less than the default of 3.5 s');
};

subtest 'an answer with urgent data' => sub {
	my $server = Prefork::Peer->scripted(
		sub {
			sysread $_[0], my $in, 65_536;
			send $_[0], substr($in, 0, 3), MSG_OOB;
			syswrite $_[0], substr $in, 3;
			until_end($_[0]);
		}
	);
	for my $mode (@tcp_modes) {
		my ($code, undef, $errors) = client(@{$mode}, '-p', $server->port, '127.0.0.1', 'hello');
		is($code, 0, "@{$mode}: it is data") or diag($errors);
	}
};

subtest 'bad servers' => sub {
	my %servers = (
		silent => [ TIMEOUT => \&until_end ],
		early => [ MISMATCH => sub { sysread $_[0], my $in, 65_536 } ],
		partial => [
			MISMATCH => sub { sysread $_[0], my $in, 65_536; syswrite $_[0], 'Hel' }
		],
		wrong => [
			MISMATCH => sub {
				sysread $_[0], my $in, 65_536;
				syswrite $_[0], 'x' x length $in;
				sysread $_[0], $in, 1;
			}
		],
		more => [
			MISMATCH => sub {
				sysread $_[0], my $in, 65_536;
				syswrite $_[0], $in . 'more';
				sysread $_[0], $in, 1;
			}
		],
		'more, later' => [
			MISMATCH => sub {
				sysread $_[0], my $in, 65_536;
				syswrite $_[0], $in;
				sysread $_[0], $in, 1;
				syswrite $_[0], 'more';
			}
		],
		unasked => [
			MISMATCH => sub { syswrite $_[0], 'Welcome'; until_end($_[0]) }
		],
		reset => [
			RESET => sub { sysread $_[0], my $in, 65_536; reset_connection($_[0]) }
		],
	);

	for my $name (sort keys %servers) {
		my ($word, $code) = @{ $servers{$name} };
		for my $mode (@tcp_modes) {
			my $peer = Prefork::Peer->scripted($code);
			fails($word, 1, "$name: @{$mode}", @{$mode}, '--timeout',
				$word eq 'TIMEOUT' ? 0.3 : 10, '-p', $peer->port, $peer->host, 'Hello World!');
		}
	}
};

subtest 'slow but right' => sub {
	my $peer = Prefork::Peer->scripted(
		sub {
			while (sysread $_[0], my $in, 65_536) {
				for my $byte (split //, $in) {
					syswrite $_[0], $byte;
					# This slow is the peer; nothing waits for it.
					Time::HiRes::sleep(0.01);
				}
			}
		}
	);
	for my $mode (@tcp_modes) {
		my ($code, undef, $errors) =
		    client(@{$mode}, '--timeout', 5, '-p', $peer->port);
		is("$code$errors", '0', "one byte at a time: @{$mode}");
	}
	$peer = Prefork::Peer->scripted(
		sub {
			while (sysread $_[0], my $in, 65_536) {
				syswrite $_[0], $in;
			}
			sleep; # until it is killed
		}
	);
	my ($code, undef, $errors) = client('-p', $peer->port);
	is("$code$errors", '0', 'a server that never ends its side');
};

subtest 'the stream that - is' => sub {
	my $data = random_bytes(1_000_000);

	# One byte of many is another.
	my $flip = sub {
		my $n = 0;
		while (my $got = sysread $_[0], my $in, 65_536) {
			substr $in, 500_000 - $n, 1, 'x' ^ substr $in, 500_000 - $n, 1
			    if $n <= 500_000 && $n + $got > 500_000;
			$n += $got;
			print { $_[0] } $in;
			$_[0]->flush;
		}
	};
	# One byte is missing.
	my $lose = sub {
		while (sysread $_[0], my $in, 65_536) {
			print { $_[0] } substr $in, 1;
			$_[0]->flush;
		}
	};
	for my $mode (@tcp_modes) {
		my $peer = Prefork::Peer->scripted($flip);
		my @arguments = (@{$mode}, '--timeout', 20, '-p', $peer->port, '-');
		fails('MISMATCH', 1, "@{$mode}: --verify",
			{ input => $data }, '--verify', @arguments);
		my ($code, $output, $errors) = client({ input => $data }, @arguments);
		is("$code$errors", '0', "@{$mode}: without it the bytes are only counted");
		is(length $output, length $data, "@{$mode}: and all arrive");
		$peer = Prefork::Peer->scripted($lose);
		fails('TIMEOUT', 1, "@{$mode}: too few", { input => $data }, @{$mode},
			'--timeout', 1, '-p', $peer->port, '-');
	}
};

subtest 'standard descriptors' => sub {
	my $server = Prefork->start(qw(-w 1 -p 0));
	my $port   = $server->port;

	for my $mode (@all_modes) {
		my $command = "exec \"\$0\" @{$mode} -p $port 127.0.0.1 -";
		my @run = ('sh', '-c');
		my ($code, undef, $errors) = run_cmd({ input => 'text' },
			@run, "$command >&-", Prefork::program('echo-client'));
		is($code, 1, "@{$mode}: closed standard output: exit status");
		like($errors, qr/^echo-client: OTHER: standard output/, 'its word');
		($code, undef, $errors) = run_cmd({ input => 'text' },
			@run, "$command >/dev/full", Prefork::program('echo-client'));
		like("$code $errors", qr/^1 echo-client: OTHER: /, "@{$mode}: full");
		($code) = run_cmd(@run, "$command <&-", Prefork::program('echo-client'));
		ok($code == 1 || $code == 2, "@{$mode}: closed standard input: $code");

		pipe my $read, my $write or die "pipe: $!\n";
		close $read;
		open my $zero, '<', $mode->[0] eq '-u' ? $0 : '/dev/zero' or die "zero: $!\n";
		my $pid = spawn_process({ stdin => $zero, stdout => $write },
			Prefork::program('echo-client'), @{$mode}, '-p', $port, '127.0.0.1', '-');
		waitpid $pid, 0;
		is($?, 1 << 8, "@{$mode}: nobody reads it: status 1, no SIGPIPE");
	}
	is($server->stop, 0, 'the server does not mind');
};

subtest 'datagrams' => sub {
	my $address = own_address(3);
	my $socket  = IO::Socket::IP->new(
		LocalHost => $address,
		LocalPort => 0,
		Type      => SOCK_DGRAM
	) or die "udp: $@\n";
	my @to = ('-u', '-p', $socket->sockport, $address);

	fails('TIMEOUT', 1, 'no answer', '--timeout', 0.2, @to);
	my ($code, $output, $errors) =
	    client('--timeout', 0.1, '--count', 2, '--interval', 0, @to);
	like($output, qr/^2 sent, 0 received, 2 lost [(]100%[)]$/m, 'a summary');
	fails('OTHER', 2, 'longer than a datagram', @to, 'x' x 65_508);
	fails('OTHER', 2, 'so from standard input', { input => 'x' x 70_000 }, @to, '-');
	my $pid = fork // die "fork: $!\n";
	if ($pid == 0) {
		while (my $from = recv $socket, my $in, 65_536, 0) {
			send $socket, 'wrong', 0, $from if $in eq 'right';
			send $socket, $in, 0, $from for 1 .. 2 * ($in =~ /^twice/);
			send $socket, $in . q{.}, 0, $from if $in eq 'more';
			send $socket, substr($in, 1), 0, $from if $in eq 'less';
		}
		POSIX::_exit(0);
	}
	for my $message (qw(right more less)) {
		fails('MISMATCH', 1, "wrong answer: $message", '--timeout', 5, @to, $message);
	}
	($code, $output) = client('--count', 2, '--interval', 0, @to, qw(twice twice2));
	like("$code $output", qr/^0 4 sent, 4 received, 0 lost/, 'each answer twice');
	kill 'KILL', $pid;
	waitpid $pid, 0;
};
done_testing();

sub client {
	my $options = ref $_[0] ? shift : {};
	my @arguments = @_;

	return run_cmd({ timeout => 20, %{$options} },
		Prefork::program('echo-client'), @arguments);
}

sub fails {
	my ($word, $status, $name, @arguments) = @_;
	my ($code, undef, $errors) = client(@arguments);

	is($code, $status, "$name: exit status");
	return like($errors, qr/\Aecho-client: $word: .*\n\z/, "$name: $word");
}

# A peer that reads and says nothing.
sub until_end {
	my ($socket) = @_;

	1 while sysread $socket, my $in, 65_536;
	return;
}

# A connection that stays in the queue, or its SYN.
sub filler {
	my ($host, $port) = @_;

	return IO::Socket::IP->new(
		PeerHost => $host,
		PeerPort => $port,
		Type     => SOCK_STREAM,
		Blocking => 0
	);
}

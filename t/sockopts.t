#!/usr/bin/perl

# Socket options: the values in force on the workers' own sockets, listeners and
# accepted connections alike, and the log where the kernel has clamped a value.
# Buffers of UDP are set past the sysctl by a user with the right to.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use List::Util qw(min);
use Prefork;
use Prefork::Life;
use Prefork::Sockets;
use Prefork::Tools qw(now);
use Socket qw(AF_INET IPPROTO_TCP SOCK_DGRAM SOL_SOCKET SO_KEEPALIVE SO_RCVBUF SO_SNDBUF TCP_FASTOPEN
    TCP_DEFER_ACCEPT TCP_INFO TCP_KEEPCNT TCP_KEEPIDLE TCP_KEEPINTVL TCP_NODELAY TCP_USER_TIMEOUT);
use Test::More;

# The default buffer of a UDP socket.
use constant UDP_BUFFER => 8 << 20;
# asm-generic/socket.h
use constant SO_SNDBUFFORCE => 32;
# linux/tcp.h
use constant TCP_NOTSENT_LOWAT => 25;

my $dir = temp_dir();

# The kernel doubles buffer sizes: socket(7).
my %known = (
	'SO_RCVBUF'        => [ SOL_SOCKET,  SO_RCVBUF ],
	'SO_SNDBUF'        => [ SOL_SOCKET,  SO_SNDBUF ],
	'SO_KEEPALIVE'     => [ SOL_SOCKET,  SO_KEEPALIVE ],
	'TCP_NODELAY'      => [ IPPROTO_TCP, TCP_NODELAY ],
	'TCP_KEEPIDLE'     => [ IPPROTO_TCP, TCP_KEEPIDLE ],
	'TCP_KEEPINTVL'    => [ IPPROTO_TCP, TCP_KEEPINTVL ],
	'TCP_KEEPCNT'      => [ IPPROTO_TCP, TCP_KEEPCNT ],
	'TCP_USER_TIMEOUT' => [ IPPROTO_TCP, TCP_USER_TIMEOUT ],
	'TCP_FASTOPEN'     => [ IPPROTO_TCP, TCP_FASTOPEN ],
	'TCP_DEFER_ACCEPT' => [ IPPROTO_TCP, TCP_DEFER_ACCEPT ],
	'TCP_NOTSENT_LOWAT' => [ IPPROTO_TCP, TCP_NOTSENT_LOWAT ],
);

# Arguments, then the values in force on a listener, on a connection, on a UDP
# socket; each knows only some of it.
my @cases = (
	[
		[],
		{ TCP_NODELAY => 1, SO_KEEPALIVE => 0, TCP_FASTOPEN => 0, TCP_DEFER_ACCEPT => 0 },
		{ TCP_NODELAY => 1, SO_KEEPALIVE => 0, TCP_USER_TIMEOUT => 0, TCP_NOTSENT_LOWAT => 131_072 },
		udp_buffers(may_force())
	],
	[
		[qw(--receive-buffer 100k --send-buffer 50000)],
		{ SO_RCVBUF => 204_800, SO_SNDBUF => 100_000 },
		{ SO_RCVBUF => 204_800, SO_SNDBUF => 100_000 },
		{ SO_RCVBUF => 204_800, SO_SNDBUF => 100_000 }
	],
	[
		[qw(--nodelay off --keepalive off)],
		{ TCP_NODELAY => 0, SO_KEEPALIVE => 0 },
		{ TCP_NODELAY => 0, SO_KEEPALIVE => 0 }
	],
	[
		[qw(--keepalive 61:7:3 --user-timeout 12.5)],
		{ SO_KEEPALIVE => 1, TCP_KEEPIDLE => 61 },
		{
			SO_KEEPALIVE     => 1,
			TCP_KEEPIDLE     => 61,
			TCP_KEEPINTVL    => 7,
			TCP_KEEPCNT      => 3,
			TCP_USER_TIMEOUT => 12_500
		}
	],
	[
		[qw(--keepalive 62)],
		{ SO_KEEPALIVE => 1 },
		{ SO_KEEPALIVE => 1, TCP_KEEPIDLE => 62 }
	],
	[ [qw(--unsent-limit 20k)], {}, { TCP_NOTSENT_LOWAT => 20_480 } ],
	[ [qw(--unsent-limit 0)], {}, { TCP_NOTSENT_LOWAT => 0 } ],
	[ [qw(--fastopen 5)],  { TCP_FASTOPEN => 5 } ],
	[ [qw(--defer-accept on)], { TCP_DEFER_ACCEPT => 1 } ],
	[ [qw(--backlog 17)], { backlog      => 17 } ],
	[ [], { backlog => sysctl('net.core.somaxconn') } ],
);

for my $case (@cases) {
	my ($arguments, @expected) = @{$case};

	subtest "@{$arguments}" || 'by default' => sub {
		my $server = Prefork->start(qw(-w 2 -p 0 -b 127.0.0.1), @{$arguments});
		my @clients = map { $server->tcp_socket } 1 .. 8;
		echo_once($_, 'abc') for @clients;
		my %workers = $server->workers;
		# A sibling that helps has a duplicate.
		my %seen;
		my @sockets = grep { !$seen{ $_->{inode} }++ } map { sockets_of($_) } values %workers;
		plan skip_all => "pidfd_getfd: $!" if !@sockets;

		check_all('listener', 2, $expected[0] // {},
			grep { $_->{state} eq 'listening' } @sockets);
		check_all('connection', 8, $expected[1] // {},
			grep { $_->{state} eq 'connected' } @sockets);
		check_all('UDP socket', 2, $expected[2] // {},
			grep { $_->{kind} eq 'udp' } @sockets);
		# That one depends on the system, see below.
		unlike($server->log_text, qr/^(?!.*fastopen:).*\sasked\sfor\s/mx,
			'nothing is clamped');
	};
}

# The sysctl that bounds a value, the option that asks for more, and the log's
# words.
for my $clamped (
	[ 'net.core.rmem_max',  '--receive-buffer', '1000M',   'tcp: receive-buffer' ],
	[ 'net.core.rmem_max',  '--receive-buffer', '1000M',   'udp: receive-buffer' ],
	[ 'net.core.wmem_max',  '--send-buffer',    '1000M',   'tcp: send-buffer' ],
	[ 'net.core.wmem_max',  '--send-buffer',    '1000M',   'udp: send-buffer' ],
	[ 'net.core.somaxconn', '--backlog',        '1000000', 'tcp: backlog' ],
    )
{
	my ($sysctl, $option, $value, $name) = @{$clamped};
	my $in_force = sysctl($sysctl);
	my $asked    = $value =~ /^(\d+)M$/ ? $1 << 20 : $value;

	SKIP: {
		skip "$sysctl lets all pass", 1 if $in_force >= $asked;
		my $nobody = unprivileged()
		    or skip 'this root cannot become an ordinary user', 1;
		my $server = Prefork->start($nobody, qw(-w 2 -p 0 -b 127.0.0.1), $option, $value);
		like(
			$server->log_text,
			qr/^\[worker-\d\s\(\d+\)\]\s\Q$name\E:\sasked\sfor\s$asked,
			    \sin\sforce\s$in_force;.*\Q$sysctl\E$/mx,
			"$option $value: $name"
		);
	}
}

subtest 'the buffers of UDP, without the right to set them' => sub {
	my $nobody = unprivileged()
	    or plan skip_all => 'this root cannot become an ordinary user';
	my %wanted = %{ udp_buffers(0) };
	my $server = Prefork->start($nobody, qw(-w 2 -p 0));

	SKIP: {
		my @small = grep { sysctl("net.core.$_") < UDP_BUFFER } qw(wmem_max rmem_max);
		skip 'the system lets all pass', 2 if !@small;
		my @lines = $server->log_text =~ /^(.*\sudp:\sgot\sa\ssend\sbuffer.*)/gmx;
		is(scalar @lines, 1, 'one line for all workers and addresses');
		my $half = $wanted{SO_SNDBUF} / 2;
		my $names = join ' and ', map { "net.core.$_" } @small;
		like($lines[0], qr/of\s$half\sbytes.*raise\s\Q$names\E\sto\s8388608,/x,
			'with the value, the sysctls and the remedy');
	}
	is_deeply(udp_in_force($server), \%wanted, 'as much as the system lets pass')
	    if !is_root();
};

subtest 'the buffers of UDP, over reloads' => sub {
	my $file = "$dir/conf";
	my @common = ('workers 1', 'port 0', 'bind 127.0.0.1');

	write_file($file, @common);
	my $server = Prefork->start('-c', $file);
	my $default = udp_in_force($server) or plan skip_all => "pidfd_getfd: $!";
	is_deeply($default, udp_buffers(may_force()), 'at the start');
	for my $step (
		[ 'smaller', [ 'send-buffer 100k', 'receive-buffer 50k' ], 204_800, 102_400 ],
		[ 'one by default again', ['receive-buffer 60k'], $default->{SO_SNDBUF}, 122_880 ],
		[ 'both by default again', [], $default->{SO_SNDBUF}, $default->{SO_RCVBUF} ],
		[ 'the same', [], $default->{SO_SNDBUF}, $default->{SO_RCVBUF} ],
	    )
	{
		my ($name, $lines, $send, $receive) = @{$step};
		my $from = $server->log_size;
		write_file($file, @common, @{$lines});
		$server->signal('HUP');
		ok($server->wait_log(qr/\]\sreloaded:/x, undef, $from), "reloaded: $name");
		is_deeply(udp_in_force($server), { SO_SNDBUF => $send, SO_RCVBUF => $receive },
			$name);
	}
};

for my $option (qw(--receive-buffer --send-buffer)) {
	my ($code, undef, $errors) = run_cmd(Prefork::program(), '-t', $option, '1G');
	is("$code $errors", '0 ', "$option 1G is taken");
}

SKIP: {
	skip 'net.ipv4.tcp_fastopen allows it', 1 if server_fastopen();
	my $server = Prefork->start(qw(-w 2 -p 0 -b 127.0.0.1 --fastopen 5));
	like($server->log_text,
		qr/\]\stcp:\sfastopen:\sasked\sfor\s5,\sin\sforce\s0;.*net[.]ipv4[.]tcp_fastopen$/mx,
		'--fastopen 5: the server bit is missing');
}

# tcp(7): the kernel forgets it, so it is set again after each receive.
subtest '--quickack' => sub {
	my $trace  = File::Temp->new;
	my @strace = ('strace', '-f', '-qq', '-e', 'trace=recvfrom,setsockopt', '-o', "$trace");

	plan skip_all => 'strace is not installed' if !have('strace');
	my ($code, undef, $errors) = run_cmd(@strace, 'true');
	plan skip_all => "strace is not permitted: $errors" if $code;
	for my $value ('on', 'off') {
		my $server = Prefork->start({ wrapper => \@strace,
			env => asan_env('detect_leaks=0') },
			qw(-w 1 -p 0 -b 127.0.0.1 --quickack), $value);
		my $client = $server->tcp_socket;
		is(echo_once($client, $_), $_, 'echo') for 'abc', 'def', 'ghi';
		is($server->stop, 0, 'exit status');
		seek $trace, 0, 0;
		my $calls = join q{}, <$trace>;
		my $each = () = $calls =~ /recvfrom\(.*=\s3\n.*\bTCP_QUICKACK,\s\[1\]/gx;
		is($each, $value eq 'on' ? 3 : 0, "$value: set after $each of 3 receives");
	}
};

# A client that has not sent yet is not in the worker that dies.
subtest '--defer-accept' => sub {
	for my $value ('on', 'off') {
		my $server = Prefork->start(qw(-w 1 -p 0 -b 127.0.0.1 --keeper off --defer-accept), $value);
		my ($silent, $took);
		# Silence is waited for a second at most.
		for (1 .. 20) {
			my %worker = $server->workers;
			my $from   = $server->log_size;
			my $begun  = now();
			$silent = $server->tcp_socket;
			echo_once($server->tcp_socket, 'accepted after it');
			kill 'KILL', $worker{0};
			$took = now() - $begun;
			$server->wait_log(qr/started worker 0/, 20, $from);
			last if $took < 0.9;
		}
		is(echo_once($silent, 'abc'), $value eq 'on' ? 'abc' : undef,
			"$value: after the worker's death") or diag "killed after $took s";
	}
};
done_testing();

sub sysctl {
	my ($name) = @_;
	my $path = '/proc/sys/' . $name =~ tr{.}{/}r;

	open my $file, '<', $path or return 0;
	return 0 + <$file>;
}

# Both buffers as the kernel reports them, twice the size asked for.
sub udp_buffers {
	my ($may) = @_;
	my %max = (SO_SNDBUF => sysctl('net.core.wmem_max'), SO_RCVBUF => sysctl('net.core.rmem_max'));

	return { map { $_ => 2 * ($may ? UDP_BUFFER : min(UDP_BUFFER, $max{$_})) } keys %max };
}

# The values of the workers' UDP socket; nothing when they cannot be seen.
sub udp_in_force {
	my ($server) = @_;
	my %workers  = $server->workers;
	my ($socket) = grep { $_->{kind} eq 'udp' } map { sockets_of($_) } values %workers;

	return if !$socket;
	return { map { $_ => value_of($socket->{handle}, $_) } qw(SO_SNDBUF SO_RCVBUF) };
}

# Whether this process may set a UDP socket's buffers past the sysctls.
sub may_force {
	socket my $socket, AF_INET, SOCK_DGRAM, 0 or return 0;
	return setsockopt $socket, SOL_SOCKET, SO_SNDBUFFORCE, pack 'i', 65_536;
}

# Options for a server that has no privileges.
sub unprivileged {
	my $wrapper = as_nobody() or return;

	return { wrapper => $wrapper, is_root() ? (program => public_program($dir)) : () };
}

# Whether servers may take data in the SYN.
sub server_fastopen { return sysctl('net.ipv4.tcp_fastopen') & 2 }

sub check_all {
	my ($what, $count, $expected, @sockets) = @_;

	is(scalar @sockets, $count, "$what: $count");
	for my $name (sort keys %{$expected}) {
		my @got = map { value_of($_->{handle}, $name) } @sockets;
		is_deeply(\@got, [ ($expected->{$name}) x $count ], "$what: $name");
	}
	return;
}

sub value_of {
	my ($handle, $name) = @_;

	return option_of($handle, @{ $known{$name} }) if $known{$name};
	# tcpi_sacked: of a listener the length of its queue.
	return (unpack 'C8L9', getsockopt $handle, IPPROTO_TCP, TCP_INFO)[ 8 + 5 ];
}

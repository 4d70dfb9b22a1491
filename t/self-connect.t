#!/usr/bin/perl

# A client never talks to itself, and never keeps a server from its port. In a
# network of its own, where the kernel has one port to choose from.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::IP;
use Prefork;
use Prefork::Sockets qw(have);
use Prefork::Tools   qw(spawn_process);
use Socket qw(SOCK_DGRAM);
use Test::More;

use constant PORT => 45_001;

my $chance = 47_000;

if (!$ENV{PREFORK_NAMESPACE}) {
	plan skip_all => 'no unshare or no ip here' if !have('unshare') || !have('ip');
	plan skip_all => 'no network of its own can be made here'
	    if (run_cmd('unshare', '-rn', 'ip', 'link', 'set', 'lo', 'up'))[0] != 0;
	local $ENV{PREFORK_NAMESPACE} = 1;
	exec 'unshare', '-rn', $^X, $0 or die "unshare: $!\n";
}
system(qw(ip link set lo up)) == 0 or die "ip: $?\n";

my @tcp_modes = map { [ '--api', $_ ] } qw(protocol stream poll);
my @families  = ('127.0.0.1', -e '/proc/net/if_inet6' ? '::1' : ());

for my $host (@families) {
	for my $mode (@tcp_modes, ['-u']) {
		refused($host, "@{$mode}: by --source", @{$mode}, '--source', at($host));
		refused($host, '--fastopen', @{$mode}, '--fastopen', '--source', at($host))
		    if $mode->[0] ne '-u';
	}
}
refused('0.0.0.0', 'any address', '--source', at('127.0.0.1'));

ports(PORT, PORT);
for my $mode (@tcp_modes, ['-u']) {
	refused($_, "@{$mode}: by chance", @{$mode}) for @families;
}
for my $mode ([], ['-c'], ['-u']) {
	my ($code, undef, $errors) = run_cmd(Prefork::program('echo-check'),
		qw(-q -n 1 -d 1 -t 1), @{$mode}, '-p', PORT, '127.0.0.1');
	is($code, 2, "echo-check @{$mode} by chance: exit status");
	like($errors, qr/\Aecho-check:\sREFUSED:.*\n\z/x, "echo-check @{$mode} by chance: the line begins with REFUSED");
}
is(ss('-ta'), q{}, 'no TIME_WAIT is left');

comes_back($_)     for [], ['-c'], ['-1'];
beside_clients($_) for @tcp_modes;
other_udp_port();
done_testing();

sub ports {
	my ($first, $last) = @_;

	open my $file, '>', '/proc/sys/net/ipv4/ip_local_port_range' or die "ports: $!\n";
	print {$file} "$first $last\n";
	return close $file || die "ports: $!\n";
}

sub at {
	my ($host) = @_;

	return $host =~ /:/ ? "[$host]:@{[PORT]}" : "$host:@{[PORT]}";
}

sub refused {
	my ($host, $name, @arguments) = @_;
	my ($code, undef, $errors) = run_cmd(Prefork::program('echo-client'),
		'--timeout', 5, @arguments, '-p', PORT, $host, 'hello');

	is($code, 2, "$host: $name: exit status");
	return like($errors, qr/\Aecho-client:\sREFUSED:.*\n\z/x, "$host: $name: the line begins with REFUSED");
}

# While its server is away, echo-check has one port to connect from: the
# server's.
sub comes_back {
	my ($mode) = @_;
	my @server = (qw(-w 1 -b), '127.0.0.1:' . PORT, @{$mode} ? '-1' : ());
	my $server;

	ports(46_000, 46_015);
	$server = Prefork->start(@server);
	my $check = spawn_process({}, Prefork::program('echo-check'),
		qw(-q -n 4 -d 60), @{$mode}, '-p', PORT, '127.0.0.1');
	ok(wait_for(sub { ss('-ta', 'sport', '=', ':' . PORT) =~ /ESTAB|TIME-WAIT/ }),
		"echo-check @{$mode} is at work");
	ports(PORT, PORT);
	$server->stop('INT');
	my $again = Prefork->start(@server);
	is(kill(0, $check), 1, 'the server comes back beside it');
	kill 'KILL', $check;
	waitpid $check, 0;
	is($again->stop, 0, 'exit status');
	return;
}

# A client of another server has the port by chance, and then its TIME_WAIT.
sub beside_clients {
	my ($mode) = @_;

	for my $source ([], [qw(--source 127.0.0.1)]) {
		my @server = (qw(-w 1 -4 -b), 'tcp:0.0.0.0:' . ++$chance);
		my $other  = IO::Socket::IP->new(LocalHost => '127.0.0.1',
			LocalPort => ++$chance, Listen => 8, Timeout => 10)
		    or die "listen: $@\n";
		pipe my $read, my $write or die "pipe: $!\n";
		ports($chance - 1, $chance - 1);
		my $pid = spawn_process({ stdin => $read }, Prefork::program('echo-client'),
			@{$mode}, @{$source}, '-p', $chance, '127.0.0.1', q{-});
		my $accepted = $other->accept // die "accept: $@\n";
		is($accepted->peerport, $chance - 1, "@{$mode} @{$source}: a client has the port");
		is(Prefork->start(@server)->stop, 0, 'a server is started there');
		close $_ for $read, $write;
		is(read_until_eof($accepted), q{}, 'the client ends first');
		close $accepted;
		waitpid $pid, 0;
		# A busy kernel comes to our FIN after close(2) has returned.
		my $waits = sub { ss('-ta', 'sport', '=', ':' . ($chance - 1)) =~ /TIME-WAIT/ };
		ok(wait_for($waits), 'the client leaves TIME_WAIT');
		is(Prefork->start(@server)->stop, 0, 'a server is started there');
	}
	return;
}

# Where the address differs, the kernel may choose the server's port too.
sub other_udp_port {
	my $server = IO::Socket::IP->new(LocalHost => '127.0.0.2', LocalPort => PORT,
		Type => SOCK_DGRAM) or die "udp: $@\n";

	ports(PORT - 1, PORT);
	for my $try (1 .. 8) {
		my $pid = spawn_process({}, Prefork::program('echo-client'),
			qw(-u --timeout 30 --source 127.0.0.1 -p), PORT, '127.0.0.2', 'hello');
		my $moved = sub {
			my @ports = ss(qw(-ua dst 127.0.0.2)) =~ /127[.]0[.]0[.]1:(\d+)/g;
			return "@ports" eq PORT - 1;
		};
		ok(wait_for($moved), 'a UDP client leaves the server its port');
		kill 'KILL', $pid;
		waitpid $pid, 0;
	}
	return;
}

sub ss {
	my ($code, $output, $errors) = run_cmd(qw(ss -H -n), @_);

	die "ss: $errors\n" if $code;
	return $output;
}

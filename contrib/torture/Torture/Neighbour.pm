package Torture::Neighbour;

# The row in which most sources are forged: they are addresses of a link on which
# nobody answers ARP for them, so that the answers to them wait in the server's
# send buffer, before those to clients that are there.

use strict;
use warnings;

use File::Basename ();
use Prefork::Tools qw(is_root now run_cmd spawn_process wait_for);
use Socket qw(AF_INET IPPROTO_RAW SOCK_RAW inet_aton pack_sockaddr_in);
use Time::HiRes ();
use Torture::Run;

use constant {
	SERVER  => '10.78.0.1',
	CLIENT  => '10.78.0.2',
	SOURCES => 200,
	RATE    => 3000,
	SIZE    => 900,
	TICK    => 0.002,
};

sub rows { return ([ 'neighbour' => \&neighbour ]) }

sub neighbour {
	my $row = 'neighbour';

	if (!is_root()) {
		skip_row($row, 'only root can make a link and forge sources');
		return;
	}
	my $far = spawn_process({}, '/usr/bin/env', 'unshare', '-n', 'sh', '-c', 'exec sleep 86400');
	my $ok  = eval { link_to($far); loaded($row, $far); 1 };
	my $why = $@;
	run_cmd('/usr/bin/env', qw(ip link del nb0));
	kill 'KILL', $far;
	waitpid $far, 0;
	die $why if !$ok;
	return;
}

# A link between this network and that of the process.
sub link_to {
	my ($far) = @_;
	my @inside = ('nsenter', '-n', '-t', $far);

	wait_for(sub { (readlink("/proc/$far/ns/net") // q{}) ne readlink '/proc/self/ns/net' })
	    or die "no second network\n";
	for my $command (
		[ qw(ip link add nb0 type veth peer name nb1 netns), $far ],
		[ qw(ip addr add), SERVER . '/16', qw(dev nb0) ],
		[qw(ip link set nb0 up)],
		[ @inside, qw(ip addr add), CLIENT . '/16', qw(dev nb1) ],
		[ @inside, qw(ip link set nb1 up) ],
	    )
	{
		my ($code, undef, $errors) = run_cmd('/usr/bin/env', @{$command});
		die "@{$command}: $errors\n" if $code;
	}
	return;
}

sub loaded {
	my ($row, $far) = @_;
	my @inside = ('nsenter', '-n', '-t', $far);

	run_loaded(
		row    => $row,
		host   => SERVER,
		before => \@inside,
		load   => [ [ '-u', '-r', 1000, '-n', 50, '-t', 2 ] ],
		events => sub {
			my ($server) = @_;
			my $seconds = $QUICK ? 6 : 30;
			my $here    = File::Basename::dirname(__FILE__);
			my ($code, $sent, $errors) = run_cmd(
				{ timeout => 2 * $seconds + 20 },
				'/usr/bin/env', @inside, $^X,
				(map { "-I$_" } "$here/..", "$here/../../../t/lib"),
				'-MTorture::Neighbour', '-e', 'print Torture::Neighbour::forge(@ARGV)',
				$Torture::Run::PORT, $seconds
			);
			return (
				events => SOURCES,
				wrong  => [ $code ? "cannot forge: $errors" : () ],
				notes  => [ sprintf '%s datagrams from %d sources that are not there', $sent, SOURCES ],
			);
		},
	);
	return;
}

# Sends to the server from sources that nobody has; how many datagrams.
sub forge {
	my ($port, $seconds) = @_;
	my ($sent, $begun) = (0, now());
	my $to = pack_sockaddr_in(0, inet_aton(SERVER));

	socket my $raw, AF_INET, SOCK_RAW, IPPROTO_RAW or die "socket: $!\n";
	while ((my $passed = now() - $begun) < $seconds) {
		while ($sent < $passed * RATE) {
			my $from = sprintf '10.78.9.%d', 1 + $sent % SOURCES;
			my $udp  = pack 'nnnna*', 40_000 + $sent % 1000, $port, 8 + SIZE, 0, 'f' x SIZE;
			my $ip   = pack 'CCnnnCCna4a4', 0x45, 0, 20 + length $udp, $sent & 0xffff, 0, 64, 17, 0,
			    map { inet_aton($_) } $from, SERVER;
			send $raw, $ip . $udp, 0, $to or die "send: $!\n";
			$sent++;
		}
		Time::HiRes::sleep(TICK);
	}
	return $sent;
}

1;

#!/usr/bin/perl

# Fewer workers, while clients behind a slow link connect: a handshake is under way
# for 4 s, and the kernel resets it if its listener is closed meanwhile.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../contrib/torture";

use File::Temp     ();
use Prefork;
use Prefork::Tools qw(run_cmd spawn_process wait_for);
use Socket         qw(AF_INET SOCK_STREAM inet_aton pack_sockaddr_in);
use Test::More;
use Torture::Relay;

use constant CLIENTS  => 60;
use constant ONE_WAY  => 2000;
use constant LONGEST  => 90;
use constant SYN_RECV => '03';

if (@ARGV) {
	print scalar clients(@ARGV);
	exit 0;
}
if (my $why = Torture::Relay::missing()) {
	plan skip_all => $why;
}
if (!$ENV{PREFORK_SLOW_LINK}) {
	my ($code, undef, $errors) = run_cmd(qw(unshare --net ip link set lo up));
	plan skip_all => "no network of its own: $errors" if $code;
	local $ENV{PREFORK_SLOW_LINK} = 1;
	exec qw(unshare --net), $^X, $0 or die "unshare: $!\n";
}

my $dir = File::Temp->newdir(TMPDIR => 1);
$Torture::Relay::DIR        = "$dir";
$Torture::Relay::ONE_WAY_MS = ONE_WAY;
my $relay  = Torture::Relay::up();
my $server = Prefork->start('-w', 4, '-p', 0, '-b', Torture::Relay::ADDRESS());
my $from   = $server->log_size;

open my $out, '+>', undef or die "temporary file: $!\n";
my $pid = spawn_process({ stdout => $out, stderr => \*STDERR }, '/usr/bin/env', @{ $relay->before }, $^X, $0, $server->port);
ok(wait_for(sub { handshakes() >= CLIENTS / 2 }, 60), 'handshakes are under way');
$server->signal('TTOU');
ok($server->wait_log(qr/closed the listeners of removed slots; 3 workers left/, LONGEST, $from),
	'the listeners of the removed worker are closed');
waitpid $pid, 0;
seek $out, 0, 0;
is(readline $out, CLIENTS, 'all clients are served');
is($server->stop, 0, 'it stops');
Torture::Relay::down();
done_testing();

sub handshakes {
	open my $table, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!\n";
	return scalar grep { (split)[3] eq SYN_RECV } <$table>;
}

# In another process, at the far end: how many get their answer.
sub clients {
	my ($port) = @_;
	my $to = pack_sockaddr_in($port, inet_aton(Torture::Relay::ADDRESS()));
	my ($served, @sockets) = (0);

	for (1 .. CLIENTS) {
		socket my $socket, AF_INET, SOCK_STREAM, 0 or die "socket: $!\n";
		$socket->blocking(0);
		connect $socket, $to or $!{EINPROGRESS} or die "connect: $!\n";
		push @sockets, $socket;
	}
	local $SIG{PIPE} = 'IGNORE';
	for my $socket (@sockets) {
		vec(my $set = q{}, fileno $socket, 1) = 1;
		select undef, $set, undef, LONGEST;
		syswrite $socket, 'x';
	}
	for my $socket (@sockets) {
		my $got = q{};
		vec(my $set = q{}, fileno $socket, 1) = 1;
		select $set, undef, undef, LONGEST;
		sysread $socket, $got, 1;
		$served += $got eq 'x';
	}
	return $served;
}

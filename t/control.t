#!/usr/bin/perl

# The control socket as an attacker or a fool would use it: garbage, half lines,
# zero bytes, floods, readers and writers that stand still, strangers. Nobody is
# delayed, each gets a clear refusal, and nothing is left open.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Temp ();
use IO::Select;
use IO::Socket::UNIX;
use POSIX ();
use Prefork;
use Prefork::Control;
use Prefork::Life;
use Prefork::Sockets qw(have);
use Prefork::Tools   qw(now run_cmd spawn_process);
use Socket           qw(SOCK_STREAM SHUT_WR);
use Test::More;

use constant FLOOD => 1_000;
use constant LIMIT => 32;
use constant HORDE => 8_000;

my $server = Prefork->start(qw(-w 2 -p 0 -4));
my %before = fds($server->pid);

refusals();
garbage();
long_line();
ends();
slow_writer();
flood();
waiting();
ok(wait_for(sub { my %now = fds($server->pid); keys %now == keys %before }, 20),
	'the master has as many descriptors open as before');
is(echo_once($server->tcp_socket, 'x'), 'x', 'the service echoes after all clients of the control socket');
is($server->stop, 0, 'exit status');
slow_reader();
strangers();
no_descriptors();
done_testing();

# Each wrong line has one line of answer.
sub refusals {
	my @cases = (
		[ q{}              => 76, qr/1\sCOMMAND/x ],
		[ 'status'         => 76, qr/version\s1/x ],
		[ '2 status'       => 76, qr/version\s1/x ],
		[ '1'              => 76, qr/1\sCOMMAND/x ],
		[ '1 '             => 64, qr/unknown\scommand/x ],
		[ '1 dance'        => 64, qr/status,\swhy,\sconnections,\smetrics,\sdoctor,\skill,\sreload/x ],
		[ '1 STATUS'       => 64, qr/unknown/ ],
		[ '1 status xml'   => 64, qr/json/ ],
		[ '1 status json x' => 64, qr/too\smany/x ],
		[ '1 connections all' => 64, qr/too\smany/x ],
		[ '1 metrics all'  => 64, qr/metrics\stakes\sopenmetrics\sor\snothing/x ],
		[ '1 doctor all'   => 64, qr/doctor\stakes\sjson\sor\snothing/x ],
		[ '1 reload now'   => 64, qr/too\smany/x ],
		[ '1 dump all'     => 64, qr/too\smany/x ],
		[ '1 workers'      => 64, qr/1\sto\s1024/x ],
		[ '1 why 1024'     => 64, qr/too\slarge;\swhy\stakes\s0\sto\s1023/x ],
		[ '1 why me'       => 64, qr/invalid/ ],
		[ '1 workers 0'    => 64, qr/too\ssmall;\sit\stakes\s1\sto\s1024/x ],
		[ '1 workers -1'   => 64, qr/too\ssmall/x ],
		[ '1 workers 1025' => 64, qr/too\slarge/x ],
		[ '1 workers 9999999999999999999999' => 64, qr/too\slarge/x ],
		[ '1 workers two'  => 64, qr/invalid/ ],
		[ '1 drain'        => 64, qr/missing;\sit\stakes\s0\sto\s1\b/x ],
		[ '1 undrain 2'    => 64, qr/too\slarge;\sit\stakes\s0\sto\s1\b/x ],
		[ '1 stop later'   => 64, qr/now\sor\snothing/x ],
		[ '1 loglevel'     => 64, qr/error,\swarning/x ],
		[ '1 loglevel all' => 64, qr/error,\swarning/x ],
	);
	for my $case (@cases) {
		my ($line, $status, $why) = @{$case};
		my ($answer, $end) = ask($server, $line);
		like($answer, qr/\AERR\s$status\s[^\n]*$why[^\n]*\n\z/x, "'$line'");
		is($end, 'eof', "the connection ends after '$line'");
	}
	is((ask($server, "1 status\r"))[0] =~ /\AOK\n/ ? 1 : 0, 1, 'a carriage return is no fault');
	return;
}

sub garbage {
	my @cases = (
		[ 'a zero byte', "1 status\0\n", qr/zero\sbyte/x ],
		[ 'a long line', 'x' x 100_000, qr/without\sa\snewline/x ],
		[ 'a knock without a channel', "\x02" . "\0" x 23, qr/without\sa\schannel/x ],
		[ 'HTTP', "GET / HTTP/1.1\r\nHost: x\r\n\r\n", qr/1\sCOMMAND/x ],
		[ 'TLS', "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", qr/zero\sbyte/x ],
	);
	for my $case (@cases) {
		my ($name, $bytes, $why) = @{$case};
		my $socket = connect_control($server);
		$socket->blocking(0);
		syswrite $socket, $bytes;
		my ($answer) = read_until_eof($socket);
		like($answer, qr/\AERR\s\d+\s[^\n]*$why[^\n]*\n\z/x, $name);
	}
	srand 1;
	for (1 .. 200) {
		my $socket = connect_control($server);
		syswrite $socket, join q{}, map { chr int rand 256 } 1 .. 1 + int rand 400;
		close $socket if $_ % 2;
	}
	like(ask($server, '1 status'), qr/\AOK\n/, 'it answers after 200 times noise');
	is(echo_once($server->tcp_socket, 'x'), 'x', 'it echoes after 200 times noise');
	return;
}

# Far more than the master reads: the refusal arrives, and is no reset.
sub long_line {
	my @idle = map { connect_control($server) } 1 .. 10;
	my $socket = connect_control($server);
	my $rest = '1 status ' . 'x' x 1_048_576 . "\n";

	local $SIG{PIPE} = 'IGNORE';
	$socket->blocking(0);
	my $sent = syswrite($socket, $rest) // 0;
	cmp_ok($sent, '>', 10_000, 'a line of 1 MiB, as far as it is taken');
	like(ask($server, '1 status'), qr/\AOK\n/, 'ten idle peers and it delay nobody');
	my ($answer) = read_until_eof($socket);
	like($answer, qr/\AERR\s64\s[^\n]*over\s256\sbytes[^\n]*\n\z/x, 'it is refused');
	is(syswrite($socket, 'x'), undef, 'the connection has ended after a line that is too long');
	is(scalar(grep { defined } @idle), 10, 'the idle peers were there');
	return;
}

# Lines in pieces, and ends of all kinds.
sub ends {
	my $socket = connect_control($server);
	for my $piece ('1', q{ }, 'sta', "tus\n1 dance\n") {
		syswrite $socket, $piece;
		wait_for(sub { 0 }, 0.02);
	}
	like(read_until_eof($socket), qr/\AOK\n(?!.*dance)/xs, 'a line in pieces, and only the first');
	$socket = connect_control($server);
	syswrite $socket, "1 status\n";
	shutdown $socket, SHUT_WR;
	like(read_until_eof($socket), qr/\AOK\n/, 'a client that has shut its write side');
	$socket = connect_control($server);
	syswrite $socket, '1 status';
	shutdown $socket, SHUT_WR;
	like(read_until_eof($socket), qr/\AERR\s64\s.*newline/x, 'a line without its end');
	close connect_control($server) for 1 .. 100;
	for (1 .. 100) {
		$socket = connect_control($server);
		syswrite $socket, "1 status json\n";
		close $socket;
	}
	like(ask($server, '1 status'), qr/\AOK\n/, 'it answers after 200 that went away');
	return;
}

sub slow_writer {
	my $socket = connect_control($server);
	my $start  = now();

	syswrite $socket, '1 ';
	my ($answer, $end) = read_until_eof($socket, 20);
	like($answer, qr/\AERR\s64\sno\swhole\sline/x, 'a line without an end is refused');
	cmp_ok(now() - $start, '>', 4, 'after a while');
	return;
}

# Others open as many connections as they can, and leave them so.
sub flood {
	my @idle = map { connect_control($server) } 1 .. FLOOD;
	my %fds  = fds($server->pid);

	is(grep({ defined } @idle), FLOOD, 'a flood of connections');
	cmp_ok(keys(%fds) - keys(%before), '<=', LIMIT + 1, 'it holds a few of them only');
	for my $round (1 .. 3) {
		like(ask($server, '1 status'), qr/\AOK\n/, 'a client is answered during a flood');
	}
	is(echo_once($server->tcp_socket, 'x'), 'x', 'it echoes after the flood');
	my $ended = grep { (read_until_eof($_, 5))[1] ne 'timeout' } @idle[ 0 .. 99 ];
	is($ended, 100, 'the oldest have seen the end');
	return;
}

# A client that waits gets its result: a flood does not take its place.
sub waiting {
	my ($pid) = current_workers($server);
	my @workers = current_workers($server);

	kill 'STOP', @workers;
	my $waiter = connect_control($server);
	syswrite $waiter, "1 reload\n";
	my $gone = connect_control($server);
	syswrite $gone, "1 reload\n";
	my @idle = map { connect_control($server) } 1 .. 100;
	close $gone;
	kill 'CONT', @workers;
	like(read_until_eof($waiter, 20), qr/\AOK\nreloaded:\s2\sworkers\n\z/x,
		'a flood does not drop one that waits for a result');
	return;
}

# The kernel takes the answer in pieces: the master's send(2) is made to fail.
sub slow_reader {
	my @strace = ('/usr/bin/env', 'strace', '-qq', '-o', '/dev/null', '-e', 'trace=sendto',
		'-e', 'inject=sendto:error=EAGAIN:when=1..3');

	SKIP: {
		skip 'strace does not work here', 2 if !have('strace') || (run_cmd(@strace, 'true'))[0] != 0;
		my $traced = Prefork->start({ wrapper => \@strace,
			env => { ASAN_OPTIONS => ($ENV{ASAN_OPTIONS} // q{}) . ':detect_leaks=0' } },
			qw(-w 1 -p 0 -4));
		like(ask($traced, '1 status'), qr/\AOK\n.*itself\n\z/xs, 'an answer that has to wait is whole');
		is($traced->stop, 0, 'exit status');
	}
	return;
}

# A request by a process of this user and group, and groups.
sub ask_as {
	my ($path, $uid, $gid, $groups, $line) = @_;
	my $script = <<'END';
use IO::Socket::UNIX;
$SIG{PIPE} = 'IGNORE';
my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "connect: $!\n";
syswrite $s, "$ARGV[1]\n";
print while defined($_ = <$s>);
END
	my ($code, $output, $errors) = run_cmd('/usr/bin/env', 'setpriv', '--reuid', $uid,
		'--regid', $gid, $groups ? ('--groups', $groups) : '--clear-groups',
		'perl', '-e', $script, $path, $line);

	return $output . $errors;
}

sub strangers {
	SKIP: {
		skip 'only root can become another user', 18
		    if !is_root() || !as_nobody();
		my $service = Prefork->start(qw(-w 1 -p 0 -4 -u nobody --control-group 4321));
		my $path = control_socket($service);
		my $permitted = qr/\AOK\n/;
		my $refused   = qr/\AERR\s77\s[^\n]*not\spermitted[^\n]*\n\z/x;

		like(ask_as($path, 12_345, 12_345, undef, '1 status'), $refused, 'a stranger: refused');
		like(ask_as($path, 12_345, 12_345, undef, '1 stop now'), $refused, 'a stop, too');
		like(ask_as($path, 12_345, 4321, undef, '1 status'), $permitted, 'the group reads');
		like(ask_as($path, 12_345, 12_345, '99,4321', '1 status json'), $permitted,
			'as a supplementary group');
		like(ask_as($path, 12_345, 4321, undef, "1 $_"), $refused, "the group may not: $_")
		    for 'reload', 'stop', 'workers 2', 'loglevel debug', 'dump', 'reopen';
		like(ask_as($path, 65_534, 65_534, undef, "1 $_"), $refused, "the workers' user: $_")
		    for 'status', 'stop';
		like(ask_as($path, 65_534, 65_534, undef, "\x02" . "\1" x 23), qr/channel/, 'may only knock');
		my @flood = map { connect_control($path) } 1 .. LIMIT;
		like(ask_as($path, 65_534, 65_534, undef, '1 status'), qr/\AERR\s75\s/x,
			'a stranger gets ERR 75 while all places for strangers are taken');
		@flood = ();
		horde($service, $path);
		crowd($service, $path);
		is(echo_once($service->tcp_socket, 'x'), 'x', 'it serves');
		is($service->stop, 0, 'exit status');
	}
	return;
}

# The master takes a burst of strangers at once, and then gives them a part of a CPU.
sub horde {
	my ($service, $path) = @_;
	my $script = <<'END';
use Socket;
for (1 .. $ARGV[1]) {
	socket my $s, PF_UNIX, SOCK_STREAM, 0 or die "socket: $!\n";
	connect $s, pack_sockaddr_un($ARGV[0]) or die "connect: $!\n";
	sysread $s, my $line, 100 or die "no answer\n";
}
END
	my ($start, $used) = (now(), cpu_ns($service->pid));
	my ($code, undef, $errors) = run_cmd({ timeout => 120 }, qw(/usr/bin/env setpriv --reuid 12345 --regid 12345
		--clear-groups perl -e), $script, $path, HORDE);
	my $most = 0.03 + (now() - $start) / 6;

	is($code, 0, 'each of many strangers is answered') or diag($errors);
	$used = (cpu_ns($service->pid) - $used) / 1e9;
	cmp_ok($used, '<', $most, 'the strangers cost the master a sixth of a CPU at most');
	return;
}

# As many of the group as there are places wait for workers that do not answer, and come
# again when they were refused.
sub crowd {
	my ($service, $path) = @_;
	my @workers = current_workers($service);
	my $script  = <<'END';
use IO::Select;
use IO::Socket::UNIX;
$SIG{PIPE} = 'IGNORE';
my $all = IO::Select->new;
while (1) {
	while ($all->count < $ARGV[1]) {
		my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "connect: $!\n";
		syswrite $s, "1 connections\n";
		$all->add($s);
	}
	print ".\n" if !$told++;
	for my $s ($all->can_read) {
		$all->remove($s) if !sysread $s, my $text, 65_536;
	}
}
END

	kill 'STOP', @workers;
	my $out = File::Temp->new;
	my $pid = spawn_process({ stdout => $out, stderr => $out }, qw(/usr/bin/env setpriv --reuid 12345 --regid 4321
		--clear-groups perl -e), "\$| = 1; $script", $path, LIMIT);
	ok(wait_for(sub { -s "$out" }, 20), 'clients of the group take all places');
	local $SIG{PIPE} = 'IGNORE';
	my @refused = grep { !/\AOK\n/ } map { (ask($service, '1 status'))[0] } 1 .. 5;
	is("@refused", q{}, 'root is answered while clients of the group have all places');
	kill 'KILL', $pid;
	waitpid $pid, 0;
	kill 'CONT', @workers;
	return;
}

sub cpu_ns {
	my ($pid) = @_;
	my ($used) = slurp("/proc/$pid/schedstat") =~ /\A(\d+)/;
	return $used;
}

# Without descriptors clients wait; the master does not spin.
sub no_descriptors {
	my $service = Prefork->start(qw(-w 1 -p 0 -4));
	my %fds  = fds($service->pid);
	my $path = control_socket($service);
	my $soft = 1 + (sort { $b <=> $a } keys %fds)[0];

	SKIP: {
		skip 'no prlimit', 3 if !have('prlimit');
		run_cmd('prlimit', '--pid', $service->pid, "--nofile=$soft:");
		my $socket = connect_control($path);
		syswrite $socket, "1 status\n";
		my $ticks = cpu_ticks($service->pid);
		is((read_until_eof($socket, 1))[1], 'timeout', 'no descriptor: the client waits');
		cmp_ok(cpu_ticks($service->pid) - $ticks, '<', 20, 'the master does not spin');
		run_cmd('prlimit', '--pid', $service->pid, '--nofile=256:');
		like(read_until_eof($socket), qr/\AOK\n/, 'the client is answered once a descriptor is free');
	}
	is($service->stop, 0, 'exit status');
	return;
}

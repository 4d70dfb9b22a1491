#!/usr/bin/perl

# prefork-echo with its workers in the sandbox: they have no rights, serve all kinds
# of load, outlive kills and a dead master, and are confined after each.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Life;
use Prefork::Tools qw(spawn_process);
use Test::More;

use constant {
	NONE  => '0000000000000000',
	KILLS => 4,
	# DAC_OVERRIDE, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, NET_ADMIN,
	# SYS_PTRACE, SYS_RESOURCE
	MASTER => 1 << 1 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 12 | 1 << 19 | 1 << 24,
};

# Of a worker: the pipes are both ends of the one for signals, and the log's.
my %KINDS = (
	'/dev/null'              => 2,
	'standard error'         => 1,
	'a pipe'                 => 3,
	'the channel'            => 1,
	'the listener'           => 1,
	'the UDP socket'         => 1,
	'anon_inode:[eventpoll]' => 1,
	'anon_inode:[eventfd]'   => 1,
);
my $dir = temp_dir();
my ($code, undef, $why) = run_cmd(Prefork::program(), qw(-t --sandbox on -p 0));
is($code, 0, '--sandbox on is an option') or diag($why);
($code, undef, $why) = run_cmd(Prefork::program(), qw(-t --sandbox open -p 0));
is($code, 64, 'with three values');
like($why, qr/auto,\son\sor\soff/x, 'the error names the values of --sandbox');

my $probe = Prefork->spawn(qw(--sandbox auto -w 1 -p 0 -4));
ok($probe->wait_ready, 'auto: it starts');
my ($line) = $probe->log_text =~ /\]\s(workers\sare\s.*)/x;
is($probe->stop, 0, 'auto: it stops');
if ($line !~ /^workers\sare\sconfined:/x) {
	note("$line: the rest needs all of it");
	done_testing();
	exit 0;
}
confined();
descriptors();
SKIP: {
	skip 'only a master of root has capabilities', 1 if !is_root();
	subtest 'capabilities of the master' => \&of_master;
}
under_load($_) for 'epoll', 'poll';
without_master();
done_testing();

sub status_of {
	my ($pid) = @_;
	my %status = slurp("/proc/$pid/status") =~ /^(Cap\w+|NoNewPrivs|Seccomp):\s+(\w+)/gmx;

	return %status;
}

sub is_confined {
	my ($pid, $name) = @_;
	my %status = status_of($pid);

	is($status{$_}, NONE, "$name: no $_") for qw(CapInh CapPrm CapEff CapAmb);
	is($status{NoNewPrivs}, 1, "$name: no new privileges");
	is($status{Seccomp},    2, "$name: a filter");
	return;
}

sub confined {
	my $server = Prefork->start(qw(--sandbox on -w 1 -p 0 -4), is_root() ? qw(-u nobody) : ());
	my $socket = $server->tcp_socket;

	is(echo_once($socket, 'x'), 'x', 'it serves');
	is_confined({ $server->workers }->{0}, 'a worker');
	my $successor = kill_worker($server, 0);
	is(echo_once($socket, 'y'), 'y', 'a successor goes on');
	is_confined($successor, 'it');
	my $from = $server->log_size;
	$server->signal('HUP');
	ok($server->wait_log(qr/\]\sreloaded:/x, undef, $from), 'a reload');
	is(echo_once($socket, 'z'), 'z', 'the next worker has the connection');
	is_confined({ $server->workers }->{0}, 'it');
	is($server->stop, 0, 'exit status');
	return;
}


# The kind of a descriptor, by its link and number.
sub kind_of {
	my ($target, $fd) = @_;
	my ($inode) = $target =~ /^socket:\[(\d+)\]$/x;

	return $target if !defined $inode && $target !~ /^pipe:/x;
	return $fd <= 2 ? 'standard error' : 'a pipe' if !defined $inode;
	for my $table (qw(tcp udp unix)) {
		for my $row (split /\n/, slurp("/proc/net/$table")) {
			my @field = split q{ }, $row;
			return 'the channel' if $table eq 'unix' && $field[6] eq $inode && $field[4] eq '0005';
			next if $table eq 'unix' || $field[9] ne $inode;
			return 'the UDP socket' if $table eq 'udp';
			return $field[3] eq '0A' ? 'the listener' : 'a connection';
		}
	}
	return $target;
}

# By kind: its sockets and channel, the log, and those of its loop.
sub descriptors {
	my $server = Prefork->start(qw(--sandbox on -w 2 -p 0 -4), is_root() ? qw(-u nobody) : ());
	my @clients = map { $server->tcp_socket } 1 .. 3;
	is(echo_once($_, 'x'), 'x', 'a client') for @clients;
	for my $pid (values %{ { $server->workers } }) {
		my (%n, %fd);
		%fd = fds($pid);
		note(join ', ', map { "$_ $fd{$_}" } sort { $a <=> $b } keys %fd);
		$n{ kind_of($fd{$_}, $_) }++ for keys %fd;
		my $connections = delete $n{'a connection'} // 0;
		ok($connections <= @clients, 'connections of its clients');
		is_deeply(\%n, \%KINDS, 'beside them, the descriptors that serving needs');
	}
	is($server->stop, 0, 'exit status');
	return;
}

sub of_master {
	my $server = Prefork->start(qw(--sandbox auto -w 1 -p 0 -4 -u nobody));
	my %status = status_of($server->pid);
	my %ours   = status_of($$);

	no warnings 'portable';    # these are numbers of 64 bits
	# A container lacks some.
	is(hex $status{$_}, MASTER & hex $ours{$_}, "$_ has the documented ones")
	    for qw(CapPrm CapEff CapBnd);
	my $socket = $server->tcp_socket;
	is(echo_once($socket, 'x'), 'x', 'a connection');
	my $from = $server->log_size;
	$server->signal('USR2');
	ok($server->wait_log(qr/\]\supgraded:/x, undef, $from), 'an upgrade');
	is(echo_once($socket, 'y'), 'y', 'it goes on');
	is({ status_of($server->pid) }->{CapPrm}, $status{CapPrm}, 'the next program has the same');
	ok($server->wait_log(qr/worker\s0\s\(\d+\)\shas\sended/x, undef, $from), 'the old worker ends');
	my $successor = kill_worker($server, 0);
	is(echo_once($socket, 'z'), 'z', 'after a kill, too');
	is_confined($successor, 'the next worker, which serves');
	is($server->stop, 0, 'exit status');
	$server = Prefork->start(qw(--sandbox off -w 1 -p 0 -4 -u nobody));
	my %full = status_of($server->pid);
	is($full{CapPrm}, $ours{CapPrm}, 'off: it keeps all');
	is($server->stop, 0, 'exit status');
	return;
}

sub under_load {
	my ($poller) = @_;
	my $server = Prefork->start(qw(--sandbox on -w 2 -p 0 -4 --poller), $poller);

	for my $load ([qw(-n 16)], [qw(-n 2 -z 64k --pipeline 4)], [qw(-c -n 16)], [qw(-u -n 8)]) {
		my $out = "$dir/report";
		open my $file, '>', $out or die "$out: $!\n";
		my $pid = spawn_process({ stdout => $file, stderr => \*STDERR },
			Prefork::program('echo-check'), '-q', '-d', 600, @{$load}, '-p', $server->port, '127.0.0.1');
		wait_for(sub { my %fd = fds($pid); grep { /^socket:/ } values %fd }, 20);
		kill_worker($server, $_ % 2) for 1 .. KILLS;
		kill 'INT', $pid;
		waitpid $pid, 0;
		is($? >> 8, 0, "$poller, @{$load}: nothing is lost");
	}
	my $from = $server->log_size;
	$server->signal('TTIN');
	ok($server->wait_log(qr/started\sworker\s2/x, undef, $from), "$poller: one worker more");
	$server->signal('TTOU');
	ok($server->wait_log(qr/worker\s2\s\(\d+\)\s(?:has\sended|killed)/x, undef, $from), "$poller: one less");
	unlike($server->log_text, qr/denied/, "$poller: no call was denied");
	is($server->stop, 0, "$poller: exit status");
	return;
}

sub without_master {
	my $probe = Prefork->start(qw(-w 1 -p 0 -4 --control off));
	my $port  = $probe->port;
	is($probe->stop, 0, 'a port that is free');
	my @options = (qw(--sandbox on -w 2), '-b', "127.0.0.1:$port", '--control', "$dir/sock");
	my $first   = Prefork->start(@options);
	my @clients = map { $first->tcp_socket } 1 .. 4;
	is(echo_once($_, 'x'), 'x', 'a connection') for @clients;
	kill 'KILL', $first->pid;
	ok($first->wait_log(qr/(?:serving\son\sfor.*){2}/xs), 'the master dies');
	my $second = Prefork->start(@options);
	like($second->log_text, qr/took[ ]over\s2\sworkers/x, 'the next one takes them over');
	ok($second->wait_log(qr/\]\sreloaded:/x), 'the next master replaces the workers that it took over');
	is(echo_once($_, 'y'), 'y', 'the connection goes on') for @clients;
	unlike($first->log_text . $second->log_text, qr/denied/, 'no call was denied');
	is($second->stop, 0, 'exit status');
	return;
}

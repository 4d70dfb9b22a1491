#!/usr/bin/perl

# Connections outlive their worker: it is killed under every kind of load,
# while the master is stopped, and together with or without its keeper.

use strict;
use warnings;

use File::Temp ();
use FindBin;
use IO::Socket;
use JSON::PP ();
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Life;
use Prefork::Sockets qw(asan_env);
use Prefork::Tools qw(spawn_process);
use Socket qw(SHUT_WR);
use Test::More;

use constant KILLS => 12;

my @loads = (
	[ 'ping-pong',   '-n', 64 ],
	[ 'long',        '-n', 32, '-z', 5000 ],
	[ 'pipelined',   '-n', 16, '-z', 1000, '--pipeline', 16 ],
	[ 'bulk',        '-n', 4, '-z', '64k', '--pipeline', 4 ],
	[ 'connecting',  '-c', '-n', 32 ],
	[ 'datagrams',   '-u', '-n', 16, '--pipeline', 1 ],
);

for my $poller ('epoll', 'poll') {
	under_load([ '--poller', $poller ], @{$_}) for @loads;
}
# By callbacks, which are transactions.
under_load(['-v'], @{$_}) for @loads[1 .. 3];
under_load(['-1'], 'a connection for each', '-1', '-n', 32);
without_master();
without_keeper();
with_its_keeper();
half_closed();
idle();
one_at_fault();
as_another_user();
switched_off();
stopped();
done_testing();

# The pid of the keeper of a slot's worker.
sub keeper_of {
	my ($server, $slot) = @_;
	my $worker = { $server->workers }->{$slot};
	my ($keeper) = grep { grep { $_ == $worker } children($_) }
	    children($server->pid);

	return $keeper;
}

# The slot's worker by its title: a log that is flooded loses lines.
sub titled {
	my ($server, $slot) = @_;

	for my $pid (workers_of($server->pid)) {
		open my $file, '<', "/proc/$pid/cmdline" or next;
		return $pid if (<$file> // q{}) =~ /:\sworker\s$slot\b/x;
	}
	return 0;
}

sub kill_unlogged {
	my ($server, $slot) = @_;
	my $old;

	wait_for(sub { $old = titled($server, $slot) }, 20) or die "slot $slot has no worker\n";
	kill 'KILL', $old;
	wait_for(sub { my $new = titled($server, $slot); $new && $new != $old }, 20)
	    or die "worker $slot was not restarted\n";
	return;
}

sub under_load {
	my ($with, $name, @options) = @_;
	my $server = Prefork->start('-w', 2, '-p', 0, '-4', @{$with});
	$name = "@{$with}, $name";
	my $out = File::Temp->new;
	my $pid = spawn_process({ stdout => $out, stderr => \*STDERR },
		Prefork::program('echo-check'), '--json', '-d', 600, @options,
		'-p', $server->port, '127.0.0.1');

	wait_for(sub { my %fd = fds($pid); grep { /^socket:/ } values %fd }, 20);
	kill_unlogged($server, $_ % 2) for 1 .. KILLS;
	kill 'INT', $pid;
	waitpid $pid, 0;
	seek $out, 0, 0;
	my $report = JSON::PP::decode_json(join q{}, <$out>);
	cmp_ok($report->{echoed}, '>', 0, "$name: messages went");
	my @lost = grep { $report->{$_} }
	    qw(refused reset timeout short mismatch duplicate other);
	is_deeply([ map { "$_ $report->{$_}" } @lost ], [], "$name: none was lost");
	unlike($server->log_text, qr/could\snot\sbe\scontinued/x, "$name: every connection went on");
	is($server->stop, 0, "$name: exit status");
	return;
}

# The keeper needs no master, and logs the death that the master does not.
sub without_master {
	my $server = Prefork->start('-w', 1, '-p', 0, '-4');
	my $socket = $server->tcp_socket;
	my $worker = { $server->workers }->{0};

	is(echo_once($socket, 'before'), 'before', 'a connection');
	$server->signal('STOP');
	kill 'KILL', $worker;
	is(echo_once($socket, 'after'), 'after', 'goes on while the master is stopped');
	ok($server->wait_log(qr/^\[keeper-0\s.*worker\s0\s\($worker\)\skilled\sby\s
			signal\s9\s\(SIGKILL\);\srestarted/mx), 'the keeper logs the death');
	$server->signal('CONT');
	ok($server->wait_log(qr/^\[master\s.*started\sworker\s0\s\((?!$worker\))/mx),
		'the master, continued, logs the successor of the keeper');
	is(count($server->log_text, qr/\($worker\)\skilled/x), 1, 'the death of the worker is logged once');
	kill_worker($server, 0);
	is(echo_once($socket, 'again'), 'again', 'goes on after a second kill');
	is($server->stop, 0, 'exit status');
	return;
}

sub without_keeper {
	my $server = Prefork->start('-w', 2, '-p', 0, '-4');
	my @sockets = map { $server->tcp_socket } 1 .. 8;
	my $keeper = keeper_of($server, 0);
	my $from = $server->log_size;

	is(echo_once($_, 'x'), 'x', 'a connection') for @sockets;
	kill 'KILL', $keeper;
	ok($server->wait_log(qr/keeper\s0\s\($keeper\)\skilled\sby\ssignal\s9;\sreplacing/x),
		'a keeper is killed');
	ok($server->wait_log(qr/worker\s0\s\(\d+\)\shas\sended/x, 20, $from),
		'its worker is replaced');
	is(echo_once($_, 'x'), 'x', 'a connection goes on') for @sockets;
	kill_worker($server, 0);
	is(echo_once($_, 'x'), 'x', 'a connection goes on after a kill under the new keeper') for @sockets;
	is($server->stop, 0, 'exit status');
	return;
}

# Nobody has the connections then; they are counted.
sub with_its_keeper {
	my $dir     = temp_dir();
	my $server  = Prefork->start('-w', 1, '-p', 0, '-4', '--control', "$dir/sock");
	my @sockets = map { $server->tcp_socket } 1 .. 8;
	my $worker  = { $server->workers }->{0};

	is(echo_once($_, 'x'), 'x', 'a connection') for @sockets;
	$server->signal('STOP');
	kill 'KILL', keeper_of($server, 0);
	kill 'KILL', $worker;
	is(sysread($_, my $in, 1) // 0, 0, 'the peer sees the end when worker and keeper are dead') for @sockets;
	$server->signal('CONT');
	ok($server->wait_log(qr/8\sconnections\sended[ ]with\sworker\s0\s\($worker\),\sbecause\sits\skeeper/x),
		'the log says how many have ended');
	my (undef, $metrics) = run_cmd(Prefork::program('prefork-ctl'), '-s', "$dir/sock", 'metrics');
	like($metrics, qr/closed_total\{[^}]*cause="error"[^}]*\}\s8$/mx, 'the metrics count the 8 connections as ended by an error');
	is($server->stop, 0, 'exit status');
	return;
}

# Unsent bytes, and a direction that has ended.
sub half_closed {
	my $server = Prefork->start('-w', 1, '-p', 0, '-4');
	my $socket = $server->tcp_socket;
	my $data   = join q{}, map { pack 'N', $_ } 1 .. 200_000;
	my $sent   = 0;

	# Until neither side takes any more: then bytes are in the server's hand.
	$socket->blocking(0);
	while ($sent < length $data) {
		my $n = syswrite $socket, $data, length($data) - $sent, $sent;
		last if !defined $n && !wait_for(
			sub { $n = syswrite $socket, $data, length($data) - $sent, $sent }, 0.3);
		$sent += $n;
	}
	kill_worker($server, 0) for 1 .. 3;
	$socket->blocking(1);
	shutdown $socket, SHUT_WR if $sent == length $data;
	kill_worker($server, 0);
	my ($back) = $sent == length $data ? read_until_eof($socket) : read_bytes($socket, $sent);
	ok($back eq substr($data, 0, $sent), "$sent unsent bytes go on");
	is($server->stop, 0, 'exit status');
	return;
}

sub read_bytes {
	my ($socket, $n) = @_;
	my $back = q{};

	while (length $back < $n) {
		sysread($socket, $back, $n - length $back, length $back) or last;
	}
	return $back;
}

# Deaths from outside never give a slot up.
sub idle {
	my $server = Prefork->start('-w', 1, '-p', 0, '-4');
	my $socket = $server->tcp_socket;

	is(echo_once($socket, 'x'), 'x', 'a connection');
	my %before = fds({ $server->workers }->{0});
	kill_worker($server, 0) for 1 .. 2 * KILLS;
	my %after;
	ok(wait_for(sub { %after = fds({ $server->workers }->{0}); keys %after == keys %before }, 10),
		'as many descriptors after many deaths as before');
	is(echo_once($socket, 'x'), 'x', 'a connection goes on after many deaths');
	is(count($server->log_text, qr/restarting\sin/x), 0, 'no restart was delayed');
	is($server->stop, 0, 'exit status');
	return;
}

# A crash costs the connection that was being served, if any.
sub one_at_fault {
	# A sanitizer would take the signal for a fault, and exit.
	my $server = Prefork->start({ env => asan_env('handle_segv=0') },
		'-w', 1, '-p', 0, '-4');
	my $socket = $server->tcp_socket;

	is(echo_once($socket, 'x'), 'x', 'a connection');
	my $worker = { $server->workers }->{0};
	# The client may have its answer before the callback has returned.
	ok(wait_for(sub { slurp("/proc/$worker/stat") =~ /\)\sS\s/x }),
		'the worker waits');
	kill_worker($server, 0, 'SEGV');
	is(echo_once($socket, 'x'), 'x', 'goes on after a crash that it had no part in');
	like($server->log_text, qr/killed\sby\ssignal\s11\s\(SIGSEGV\).*;\srestarting/x, 'the master logs the crash, and restarts the worker');
	is($server->stop, 0, 'exit status');
	return;
}

sub as_another_user {
	SKIP: {
		skip 'needs root', 4 if !is_root();
		my $server = Prefork->start('-w', 1, '-p', 0, '-4', '-u', 'nobody');
		my $socket = $server->tcp_socket;
		my ($uid)  = (stat '/proc/' . keeper_of($server, 0))[4];
		is($uid, (getpwnam 'nobody')[2], 'the keeper has dropped privileges too');
		my $worker = kill_worker($server, 0);
		is((stat "/proc/$worker")[4], $uid, 'the successor of a killed worker runs as that user, too');
		is(echo_once($socket, 'x'), 'x', 'the connection goes on at the successor');
		is($server->stop, 0, 'exit status');
	}
	return;
}

sub switched_off {
	my $server = Prefork->start('-w', 1, '-p', 0, '-4', '--keeper', 'off');
	my $socket = $server->tcp_socket;

	is(echo_once($socket, 'x'), 'x', '--keeper off: a connection');
	is_deeply([ children($server->pid) ], [ workers_of($server->pid) ], 'there is no keeper');
	kill_worker($server, 0);
	ok((read_until_eof($socket))[1] ne 'timeout', 'ends with its worker');
	is($server->stop, 0, 'exit status');
	return;
}

# A keeper that somebody has stopped keeps neither its worker's clients waiting for
# ever nor its master from ending.
sub stopped {
	my $server = Prefork->start('-w', 1, '-p', 0, '-4', '--worker-timeout', 1);
	my $client = $server->tcp_socket;
	my $worker = { $server->workers }->{0};
	my $keeper = keeper_of($server, 0);

	is(echo_once($client, 'x'), 'x', 'a client');
	kill 'STOP', $keeper;
	kill 'KILL', $worker;
	is(echo_once($client, 'y'), 'y', 'goes on after its worker is killed and the keeper stopped');
	kill 'STOP', $keeper;
	is($server->stop('INT'), 0, 'a stopped keeper: the service ends');
	return;
}

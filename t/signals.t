#!/usr/bin/perl

# Signals to the master and to a worker, as prefork-echo(8) has them. HUP has
# its own test, reload.t.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::IP;
use Prefork;
use Prefork::Life;
use Prefork::Tools qw(now);
use Test::More;

use constant SMALL => (qw(--receive-buffer 8k --send-buffer 8k));
# Less than the linger of a connection whose peer does not end it, and than the
# time-outs that are given here.
use constant SOON => 1.8;

term();
term_with_data_under_way();
term_and_a_deaf_peer();
term_again();
interrupt();
quit();
reopen($_) for q{}, is_root() ? 'nobody' : ();
count_of_workers();
signals_to_a_worker();
leaving_worker($_) for qw(TERM QUIT INT);
done_testing();

# A connection whose peer neither reads nor ends, with the server's buffers and
# its own full.
sub deaf_peer {
	my ($server) = @_;
	my $socket = $server->tcp_socket;
	my $sent   = stuff($socket);

	return ($socket, $sent);
}

# Sends the signal; the exit code, and how many seconds it took.
sub stop_timed {
	my ($server, $signal) = @_;
	my $start = now();
	my $code  = $server->stop($signal);

	return ($code, now() - $start);
}

sub term {
	my $server = Prefork->start('-w', 2, '-p', 0, '-4');
	my @idle   = map { $server->tcp_socket } 1 .. 4;

	is(echo_once($_, 'x'), 'x', 'TERM: a connection') for @idle;
	# And some that have not said a word: they came this very moment.
	push @idle, map { $server->tcp_socket } 1 .. 4;
	$server->signal('TERM');
	for my $socket (@idle) {
		is_deeply([ read_until_eof($socket) ],
			[ q{}, 'eof' ], 'it sees the end and no reset');
		close $socket;
	}
	is($server->wait_exit(SOON), 0, 'exit status, at once');
	is(tcp('127.0.0.1', $server->port), undef, 'nobody listens any more');
	return;
}

# What the kernel has taken for us before the stop is answered: on a connection
# and in the accept queue.
sub term_with_data_under_way {
	my $server = Prefork->start('-v', '-w', 1, '-p', 0, '-4');
	my ($old, $pid) = connect_to($server, 0);
	my $data = join q{ }, 1 .. 10_000;

	kill 'STOP', $pid;
	my $new = $server->tcp_socket;
	send $_, $data, 0 for $old, $new;
	$server->signal('TERM');
	ok($server->wait_log(qr/\]\sstopping$/mx), 'TERM with data under way');
	kill 'CONT', $pid;
	for ([ $old, 'a connection' ], [ $new, 'one in the accept queue' ]) {
		my ($socket, $name) = @{$_};
		my ($got, $end) = read_until_eof($socket);
		is(length $got, length $data, "$name: all is echoed");
		is($end, 'eof', 'and then ended');
		close $socket;
	}
	is($server->wait_exit, 0, 'exit status');
	return;
}

sub term_and_a_deaf_peer {
	my $server = Prefork->start('-w', 1, '-p', 0, '-4', SMALL,
		'--shutdown-timeout', 1);
	my ($socket) = deaf_peer($server);
	my ($code, $took) = stop_timed($server, 'TERM');

	is($code, 0, 'TERM and a peer that does not read: exit status');
	cmp_ok($took, '>', 0.9, 'it got its time');
	cmp_ok($took, '<', 5,   'and no more');
	unlike($server->log_text, qr/SIGKILL/, 'nobody had to be killed');
	return;
}

sub term_again {
	my $server = Prefork->start('-w', 1, '-p', 0, '-4', SMALL,
		'--shutdown-timeout', 60);
	my ($socket) = deaf_peer($server);

	$server->signal('TERM');
	ok($server->wait_log(qr/\]\sstopping$/mx), 'TERM and a deaf peer');
	my ($code, $took) = stop_timed($server, 'TERM');
	is($code, 0, 'TERM again: exit status');
	cmp_ok($took, '<', SOON, 'at once');
	unlike($server->log_text, qr/SIGKILL/, 'nobody had to be killed');
	return;
}

sub interrupt {
	my $server = Prefork->start('-w', 2, '-p', 0, '-4', SMALL,
		'--shutdown-timeout', 60);
	my $idle = $server->tcp_socket;
	is(echo_once($idle, 'x'), 'x', 'INT: a connection');
	my ($deaf) = deaf_peer($server);
	my ($code, $took) = stop_timed($server, 'INT');

	is($code, 0, 'INT: exit status');
	cmp_ok($took, '<', SOON, 'at once');
	unlike($server->log_text, qr/SIGKILL/, 'nobody had to be killed');
	return;
}

sub quit {
	my $server = Prefork->start('-w', 1, '-p', 0, '-4', SMALL,
		'--shutdown-timeout', 0.2);
	my ($socket, $sent) = deaf_peer($server);

	$server->signal('QUIT');
	is($server->wait_exit(1.5), undef, 'QUIT: no bound');
	my ($got, $end) = read_until_eof($socket);
	is($end, 'eof', 'the deaf peer has read on to the end');
	is($got, 'x' x length $got, 'nothing but its own');
	close $socket;
	is($server->wait_exit, 0, 'exit status');
	return;
}

# A server that logs to a file cannot tell the harness when it is ready.
sub start_with_log {
	my ($file, @arguments) = @_;
	my $server = Prefork->spawn('-l', $file, @arguments);

	wait_for(sub { slurp($file) =~ /\]\sready:\s.*\n/x }, 20)
	    or die 'not ready: ' . slurp($file);
	return $server;
}

# Talks until the worker of every slot has logged something to the file.
sub all_log {
	my ($file, $port, @pids) = @_;

	return wait_for(
		sub {
			echo_once(tcp('127.0.0.1', $port), 'x') // return 0;
			my $log = slurp($file);
			return !grep { $log !~ /\s\($_\)\]\sconnected\s/x } @pids;
		}
	);
}

sub reopen {
	my ($user) = @_;
	my $name = $user ? "USR1, -u $user" : 'USR1';
	my $dir  = temp_dir();
	my $file = "$dir/log";
	my $server = start_with_log($file, '-v', '-w', 2, '-p', 0, '-4',
		$user ? ('-u', $user) : ());
	my ($port) = slurp($file) =~ /tcp\s127[.]0[.]0[.]1:(\d+)/x;
	my @pids   = settled_workers($server, 2);

	ok(all_log($file, $port, @pids), "$name: both workers log");
	rename $file, "$file.1" or die "$file: $!\n";
	$server->signal('USR1');
	ok(wait_for(sub { slurp($file) =~ /^\[master\s.*reopened/mx }),
		'the master logs to the new file');
	ok(all_log($file, $port, @pids), 'and so do both workers');
	kill 'KILL', $pids[0];
	ok(wait_for(sub { slurp($file) =~ /^\[worker-\d\s.*serving/mx }),
		'a new worker logs to it too');
	is_deeply([ grep { m{^\Q$dir\E} } map { values %{ { fds($_) } } }
			    $server->pid, settled_workers($server, 2) ],
		[ ($file) x 3 ], 'the old one is closed everywhere');
	is($server->stop, 0, 'exit status');
	return;
}

sub count_of_workers {
	my $server = Prefork->start('-v', '-w', 2, '-p', 0, '-4');

	$server->signal('TTIN');
	ok($server->wait_log(qr/\]\snow\s3\sworkers$/mx), 'TTIN: one more');
	my ($socket, $pid) = connect_to($server, 2);
	is(echo_once($socket, 'x'), 'x', 'it serves');
	is(scalar(@{ [ settled_workers($server, 3) ] }), 3, 'three run');

	$server->signal('TTOU');
	ok($server->wait_log(qr/worker\s2\s\($pid\)\sis\sleaving$/mx),
		'TTOU: the last leaves');
	is(echo_once($socket, 'y'), 'y', 'its connection does not notice');
	close $socket;
	ok($server->wait_log(qr/worker\s2\s\($pid\)\shas\sended$/mx),
		'it ends with its connection');
	$server->signal('TTOU');
	ok($server->wait_log(qr/\]\snow\s1\sworker$/mx), 'TTOU again');
	my %workers = $server->workers;
	is_deeply([ settled_workers($server, 1) ], [ $workers{0} ], 'one runs');
	$server->signal('TTOU');
	# The next signal's line comes after anything that TTOU might do.
	$server->signal('USR1');
	ok($server->wait_log(qr/reopened\sthe\slog$/mx), 'TTOU at one worker');
	is_deeply([ current_workers($server) ], [ $workers{0} ], 'does nothing');
	is(echo_once($server->tcp_socket, $_), $_, "connection $_") for 1 .. 4;
	is($server->stop, 0, 'exit status');
	return;
}

# What is the master's business leaves a worker alone.
sub signals_to_a_worker {
	my $server = Prefork->start('-v', '-w', 1, '-p', 0, '-4');
	my ($socket, $pid) = connect_to($server, 0);

	for my $signal (qw(HUP USR1 USR2 TTIN TTOU PIPE)) {
		kill $signal, $pid;
		is(echo_once($socket, $signal), $signal, "$signal to a worker");
	}
	is(echo_once($server->tcp_socket, 'x'), 'x', 'it still accepts');
	is_deeply([ current_workers($server) ], [$pid], 'and is the only one');
	is($server->stop, 0, 'exit status');
	return;
}

sub leaving_worker {
	my ($signal) = @_;
	my $server = Prefork->start('-v', '-w', 2, '-p', 0, '-4');
	my ($socket, $pid) = connect_to($server, 0);

	kill $signal, $pid;
	is((read_until_eof($socket))[1], 'eof',
		"$signal to a worker: its connection sees the end");
	close $socket;
	ok($server->wait_log(qr/worker 0 \($pid\) (?:has ended|exited with status 0)/),
		'it ends in good order');
	my ($new, $successor) = connect_to($server, 0);
	cmp_ok($successor, '!=', $pid, 'another takes its place');
	is(echo_once($new, 'x'), 'x', 'and serves');
	is($server->stop, 0, 'exit status');
	return;
}

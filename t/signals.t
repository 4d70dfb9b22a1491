#!/usr/bin/perl

# Signals to the master and to a worker, as prefork-echo(8) has them. HUP has
# its own test, reload.t.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Config;
use IO::Socket::IP;
use POSIX ();
use Prefork;
use Prefork::Life;
use Prefork::Sockets qw(asan_env have);
use Prefork::Tools   qw(now spawn_process);
use Test::More;

use constant SMALL => (qw(--receive-buffer 8k --send-buffer 8k));
# Less than the linger of a connection that the peer does not end, and than the
# time-outs that are given here.
use constant SOON => 1.8;

# By number, because Perl has no names for some real-time ones. Not here: those
# that stop a process or end it by a crash, and the orders.
use constant FATAL => (qw(KILL ABRT BUS FPE ILL SEGV SYS TRAP));
# A sanitizer would take some of them for faults, and exit.
use constant PLAIN => (qw(handle_segv=0 handle_sigbus=0 handle_sigfpe=0));
my %number;
@number{ split q{ }, $Config{sig_name} } = split q{ }, $Config{sig_num};

term();
term_with_data_under_way();
term_and_a_deaf_peer();
term_again();
term_twice();
interrupt();
unbounded(@{$_}) for [ 'QUIT', 0.2 ], [ 'TERM', 0 ];
reopen($_) for q{}, is_root() ? 'nobody' : ();
count_of_workers();
every_signal_to_the_master();
every_signal_to_a_worker();
every_signal_at_the_start();
tostop();
file_size_limit();
leaving_worker($_) for qw(TERM QUIT INT);
done_testing();

# A connection with a peer that neither reads nor ends, with the server's
# buffers and its own full.
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

# Bytes that the kernel took for us before the stop are answered: on a
# connection and in the accept queue.
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
		is($end, 'eof', "$name: it ends after the echo");
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
	cmp_ok($took, '<', 5,   'TERM and a peer that does not read: it takes less than 5 s');
	unlike($server->log_text, qr/SIGKILL/, 'nobody had to be killed');
	return;
}

sub term_again {
	my $server = Prefork->start('-w', 1, '-p', 0, '-4', SMALL,
		'--shutdown-timeout', 60);
	my ($socket) = deaf_peer($server);

	$server->signal('TERM');
	ok($server->wait_log(qr/\]\sstopping$/mx), 'TERM and a deaf peer');
	after(1.1);
	my ($code, $took) = stop_timed($server, 'TERM');
	is($code, 0, 'TERM again: exit status');
	cmp_ok($took, '<', SOON, 'at once');
	unlike($server->log_text, qr/SIGKILL/, 'nobody had to be killed');
	return;
}

# timeout(1) and some supervisors signal the master and then its group.
sub term_twice {
	for my $try (1 .. 10) {
		my $server = Prefork->start('-w', 1, '-p', 0, '-4', SMALL,
			'--shutdown-timeout', 60);
		my ($socket, $sent) = deaf_peer($server);
		my $start = now();

		$server->signal('TERM');
		$server->wait_log(qr/\]\sstopping$/mx);
		$server->signal('TERM');
		$server->wait_log(qr/\]\s(?:SIGTERM\sagain|stopping\sat\sonce)/x);
		# On a machine that is too busy it was not a second.
		if (now() - $start >= 1 && $try < 10) {
			next;
		}
		like($server->log_text, qr/:\sthe\s[s]ame\sstop/x,
			'TERM again within a second is the same stop');
		my ($got, $end) = read_until_eof($socket);
		is($end, 'eof', 'the deaf peer gets the rest');
		close $socket;
		is($server->wait_exit, 0, 'exit status');
		return;
	}
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

# With 0 the timeout is no bound, and not a bound of no time.
sub unbounded {
	my ($signal, $timeout) = @_;
	my $server = Prefork->start('-w', 1, '-p', 0, '-4', SMALL,
		'--shutdown-timeout', $timeout);
	my ($socket, $sent) = deaf_peer($server);

	$server->signal($signal);
	is($server->wait_exit(1.5), undef, "$signal, timeout $timeout: no bound");
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
	ok(wait_for(sub { slurp($file) =~ /\s\[master\s.*reopened/x }),
		'the master logs to the new file');
	ok(all_log($file, $port, @pids), 'both workers log to the new file');
	kill 'KILL', $pids[0];
	ok(wait_for(sub { slurp($file) =~ /\s\[worker-\d\s.*serving/x }),
		'a new worker logs to it too');
	is_deeply([ grep { m{^\Q$dir\E} } map { values %{ { fds($_) } } }
			    $server->pid, settled_workers($server, 2) ],
		[$file], 'the master has the new file open, a worker none');
	is($server->stop, 0, 'exit status');
	return;
}

sub count_of_workers {
	my $server = Prefork->start('-v', '-w', 2, '-p', 0, '-4');

	$server->signal('TTIN');
	ok($server->wait_log(qr/\]\sthe\snumber\sof\sworkers\sis\s3\s/x), 'TTIN: one more');
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
	ok($server->wait_log(qr/\]\sthe\snumber\sof\sworkers\sis\s1\s/x), 'TTOU again');
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

sub numbers_without {
	my %without = map { $number{$_} => 1 } @_, FATAL, qw(STOP TSTP);

	return grep { !$without{$_} } 1 .. 64;
}

# Waits until the master has acted on an order, so that the signals before it
# have had their effect; false when it has died.
sub master_obeys {
	my ($server) = @_;
	my $offset = $server->log_size;

	$server->signal('USR1');
	return $server->wait_log(qr/\]\sreopened\sthe\slog$/mx, undef, $offset);
}

sub every_signal_to_the_master {
	my $server =
	    Prefork->start('-w', 1, '-p', 0, '-4', SMALL, '--shutdown-timeout', 60);
	my @strays = numbers_without(qw(TERM INT QUIT HUP TTIN TTOU USR1 USR2));
	my %workers = $server->workers;

	for my $signal (@strays) {
		kill $signal, $server->pid;
		ok(master_obeys($server), "signal $signal to the master: ignored")
		    or return;
	}
	is_deeply([ current_workers($server) ], [ $workers{0} ], 'same worker');
	my ($deaf) = deaf_peer($server);
	$server->signal('TERM');
	ok($server->wait_log(qr/\]\sstopping$/mx), 'it is stopping');
	for my $signal (@strays, map { $number{$_} } qw(HUP TTIN TTOU USR1 USR2)) {
		kill $signal, $server->pid;
		ok(master_obeys($server), "signal $signal: it is still stopping")
		    or return;
	}
	is($server->stop('INT'), 0, 'exit status');
	for my $signal (FATAL) {
		my $victim = Prefork->start({ env => asan_env(PLAIN) },
			'-w', 1, '-p', 0, '-4', '--orphan-timeout', 0.1);
		is($victim->stop($signal), 128 + $number{$signal},
			"$signal ends the master");
		ok($victim->wait_log(qr/serving\son\sfor\s0\.1\ss/x),
			'its worker serves on');
		ok(wait_for(sub { !$victim->workers_alive }),
			"$signal: the orphan ends after --orphan-timeout");
	}
	return;
}

# The master's signals have no effect in a worker.
sub every_signal_to_a_worker {
	my $server = Prefork->start({ env => asan_env(PLAIN) },
		'-v', '-w', 1, '-p', 0, '-4', SMALL, '--drain-timeout', 60);
	my ($socket, $pid) = connect_to($server, 0);
	my @strays = numbers_without(qw(TERM INT QUIT));

	for my $signal (@strays) {
		kill $signal, $pid;
		is(echo_once($socket, 'x'), 'x', "signal $signal to a worker: ignored")
		    or return;
	}
	is(echo_once($server->tcp_socket, 'x'), 'x', 'it still accepts');
	is_deeply([ current_workers($server) ], [$pid], 'the worker that ignored the signals is the only one');
	for my $signal (grep { $_ ne 'KILL' && $_ ne 'ABRT' } FATAL) {
		my (undef, $victim) = connect_to($server, 0);
		kill $signal, $victim;
		ok($server->wait_log(
				qr/worker\s0\s\($victim\)\skilled\sby\ssignal\s$number{$signal}\s/x),
			"$signal ends it, and the master replaces it");
	}
	is($server->stop, 0, 'exit status');
	return;
}

# Before the first worker: the program waits for its configuration by a FIFO.
sub every_signal_at_the_start {
	my $dir  = temp_dir();
	my $fifo = "$dir/conf";

	POSIX::mkfifo($fifo, 0600) or die "$fifo: $!\n";
	my $server = Prefork->spawn('-c', $fifo);
	open my $file, '>', $fifo or die "$fifo: $!\n";
	kill $_, $server->pid for numbers_without(qw(TERM INT QUIT));
	print {$file} "workers 1\nport 0\nipv4\n";
	close $file or die "$fifo: $!\n";
	ok($server->wait_ready, 'every signal at the start: it starts');
	ok($server->wait_log(qr/reopened\sthe\slog$/mx), 'USR1 was kept for it');
	is($server->stop, 0, 'exit status');

	for my $signal (qw(TERM INT QUIT)) {
		$server = Prefork->spawn('-c', $fifo);
		open $file, '>', $fifo or die "$fifo: $!\n";
		is($server->stop($signal), 128 + $number{$signal},
			"$signal ends a program that has not begun to start");
		close $file;
	}
	return;
}

# In the background of a terminal with `stty tostop`, write(2) raises SIGTTOU.
sub tostop {
	SKIP: {
		skip 'script(1) or stty(1) is not installed', 10
		    if !have('script') || !have('stty');
		my $dir = temp_dir();
		my ($pid, $log) = ("$dir/pid", "$dir/log");
		my $command = 'stty tostop; set -m; '
		    . Prefork::program()
		    . " -w 4 -p 0 -4 -P $pid & wait";
		my $child = spawn_process({}, 'script', '-qfec', $command, $log);
		ok(wait_for(sub { slurp($log) =~ /\]\sready:/x }, 20),
			'tostop: it starts in the background');
		my ($master) = slurp($log) =~ /\[master\s\((\d+)\)\]\sready:/x;
		is(scalar(@{ [ children($master // $child) ] }), 4,
			'with all its workers');
		kill 'TTOU', $master // ();
		ok(wait_for(sub { slurp($log) =~ /the\snumber\sof\sworkers\sis\s3\s/x }),
			'TTOU is an order still');
		kill 'TERM', $master // ();
		ok(wait_for(sub { slurp($log) =~ /\]\sstopping/x && !-e $pid }),
			'TERM stops it');
		kill 'KILL', $master // () if -e $pid;
		ok(wait_for(sub { waitpid($child, POSIX::WNOHANG()) == $child }),
			'the terminal is closed')
		    or kill 'KILL', $child;
		tostop_of_the_master($dir);
	}
	return;
}

# The master itself writes there, when the log has another place that is lost.
sub tostop_of_the_master {
	my ($dir) = @_;
	my ($pid, $terminal) = ("$dir/pid2", "$dir/terminal");
	my $command = 'stty tostop; set -m; '
	    . Prefork::program()
	    . " -w 2 -p 0 -4 -P $pid -l $dir/logs/log & wait";

	mkdir "$dir/logs" or die "$dir/logs: $!\n";
	my $child = spawn_process({}, 'script', '-qfec', $command, $terminal);
	ok(wait_for(sub { -e "$dir/logs/log" && slurp("$dir/logs/log") =~ /\]\sready:/x }, 20),
		'tostop, and a log elsewhere');
	my $master = slurp($pid);
	rename "$dir/logs", "$dir/lost" or die "$dir/logs: $!\n";
	kill 'USR1', $master;
	ok(wait_for(sub { slurp($terminal) =~ /cannot\sreopen\sthe\slog/x }),
		'the terminal has the fault of the log');
	kill 'TERM', $master;
	ok(wait_for(sub { !-e $pid }), 'TERM stops it') or kill 'KILL', $master;
	ok(wait_for(sub { waitpid($child, POSIX::WNOHANG()) == $child }), 'the terminal is closed')
	    or kill 'KILL', $child;
	unlike(slurp("$dir/lost/log"), qr/the\snumber\sof\sworkers\sis\s1\s/x, 'no worker was given up');
	return;
}

# RLIMIT_FSIZE: write(2) fails, and SIGXFSZ must not add to it.
sub file_size_limit {
	my $dir  = temp_dir();
	my $file = "$dir/log";
	my @limit = ('/bin/sh', '-c', 'ulimit -f 64; exec "$@"', 'sh');
	my $server = Prefork->spawn({ wrapper => \@limit },
		'-v', '-w', 1, '-p', 0, '-4', '-l', $file, '-P', "$dir/pid");

	ok(wait_for(sub { slurp($file) =~ /\]\sready:\s.*\n/x }, 20),
		'a limit of file sizes');
	my ($port) = slurp($file) =~ /ready:.*tcp\s127[.]0[.]0[.]1:(\d+)/x;
	my $socket = tcp('127.0.0.1', $port);
	ok(wait_for(sub {
			echo_once($socket, 'x' x 60) eq 'x' x 60
			    && $server->log_text =~ /cannot\swrite\sthe\slog:\sFile\stoo\slarge/x;
		}, 20), 'echoes, until the log is full');
	ok(!$server->ended, 'the master is alive');
	rename $file, "$file.1" or die "$file: $!\n";
	$server->signal('USR1');
	ok(wait_for(sub { slurp($file) =~ /reopened/x }), 'it is rotated');
	echo_once($socket, 'x');
	ok(wait_for(sub { slurp($file) =~ /File\stoo\slarge/x }),
		'the new one has the number of lost lines, and why');
	is($server->stop, 0, 'exit status');
	@limit = ('/bin/sh', '-c', 'ulimit -f 0; exec "$@"', 'sh');
	my ($code, undef, $errors) = run_cmd(@limit, Prefork::program(),
		'-q', '-w', 1, '-p', 0, '-4', '-P', "$dir/none");
	is($code, 73, 'no room for a pid file: exit 73');
	like($errors, qr{pid\sfile\s\Q$dir\E/none:.*File\stoo\slarge}x, 'the error names the pid file and the cause');
	return;
}

sub leaving_worker {
	my ($signal) = @_;
	my $server = Prefork->start('-v', '-w', 2, '-p', 0, '-4');
	my ($socket, $pid) = connect_to($server, 0);

	kill $signal, $pid;
	if ($signal eq 'INT') {
		is((read_until_eof($socket))[1], 'eof',
			'INT to a worker: its connection sees the end');
		close $socket;
	}
	ok($server->wait_log(qr/worker 0 \($pid\) (?:has ended|exited with status 0)/),
		'it ends in good order');
	my ($new, $successor) = connect_to($server, 0);
	cmp_ok($successor, '!=', $pid, 'another takes its place');
	is(echo_once($new, 'x'), 'x', 'the successor serves');
	if ($signal ne 'INT') {
		is(echo_once($socket, 'x'), 'x', "$signal to a worker: its connection goes on");
	}
	is($server->stop, 0, 'exit status');
	return;
}

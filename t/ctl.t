#!/usr/bin/perl

# prefork-ctl: every command against a running service, how it finds the
# service, and its messages when something is wrong.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use IO::Socket::UNIX;
use POSIX qw(EBADF ENOLCK);
use Prefork;
use Prefork::Control;
use Prefork::Deny;
use Prefork::Life;
use Prefork::Tools qw(is_keeper run_cmd spawn_process);
use Socket         qw(SOCK_STREAM);
use Test::More;

my $dir = temp_dir();
use constant LONG => 30;

usage();
finding();
describes();
reloads();
reload_during_reload();
workers();
drains();
stops();
stop_under_load();
stop_during_reload();
log_commands();
no_answer();
done_testing();

# Runs prefork-ctl in the background; call it for its exit code and output.
sub ctl_later {
	my (@arguments) = @_;
	my $out = File::Temp->new;
	my $pid = spawn_process({ stdout => $out, stderr => $out },
		Prefork::program('prefork-ctl'), @arguments);

	return sub {
		my $status;
		wait_for(sub {
			return if waitpid($pid, POSIX::WNOHANG()) != $pid;
			$status = $?;
			return 1;
		}, LONG);
		if (!defined $status) {
			kill 'KILL', $pid;
			waitpid $pid, 0;
			return 'timeout';
		}
		return ($status >> 8, slurp("$out"));
	};
}

sub fails {
	my ($status, $why, @arguments) = @_;
	my ($code, $output, $errors) = ctl(@arguments);

	is($code, $status, "@arguments: exit $status");
	like($errors, qr/\Aprefork-ctl:\s[^\n]*$why[^\n]*\n\z/x, 'one line');
	return is($output, q{}, "@arguments: nothing on standard output");
}

sub usage {
	fails(64, qr/command\sis\smissing/x);
	fails(64, qr/unknown\scommand\s'dance'/x, 'dance');
	fails(64, qr/unknown\scommand/x, "sta\ntus");
	fails(64, qr/workers\stakes\sN/x, 'workers');
	fails(64, qr/workers\stakes\sN/x, 'workers', '2 3');
	fails(64, qr/too\smany/x, qw(reload now));
	fails(64, qr/too\smany/x, qw(workers 2 3));
	fails(64, qr/--json\sis\sfor\sstatus,\sconnections\sand\sdoctor/x, qw(--json reload));
	fails(64, qr/--output\sis\sfor\smetrics/x, qw(status --output x));
	fails(64, qr/--now\sis\sfor\sstop/x, qw(reload --now));
	fails(64, qr/exclude/, qw(-s x -P y status));
	fails(69, qr{/ctl[.]t:\sit\sis\snot\sa\ssocket$}x, '-s', "$FindBin::Bin/ctl.t", 'status');
	fails(64, qr/--timeout/, qw(--timeout soon status));
	my @help = ctl('help');
	is_deeply([ ctl(qw(help reload)) ], \@help, 'help of a command is the help');
	is_deeply(\@help, [ ctl('--help') ], 'help is --help');
	is($help[0], 0, 'help: exit status 0');
	like($help[1], qr/^[ ]{4}\Q$_\E$/mx, "help has $_")
	    for 'prefork-ctl upgrade', '/usr/share/doc/prefork/monitoring/grafana.json',
	    'kubectl apply -f /usr/share/doc/prefork/kubernetes/echo.yaml', '(no line: nothing is)';
	like($help[1], qr/^[A-Z].*\?[ ]{2}\Q$_\E$/mx, "help has a question for $_")
	    for 'status', 'doctor', 'why 2', 'connections --by source';
	is((ctl('--version'))[1], "prefork-ctl 1.0.0-rc1\n", '--version');
	like((ctl('--help'))[1], qr/^\s+status\s.*^\s+reload\s.*--timeout/msx, '--help');
	return;
}

# On a file system whose flock(2) fails, as on NFS, no lock is found.
sub stale_without_locks {
	my ($errno) = @_;

	SKIP: {
		skip 'seccomp(2) is not to be had', 2 if !can_deny();
		my ($code, undef, $errors) = run_cmd({ timeout => 30, setup => deny($errno, 'flock') },
			Prefork::program('prefork-ctl'), '-P', "$dir/stale", 'status');
		is($code, 69, "flock fails by $errno: exit status");
		like($errors, qr/is stale:/, 'the file is stale');
	}
	return;
}

# By name, socket and pid file; and without, where there is but one.
sub finding {
	my @others = glob "/run/prefork*/*.sock /tmp/prefork-$>/*.sock";
	fails(69, qr/no\sservice\sof\sthis\suser/x, 'status') if !@others;
	fails(69, qr/called 'none'/, qw(--name none status));
	fails(69, qr/none:\sNo\ssuch\sfile/x, '-s', "$dir/none", 'status');
	fails(69, qr/cannot\sread\spid\sfile/x, '-P', "$dir/none", 'status');
	fails(69, qr/is\sstale:/x, '-P', write_file("$dir/stale", $$), 'status');
	stale_without_locks($_) for EBADF, ENOLCK;
	fails(69, qr/no\spid/x, '-P', write_file("$dir/empty", q{}), 'status');
	fails(69, qr/connect/, '-s', 'x' x 200, 'status');

	my $one = Prefork->start(qw(--name one -w 1 -p 0 -4 --orphan-timeout 0), '-P', "$dir/pid");
	my $path = control_socket($one);
	for my $how ([ '-s', $path ], [qw(--name one)], [ '-P', "$dir/pid" ]) {
		my ($code, $output) = ctl(@{$how}, 'status');
		is($code, 0, "$how->[0] finds it");
		like($output, qr/\Aone:\srunning,\s1\sof\s1\sworkers\sserve/x, "$how->[0] shows the status of the service one");
	}
	kill 'KILL', $one->pid;
	$one->wait_exit;
	fails(69, qr/the\sservice\shas\sdied/x, '-s', $path, 'status');
	fails(69, qr/called 'one'/, qw(--name one status));
	unlink $path;

	my $elsewhere = Prefork->start('-P', "$dir/pid2", '--control', "$dir/else.sock",
		qw(-w 1 -p 0 -4));
	is((ctl('-P', "$dir/pid2", 'status'))[0], 0, '-P finds a socket at any place');
	is($elsewhere->stop, 0, 'exit status');
	my $deaf = Prefork->start('-P', "$dir/pid3", qw(--control off -w 1 -p 0 -4));
	fails(69, qr/no\scontrol\ssocket/x, '-P', "$dir/pid3", 'status');
	is($deaf->stop, 0, 'exit status');

	my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => "$dir/other.sock",
		Listen => 1);
	my $finish = ctl_later('-s', "$dir/other.sock", 'status');
	my $client = $socket->accept;
	syswrite $client, "220 mail.example ESMTP\r\n";
	close $client;
	my ($code, $output) = $finish->();
	is($code, 76, 'another program at the socket: exit 76');
	like($output, qr/this\sis\sno\scontrol\ssocket:\sit\ssays\s'220/x, 'the error quotes the other program');

	SKIP: {
		skip 'other services are running', 5 if @others;
		my @two = map { Prefork->start('--name', $_, qw(-w 1 -p 0 -4)) } qw(first second);
		my (undef, undef, $errors) = ctl('status');
		is((ctl('status'))[0], 64, 'two: exit 64');
		like($errors, qr/2\sservices\sare\srunning.*--name\s$_\s+pid\s\d+,\s\S+$_[.]sock$/msx,
			"two: the error lists $_") for qw(first second);
		is($two[0]->stop, 0, 'exit status');
		like((ctl('status'))[1], qr/\Asecond:\srunning/x, 'one: no option is needed');
		is($two[1]->stop, 0, 'exit status');
	}
	return;
}

sub describes {
	my $file = write_file("$dir/conf", 'workers 2', 'bind 127.0.0.1:0');
	my $server = Prefork->start('--name', 'shown', '-c', $file);
	my $s = status($server);
	my %pids = $server->workers;

	is_deeply([ sort keys %{$s} ],
		[qw(configuration deaths generation last_reload leaving library listeners log_level
		    name pid program protocol slots state totals uptime_seconds version workers
		    workers_configured workers_serving workers_stalled)], 'the JSON has these members');
	is("@{$s}{qw(name program version library state pid workers workers_serving)}",
		'shown prefork-echo 1.0.0-rc1 1.0.0-rc1 running ' . $server->pid . ' 2 2', 'of the service');
	is($s->{configuration}{file}, $file, 'the file');
	ok(!$s->{configuration}{changed_since}, 'as it was read');
	is_deeply($s->{last_reload}, { result => 'none', at => undef, seconds_ago => undef,
			text => q{}, changes => q{} }, 'no reload yet');
	my $port = $server->port;
	is_deeply($s->{listeners}, [ map { { kind => $_, address => "127.0.0.1:$port" } } qw(tcp udp) ],
		'the listeners');
	for my $slot (@{ $s->{slots} }) {
		is("$slot->{pid} $slot->{state} $slot->{restarts}",
			"$pids{ $slot->{slot} } serving 0", "slot $slot->{slot}");
		is($slot->{keeper}, keeper_of($slot->{pid}), "slot $slot->{slot} has the pid of its keeper");
		cmp_ok($slot->{accept_queue_max}, '>', 0, "slot $slot->{slot} has the length of its accept queue");
	}
	shows_queue($server);
	shows_restart($server);
	utime time + 10, time + 10, $file;
	ok(status($server)->{configuration}{changed_since}, 'a file that was written since');
	like((ctl('--name', 'shown', 'status'))[1], qr/changed\ssince:\sreload/x, 'also in words');
	like((ctl('--name', 'shown', 'dump'))[1],
		qr/^==\scustody.*^==\ssystem\nLinux\s.*^Max\sopen\sfiles/msx, 'dump');
	my $first = status($server)->{slots}[0]{pid};
	like((ctl('--name', 'shown', 'dump'))[1],
		qr/^==\sevents.*^0\s$first\s-[\d.]+\sworker\s$first\sstarted$/msx,
		'dump has the events of living workers');
	is($server->stop, 0, 'exit status');
	return;
}

# The worker's parent, or undef where it is the master's own child.
sub keeper_of {
	my ($pid) = @_;
	my ($parent) = slurp("/proc/$pid/status") =~ /^PPid:\s+(\d+)$/mx;

	return is_keeper($parent) ? $parent : undef;
}

# The clients in the queue of a worker that stands still are counted.
sub shows_queue {
	my ($server) = @_;
	my @workers = current_workers($server);

	kill 'STOP', @workers;
	my @clients = map { $server->tcp_socket } 1 .. 5;
	ok(wait_for(sub {
		my $n = 0;
		$n += $_->{accept_queue} for @{ status($server)->{slots} };
		return $n == 5;
	}), 'five wait in the accept queues');
	my $s = status($server);
	is_deeply([ map { $_->{state} } @{ $s->{slots} } ], [ map { 'stalled' } @workers ], 'their workers are stalled');
	my $all = @workers;
	is("@{$s}{qw(workers workers_serving workers_stalled)}", "$all 0 $all", 'stalled workers are not counted as serving');
	like((ctl('--name', 'shown', 'status'))[1], qr/running,\s0\sof\s$all\sworkers\sserve,\s$all\sstalled,/x, 'also in words');
	kill 'CONT', @workers;
	is(echo_once($_, 'x'), 'x', 'clients are served after the stalled workers were continued') for @clients;
	ok(wait_for(sub { status($server)->{workers_serving} == $all }, LONG), 'by workers that serve');
	ok(wait_for(sub { !grep { $_->{accept_queue} || defined $_->{served_by} }
			@{ status($server)->{slots} } }, LONG), 'no accept queue holds a client, and no sibling serves one');
	return;
}

sub shows_restart {
	my ($server) = @_;
	my ($pid) = current_workers($server);
	my ($slot) = grep { $_->{pid} == $pid } @{ status($server)->{slots} };

	kill 'KILL', $pid;
	ok(wait_for(sub {
		my $now = status($server)->{slots}[ $slot->{slot} ];
		return $now->{restarts} == 1 && $now->{state} eq 'serving' && $now->{pid} != $pid;
	}), 'a restart is counted');
	return;
}

sub reloads {
	my $file = write_file("$dir/conf", 'workers 2', 'bind 127.0.0.1:0');
	my $server = Prefork->start('--name', 'r', '-c', $file);
	my @reload = (qw(--name r reload));

	is_deeply([ ctl(@reload) ], [ 0, "reloaded: 2 workers\n", q{} ], 'reload');
	write_file($file, 'workers 3', 'idle-timeout 10', 'bind 127.0.0.1:0');
	is_deeply([ ctl(@reload) ],
		[ 0, "reloaded: 3 workers, changed: workers 2 -> 3, idle-timeout 300 -> 10\n", q{} ],
		'a reload prints the options that it changed');
	write_file($file, 'workers 1', 'idle-timeout 10', 'bind 127.0.0.1:0');
	is((ctl(@reload))[0], 0, 'one worker');
	write_file($file, 'workers 3', 'idle-timeout 10', 'bind 127.0.0.1:0');
	is_deeply([ (ctl(@reload))[ 0, 1 ] ], [ 0, "reloaded: 3 workers, changed: workers 1 -> 3\n" ],
		'a reload ends when the workers that are more serve');
	is(status($server)->{workers_serving}, 3, 'all three workers serve when the reload has ended');
	my $last = status($server)->{last_reload};
	is("$last->{result}: $last->{changes}", 'ok: workers 1 -> 3',
		'the status has the result and the changes of the reload');
	is(status($server)->{workers_serving}, 3, 'it is done by then');

	write_file($file, 'workers 3', 'colour blue');
	my ($code, $output, $errors) = ctl(@reload);
	my (undef, undef, $test) = run_cmd(Prefork::program(), '-t', '-c', $file);
	is($code, 1, 'a bad file: exit 1');
	is($errors =~ s/^prefork-ctl/prefork-echo/r, $test, 'with the error as -t prints it');
	is(status($server)->{last_reload}{result}, 'refused', 'the status has the result "refused"');
	like((ctl(qw(--name r status)))[1], qr/last\sreload:\s+\d+s\sago,\srefused:\s.*colour/x,
		'also in words');

	write_file($file, 'workers 3', 'bind 192.0.2.1:7');
	($code, $output, $errors) = ctl(@reload);
	is($code, 1, 'an address that the machine lacks: exit 1');
	like($errors, qr/did\snot\sstart:.*192[.]0[.]2[.]1:7.*nothing\shas\schanged$/x, 'the error names the address, and says that nothing has changed');
	is(status($server)->{last_reload}{result}, 'failed', 'the status has the result "failed"');
	is(status($server)->{last_reload}{changes}, q{}, 'nothing has changed');
	is(echo_once($server->tcp_socket, 'x'), 'x', 'it serves');
	is($server->stop, 0, 'exit status');
	return;
}

# It is remembered, and answered by its own result.
sub reload_during_reload {
	my $file = write_file("$dir/conf", 'workers 2', 'bind 127.0.0.1:0');
	my $server = Prefork->start('--name', 'rr', '-c', $file);
	my $port   = $server->port;

	# A booting worker that stands still holds the first one up.
	my $from   = $server->log_size;
	my $finish = ctl_later(qw(--name rr reload));
	my ($booting) = $server->wait_log(qr/started\sworker\s0\s\(\d+\)/x, undef, $from)
	    && (substr $server->log_text, $from) =~ /started\sworker\s0\s\((\d+)\)/x;
	kill 'STOP', $booting;
	write_file($file, 'workers 2', 'idle-timeout 7', 'bind 127.0.0.1:0');
	my $later = ctl_later(qw(--name rr reload));
	my $third = ctl_later(qw(--name rr reload));
	wait_for(sub { ((ctl(qw(--name rr dump)))[1] // q{}) =~ /^[34]\sclients$/mx });
	kill 'CONT', $booting;
	is_deeply([ $finish->() ], [ 0, "reloaded: 2 workers\n" ], 'the first');
	for ($later, $third) {
		my ($code, $output) = $_->();
		is($code, 0, 'a reload ordered during a reload succeeds');
		like($output, qr/idle-timeout\s300\s->\s7$|reloaded:\s2\sworkers$/x, 'a reload ordered during a reload has a result of its own');
	}
	is($server->stop, 0, 'exit status');
	return;
}

sub workers {
	my $server = Prefork->start(qw(--name w -w 1 -p 0 -4));

	for my $n (4, 2, 2, 3, 1) {
		my $plural = $n == 1 ? q{} : 's';
		is_deeply([ ctl(qw(--name w workers), $n) ], [ 0, "$n worker$plural\n", q{} ],
			"workers $n");
		my $s = status($server);
		is("$s->{workers} $s->{workers_serving}", "$n $n", 'all wanted workers serve when the command ends');
		is(grep({ $_->{pid} } @{ $s->{slots} }), $n, 'no other worker runs when the command ends');
	}
	fails(64, qr/too\slarge;\sit\stakes\s1\sto\s1024/x, qw(--name w workers 2000));
	is_deeply([ ctl(qw(--name w reload)) ], [ 0, "reloaded: 1 worker\n", q{} ],
		'a reload goes back to the configured number');
	# Two that want different numbers: the earlier one learns of it.
	my @worker = current_workers($server);
	my $socket = connect_control($server);
	kill 'STOP', $server->pid;
	my $other = connect_control($server);
	syswrite $socket, "1 workers 5\n";
	syswrite $other,  "1 workers 2\n";
	kill 'CONT', $server->pid;
	my @answers = sort map { scalar read_until_eof($_) } $socket, $other;
	like($answers[0], qr/\AERR\s75\sovertaken:\s\d\sworkers/x, 'the earlier of two is overtaken');
	like($answers[1], qr/\AOK\n\d\sworkers\n/x, 'the later one is carried out');
	is($server->stop, 0, 'exit status');
	return;
}

# A worker out of service and in again: nobody notices.
sub drains {
	my $server = Prefork->start(qw(--name dr -w 3 -p 0 -4));
	my @clients = map { $server->tcp_socket } 1 .. 12;
	my $drain = sub { ctl(qw(--name dr), @_) };
	my $serves = sub {
		my ($name) = @_;
		is(grep({ (echo_once($_, 'x') // q{}) eq 'x' } @clients, map { $server->tcp_socket } 1 .. 30),
			42, $name);
	};

	$serves->('before');
	like(join(q{ }, $drain->('drain', 1)), qr/\A0[ ]drained\sslot\s1(?::\sworker\s[02]\sserves\sits\squeue)?\n[ ]\z/x,
		'drain');
	my $slot = status($server)->{slots}[1];
	is("$slot->{state} " . ($slot->{pid} // 'none'), 'drained none', 'the status shows the slot as drained, without a worker');
	$serves->('the others serve');
	is(($drain->('drain', 1))[0], 0, 'a drain of a drained slot succeeds');
	is(($drain->('drain', 0))[0], 0, 'a second slot is drained');
	$serves->('one is left');
	my ($code, undef, $errors) = $drain->('drain', 2);
	is($code, 1, 'a drain of the last serving slot fails');
	like($errors, qr/no\sother\sworker\sserves/x, 'the error says that no other worker serves');
	is_deeply([ $drain->('undrain', 1) ], [ 0, "slot 1 serves\n", q{} ], 'undrain');
	$serves->('two');
	is(($drain->('reload'))[0], 0, 'a reload');
	is(status($server)->{workers_serving}, 3, 'all workers serve after a reload');
	$serves->('all');
	is(($drain->('drain', 2))[0], 0, 'drained');
	is(($drain->('workers', 3))[0], 0, 'an order of the number of workers succeeds');
	is(status($server)->{workers_serving}, 3, 'all workers serve after an order of their number');
	$serves->('at the end');
	is($server->stop, 0, 'exit status');
	return;
}

sub stops {
	for my $how ([], ['--now']) {
		my $server = Prefork->start(qw(--name s -w 2 -p 0 -4));
		my $idle   = $server->tcp_socket;
		is_deeply([ ctl(qw(--name s stop), @{$how}) ], [ 0, "stopped\n", q{} ], "stop @{$how}");
		is_deeply([ read_until_eof($idle) ], [ q{}, 'eof' ], 'the connections have ended');
		my $next = Prefork->start(qw(--name s -w 1 -p 0 -4));
		ok($next, 'the name is free at once');
		is($next->stop, 0, 'exit status');
		is($server->wait_exit, 0, 'exit status');
	}
	return;
}

# A graceful stop waits for a client that does not read; --now does not.
sub stop_under_load {
	my $server = Prefork->start(qw(--name load -w 2 -p 0 -4 --shutdown-timeout 60),
		qw(--receive-buffer 8k --send-buffer 8k));
	my $deaf = $server->tcp_socket;
	stuff($deaf);

	my $graceful = ctl_later(qw(--name load stop));
	ok($server->wait_log(qr/\]\sstopping$/mx), 'a graceful stop has begun');
	is(status($server)->{state}, 'stopping', 'the status is "stopping"');
	fails(1, qr/the\sservice\sis\sstopping/x, qw(--name load reload));
	fails(1, qr/the\sservice\sis\sstopping/x, qw(--name load workers 3));
	is_deeply([ ctl(qw(--name load stop --now)) ], [ 0, "stopped\n", q{} ], 'stop --now');
	is_deeply([ $graceful->() ], [ 0, "stopped\n" ], 'the graceful one is answered, too');
	is($server->wait_exit, 0, 'exit status');
	return;
}

sub stop_during_reload {
	my $server = Prefork->start(qw(--name sr -w 1 -p 0 -4));
	my $from   = $server->log_size;
	my $finish = ctl_later(qw(--name sr reload));
	my ($booting) = $server->wait_log(qr/started\sworker\s0\s\(\d+\)/x, undef, $from)
	    && (substr $server->log_text, $from) =~ /started\sworker\s0\s\((\d+)\)/x;

	kill 'STOP', $booting;
	my ($stop, $text) = ctl(qw(--name sr stop --now));
	is("$stop $text", "0 stopped\n", 'a stop during a reload');
	my ($code, $output) = $finish->();
	like("$code $output", qr/\A(?:1\s.*stopping|0\sreloaded:\s1\sworker)\n\z/x,
		'the reload is answered');
	is($server->wait_exit, 0, 'exit status');
	return;
}

sub log_commands {
	my $log = "$dir/log";
	my $server = Prefork->spawn('--name', 'l', '-l', $log, qw(-w 2 -p 0 -4));

	ok(wait_for(sub { slurp($log) =~ /\]\sready:\s.*\n/x }), 'a log file');
	rename $log, "$log.1" or die "rename: $!\n";
	is_deeply([ ctl(qw(--name l reopen)) ], [ 0, "reopened the log\n", q{} ], 'reopen');
	# The log's process writes it, a moment later.
	ok(wait_for(sub { -e $log && slurp($log) =~ /reopened\sthe\slog/x }), 'it is a new one');
	my ($port) = slurp("$log.1") =~ /\sready:.*:(\d+)/x;
	is((ctl(qw(--name l loglevel debug)))[0], 0, 'loglevel debug');
	ok(wait_for(sub {
		echo_once(tcp('127.0.0.1', $port), 'x');
		return slurp($log) =~ /\[worker-\d[^\n]*\sconnected\sfrom/x;
	}), 'the workers log more');
	is((ctl(qw(--name l loglevel warning)))[0], 0, 'loglevel warning');
	fails(64, qr/error,\swarning,\sinfo\sor\sdebug/x, qw(--name l loglevel loud));
	like((ctl(qw(--name l status)))[1], qr/^log\slevel:\s+warning$/mx, 'the status says so');
	mkdir "$dir/gone";
	is((ctl(qw(--name l stop)))[0], 0, 'stop');
	is($server->wait_exit, 0, 'exit status');

	my $other = Prefork->start(qw(--name l2 -w 1 -p 0 -4));
	like((ctl(qw(--name l2 reopen)))[1], qr/no\sfile/x, 'a log that is no file');
	is($other->stop, 0, 'exit status');
	return;
}

# A stopped master: the command ends all the same.
sub no_answer {
	my $server = Prefork->start(qw(--name n -w 1 -p 0 -4));

	kill 'STOP', $server->pid;
	# On another CPU it goes on for a moment.
	ok(wait_for(sub { slurp("/proc/${\$server->pid}/stat") =~ /\A\d+\s\([^)]*\)\sT/x }), 'the master is stopped');
	fails(75, qr/the\smaster\s\(${\$server->pid}\)\sis\sstopped;\slet\sit\sgo\son/x, qw(--name n status));
	kill 'CONT', $server->pid;
	is((ctl(qw(--name n status --timeout 20)))[0], 0, 'the master answers after it was continued');
	is($server->stop, 0, 'exit status');
	my $silent = IO::Socket::UNIX->new(Local => "$dir/silent", Listen => 1) or die "listen: $!\n";
	fails(75, qr/no\sanswer\swithin\s0[.]3\ss/x, '-s', "$dir/silent", qw(--timeout 0.3 status));
	return;
}

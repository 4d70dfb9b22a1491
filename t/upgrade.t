#!/usr/bin/perl

# Another program takes the master's place, in the same process, and no client
# notices; if it cannot, nothing has changed.

use strict;
use warnings;

use File::Copy ();
use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use IO::Socket::UNIX;
use POSIX ();
use Prefork;
use Prefork::Life;
use Prefork::Sockets qw(sockets_of);
use Prefork::Tools   qw(now);
use Test::More;
use Time::HiRes ();

use constant CLIENTS => 8;

my $dir = temp_dir();
my $n   = 0;

upgrades();
after_those_that_leave($_) for 0, 1;
as_a_daemon();
in_a_later_place();
by_control_socket();
clients_meanwhile();
a_signal_meanwhile();
while_not_all_serve();
with_listeners_that_stay();
refused($_->[0], sub { $_->[1]->(@_) }, $_->[2]) for
    [ 'removed', sub { unlink $_[0] }, qr/cannot\sexecute\sit:\sNo\ssuch\sfile/x ],
    [ 'not executable', sub { chmod 0600, $_[0] }, qr/cannot\sexecute\sit:\sPermission/x ],
    [ 'garbage', sub { program_file($_[0], "\0\1garbage") }, qr/cannot\sexecute\sit:\sExec/x ],
    [ 'does not like the options', sub { script($_[0], 'exec "$real" "$@" --unknown') },
	qr/exited[ ]with\sstatus\s64:\s.*unknown/x ],
    [ 'crashes in the test', sub { script($_[0], 'kill -SEGV $$') },
	qr/killed\sby\ssignal\s11/x ],
    [ 'hangs in the test', sub { script($_[0], 'exec sleep 60') },
	qr/took\slonger\sthan\s10\ss/x ];
comes_back('crashes at the start', 'kill -SEGV $$');
comes_back('exits at the start', 'exit 3');
goes_back('has another lock', 'exec "$real" "$@" --control "$0.other"');
goes_back('cannot start workers', 'exec "$real" "$@" -b 192.0.2.1:1');
not_even_taken_over();
what_it_needs();
done_testing();

# A server that runs its own copy of the program: the server and the copy.
sub first {
	my (@options) = @_;
	my $path = "$dir/" . ++$n;

	File::Copy::copy(Prefork::program(), $path) or die "$path: $!\n";
	chmod 0755, $path;
	my $server = Prefork->start({ program => $path }, '-w', 2, '-p', 0, '-4',
		'--control', "$path.sock", @options);
	return ($server, $path) if $server->port;
	die "no port\n";
}

# The same with a port that does not change; another test may take it before.
sub fixed {
	my (@options) = @_;
	my ($server)  = first();
	my $port      = $server->port;
	is($server->stop, 0, 'a port that is free');
	my @fixed = eval { first('-p', $port, @options) };
	return @fixed || $n > 100 ? @fixed : fixed(@options);
}

sub program_file {
	my ($path, $text) = @_;

	write_file($path, $text);
	chmod 0755, $path;
	return;
}

# A program that ends -t with 0, or with the given commands.
sub script {
	my ($path, $then, $test) = @_;
	my $real = Prefork::program();

	return program_file($path, "#!/bin/sh\nreal='$real'\n"
		. (defined $test ? "case \" \$* \" in *' -t '*) $test;; esac\n" : q{}) . $then);
}

sub served {
	my ($name, @sockets) = @_;

	is(scalar(grep { (echo_once($_, $name) // q{}) eq $name } @sockets),
		scalar @sockets, "$name: served");
	return;
}

sub keepers {
	my @children = children(@_);

	return scalar @children;
}

# The signals that a worker ignores and catches.
sub signals_of {
	my ($server) = @_;
	my %workers = $server->workers;

	return join q{ }, slurp("/proc/$workers{0}/status") =~ /^Sig(?:Ign|Cgt):\s+(\w+)/gmx;
}

sub accepted {
	my ($server, $path) = @_;
	my (undef, $metrics) =
	    run_cmd(Prefork::program('prefork-ctl'), '-s', "$path.sock", 'metrics');
	my $sum = 0;

	$sum += $_ for $metrics =~ /^prefork_\w*accepted\w*\{[^}]*\}\s(\d+)/gmx;
	return $sum;
}

# The seconds since the service's start, as its status says.
sub uptime {
	my ($path) = @_;
	my (undef, $status) =
	    run_cmd(Prefork::program('prefork-ctl'), '-s', "$path.sock", 'status', '--json');

	return $status =~ /"uptime_seconds":\s*([\d.]+)/x ? $1 : -1;
}

# New workers have come, and the old ones have gone.
sub renewed {
	my ($server, @old) = @_;

	return ok(wait_for(sub { !grep { $server->owns($_) } @old }, 30), 'the old workers end');
}

sub upgrades {
	my ($server, $path) = fixed();
	my @clients = map { $server->tcp_socket } 1 .. CLIENTS;
	my $udp     = $server->udp_socket;
	my $pid     = $server->pid;

	served('before', @clients, $udp);
	my $signals  = signals_of($server);
	my $accepted = accepted($server, $path);
	cmp_ok($accepted, '>=', CLIENTS, 'connections are counted');
	my $uptime = uptime($path);
	my $read   = now();
	for my $time (1 .. 3) {
		my $from = $server->log_size;
		my %old  = $server->workers;
		unlink $path;
		File::Copy::copy(Prefork::program(), $path) or die "$path: $!\n";
		chmod 0755, $path;
		my $inode = (stat $path)[1];
		$server->signal('USR2');
		ok($server->wait_log(qr/\]\supgraded:\sversion/x, undef, $from), "upgrade $time");
		is($server->pid, $pid, 'the same process');
		is((stat "/proc/$pid/exe")[1], $inode, 'with the new program');
		like(slurp("/proc/$pid/comm"), qr/^\d+$/x, 'that has the name of its file');
		served("after $time", @clients, $udp);
		# One that leaves may still accept, and does not count it for the new master.
		renewed($server, values %old);
		served("later, $time", $server->tcp_socket);
		is(signals_of($server), $signals, 'the same signals are ignored and caught');
		cmp_ok(accepted($server, $path), '>=', $accepted + $time, 'the counters go on');
		my $passed = now() - $read;
		cmp_ok(uptime($path) - $uptime, '>=', $passed - 0.01, 'the time since the start goes on');
	}
	is(count($server->log_text, qr/has\sdied/x), 0, 'nobody takes it for a death');
	is(count($server->log_text, qr/took[ ]over\s2\sworkers\sof\sthe\sprogram\sbefore/x), 3,
		'all workers were taken over');
	ok(wait_for(sub { keepers($pid) == 2 }), 'no process is left over');
	close $_ for @clients;
	is($server->stop, 0, 'exit status');
	ok(!-e "$path.sock", 'the socket is removed');
	return;
}

# A worker that leaves hands its connections over before it has no master any more.
sub after_those_that_leave {
	my ($late)   = @_;
	my ($server) = fixed();
	my @clients  = map { $server->tcp_socket } 1 .. CLIENTS;
	my $leaves   = { $server->workers }->{0};
	my $waits    = qr/waiting[ ]up[ ]to\s2\ss\sfor\s\d\sworkers?\sto\sleave/x;
	my $taken    = qr/took[ ]over[ ]worker\s0\s\($leaves\)\sof\s.*\sbefore,\swhich\sleaves/x;
	my ($done, $ended) = (qr/\]\supgraded:/x, qr/worker\s0\s\($leaves\)\shas\sended/x);

	served('before', @clients);
	kill 'STOP', $leaves;
	$server->signal('HUP');
	ok($server->wait_log(qr/\]\sreloaded:/x), 'a reload');
	$server->signal('USR2');
	ok($server->wait_log($late ? $done : $waits), $late ? 'upgraded without waiting on' : 'waits');
	kill 'CONT', $leaves;
	ok($server->wait_log($late ? $taken : $done), $late ? 'taken over later' : 'then upgraded');
	ok($server->wait_log($ended), 'it has left');
	like($server->log_text, qr/$ended.*upgrading:\sexecuting/xs, 'before that') if !$late;
	served('after', @clients);
	is($server->stop, 0, 'exit status');
	return;
}

# A listener that was opened anew is the last of its group, so that those of a slot
# that is removed afterwards cannot be closed.  They go over to the next master.
sub with_listeners_that_stay {
	my ($server) = fixed('-w', 3);
	my @clients  = map { $server->tcp_socket } 1 .. CLIENTS;
	my %worker   = $server->workers;
	my $from     = $server->log_size;

	served('before', @clients);
	for my $socket (grep { $_->{kind} eq 'tcp' && $_->{state} eq 'listening' } sockets_of($worker{1})) {
		shutdown $socket->{handle}, 2 or die "shutdown: $!\n";
	}
	ok($server->wait_log(qr{opens\sit\sanew.*started\sworker\s1}sx, undef, $from), 'one is opened anew');
	$server->signal('TTOU');
	ok($server->wait_log(qr/listeners\sof\sremoved\sslots\sstay\sopen/x, undef, $from), 'others stay');
	$server->signal('USR2');
	ok($server->wait_log(qr/\]\supgraded:\sversion/x, undef, $from), 'upgraded');
	like($server->log_text, qr/cannot\sbe\sclosed;\sstarting\sworkers/x, 'workers take them over');
	served('after', @clients, map { $server->tcp_socket } 1 .. CLIENTS);
	is($server->stop, 0, 'exit status');
	return;
}

# With a pid file and its lock, which go over, and by -s.
sub as_a_daemon {
	my ($server, $path) = fixed();
	my $port = $server->port;
	my $file = "$path.pid";
	my @options = ('-P', $file, '-b', "127.0.0.1:$port", '-w', 1, '-D', '-l', "$path.log",
		'--control', "$path.d.sock");

	$server->stop;
	is((run_cmd($path, @options))[0], 0, 'a daemon');
	my $client = tcp('127.0.0.1', $port);
	served('before', $client);
	my $pid = slurp($file);
	my @written = map { (Time::HiRes::stat($_))[9] } $file, "$path.d.lock";
	is((run_cmd($path, '-P', $file, '-s', 'upgrade'))[0], 0, '-s upgrade');
	ok(wait_for(sub { slurp("$path.log") =~ /upgraded:/x }), 'upgraded');
	served('after', $client);
	is(slurp($file), $pid, 'the pid file stays');
	is_deeply([ map { (Time::HiRes::stat($_))[9] } $file, "$path.d.lock" ], \@written,
		'pid file and lock are not written again');
	is((run_cmd($path, '-P', $file, '-s', 'stop'))[0], 0, '-s stop');
	ok(wait_for(sub { !-e $file }), 'stops the new one');
	return;
}

# The first place for lock and socket cannot be used at the start, but later.
sub in_a_later_place {
	my ($probe) = first();
	my $port = $probe->port;

	is($probe->stop, 0, 'a port that is free');
	mkdir "$dir/run";
	chmod 0777, "$dir/run";
	my $server = Prefork->start({ env => { RUNTIME_DIRECTORY => "$dir/run" } },
		'-w', 1, '-p', $port, '-4', '--name', "later-$$");
	my $client = $server->tcp_socket;
	served('in another place', $client);
	is_deeply([ glob "$dir/run/*" ], [], 'the first place has no file of the new service');
	chmod 0700, "$dir/run";
	$server->signal('USR2');
	ok($server->wait_log(qr/upgraded:/x), 'the new program finds it');
	served('there', $client);
	is($server->stop, 0, 'exit status');
	return;
}

sub by_control_socket {
	my ($server, $path) = fixed();
	my $ctl    = Prefork::program('prefork-ctl');
	my $client = $server->tcp_socket;

	served('before', $client);
	my ($status, $out, $err) = run_cmd($ctl, '-s', "$path.sock", 'upgrade');
	is($status, 0,            'prefork-ctl upgrade');
	is($out, "upgraded\n", 'waits for the end');
	in_charge("$path.sock", 'the new program');
	script($path, 'exit 1', 'echo broken; exit 78');
	($status, $out, $err) = run_cmd($ctl, '-s', "$path.sock", 'upgrade');
	is($status, 1, 'a refusal');
	like($err, qr/upgrade\srefused:.*:\sbroken;\snothing\shas\schanged/x, 'prefork-ctl prints the refusal, and the output of the new program');
	script($path, 'exec "$real" "$@" -b 192.0.2.1:1', 'exit 0');
	($status, $out, $err) = run_cmd($ctl, '-s', "$path.sock", 'upgrade');
	is($status, 1, 'a failure');
	like($err, qr/the\sold\sone\sis\sback/x, 'prefork-ctl says that the old program is back');
	in_charge("$path.sock", 'the old program');
	script($path, 'kill -KILL $$', 'exit 0');
	($status, $out, $err) = run_cmd($ctl, '-s', "$path.sock", 'upgrade');
	is($status, 1, 'a program that is killed');
	like($err, qr/the\sold\sone\sis\sback/x, 'prefork-ctl says that the old program is back after a kill');
	in_charge("$path.sock", 'the stand-in');
	served('after all', $client);
	close $client;
	run_cmd(Prefork::program('prefork-ctl'), '-s', "$path.sock", 'stop');
	ok($server->wait_log(qr/stopping.*(?:has\sended.*){2}/xs), 'the stand-in stops');
	return;
}

# The answer to an upgrade comes when that master serves.
sub in_charge {
	my ($path, $name) = @_;
	my (undef, $out) = run_cmd(Prefork::program('prefork-ctl'), '-s', $path, 'status');

	return like($out, qr/:\srunning,\s2\sof\s2\sworkers\sserve.*last\sreload:\s+\d/xs,
		"$name is in charge when the answer comes");
}

# Clients of the control socket are answered by one program or the other, or told to
# try again, whatever comes of the upgrade.
sub clients_meanwhile {
	my ($server, $path) = fixed();
	my @upgrades = ([ 0, 'exec "$real" "$@"' ], [ 1, 'exec "$real" "$@" -b 192.0.2.1:1' ],
		[ 1, 'kill -KILL $$' ]);

	pipe my $end, my $going or die "pipe: $!\n";
	pipe my $results, my $tell or die "pipe: $!\n";
	my $pid = fork // die "fork: $!\n";
	if ($pid == 0) {
		close $going;
		my %seen;
		$seen{ ask("$path.sock") }++ until IO::Select->new($end)->can_read(0);
		syswrite $tell, join q{ }, map { "$_=$seen{$_}" } sort keys %seen;
		POSIX::_exit(0);
	}
	close $tell;
	for (@upgrades) {
		my ($status, $then) = @{$_};
		script($path, $then, 'exit 0');
		is((run_cmd(Prefork::program('prefork-ctl'), '-s', "$path.sock", 'upgrade'))[0], $status,
			"an upgrade among clients: $then");
	}
	close $going;
	my $seen = do { local $/ = undef; <$results> };
	waitpid $pid, 0;
	like($seen, qr/\A(?:ERR[ ]75=\d+[ ])?OK=\d+\z/x, 'each client has an answer');
	run_cmd(Prefork::program('prefork-ctl'), '-s', "$path.sock", 'stop');
	ok($server->wait_log(qr/stopping.*(?:has\sended.*){2}/xs), 'stopped');
	return;
}

# The first word of the answer, or the error.
sub ask {
	my ($path) = @_;
	my $socket = IO::Socket::UNIX->new(Peer => $path) or return "connect:$!";
	my $answer = q{};

	local $SIG{PIPE} = 'IGNORE';
	syswrite $socket, "1 status\n";
	while (my $n = sysread $socket, $answer, 65_536, length $answer // 0) { }
	return $answer =~ /\A(OK|ERR[ ]\d+)/x ? $1 : "nothing:$!";
}

# The new program obeys the last order to the old one.
sub a_signal_meanwhile {
	my ($server, $path) = fixed();

	script($path, 'kill -TERM $$; exec "$real" "$@"', 'exit 0');
	$server->signal('USR2');
	ok(wait_for(sub { $server->ended }), 'SIGTERM meanwhile stops the service');
	ok(wait_for(sub { !$server->workers_alive }), 'all of it');
	return;
}

# Sockets of a slot too many are waited for.
sub while_not_all_serve {
	my ($server) = fixed();
	my $client = $server->tcp_socket;

	served('before', $client);
	$server->signal('TTIN');
	ok($server->wait_log(qr/started\sworker\s2/x), 'one more');
	settled_workers($server, 3);
	$server->signal('HUP');
	$server->signal('USR2');
	ok($server->wait_log(qr/upgrading:\stesting.*reloaded:.*upgraded:/xs, 90),
		'during a reload, and after it');
	served('after', $client, $server->tcp_socket);
	close $client;
	is($server->stop, 0, 'exit status');
	return;
}

sub refused {
	my ($name, $break, $why) = @_;
	my ($server, $path) = first();
	my $client = $server->tcp_socket;
	my $pid    = $server->pid;

	served('before', $client);
	$break->($path);
	my $from = $server->log_size;
	$server->signal('USR2');
	ok($server->wait_log(qr/upgrade\srefused:\s.*$why.*;\snothing\shas\schanged/x, 20, $from),
		"a program that $name");
	served($name, $client, $server->tcp_socket);
	is($server->pid, $pid, 'the same process');
	ok(wait_for(sub { keepers($pid) == 2 }, 10), 'with nothing left over')
	    or diag(join q{ }, children($pid));
	$server->signal('HUP');
	ok($server->wait_log(qr/reloaded/x), 'the same process reloads at SIGHUP');
	close $client;
	is($server->stop, 0, 'exit status');
	return;
}

# The stand-in is the master then.
sub comes_back {
	my ($name, $then) = @_;
	my ($server, $path) = fixed();
	my @clients = map { $server->tcp_socket } 1 .. CLIENTS;
	my $port    = $server->port;
	my $old     = $server->pid;

	served('before', @clients);
	script($path, $then, 'exit 0');
	$server->signal('USR2');
	ok($server->wait_log(qr/the\sold\sone\sis\sthe\smaster\sagain.*reloaded:/xs), "it $name");
	served($name, @clients, tcp('127.0.0.1', $port));
	ok($server->pid != $old, 'the stand-in is the master');
	script($path, 'exec "$real" "$@"', 'exit 0');
	my $from = $server->log_size;
	$server->signal('USR2');
	ok($server->wait_log(qr/upgraded:/x, undef, $from), 'the stand-in is replaced by the mended program');
	served("$name and is mended", @clients);
	close $_ for @clients;
	run_cmd(Prefork::program('prefork-ctl'), '-s', "$path.sock", 'stop');
	ok($server->wait_log(qr/stopping.*(?:has\sended.*){2}/xs), 'the mended program stops');
	return;
}

# It is killed while its stand-in has everything.
sub not_even_taken_over {
	my ($server, $path) = fixed();
	my $client = $server->tcp_socket;
	my $pid    = $server->pid;

	served('before', $client);
	script($path, 'exec sleep 1000', 'exit 0');
	$server->signal('USR2');
	ok(wait_for(sub { slurp("/proc/$pid/comm") =~ /sleep/x }), 'a new program that hangs');
	served('meanwhile', $client, $server->tcp_socket);
	my %workers = $server->workers;
	kill 'KILL', values %workers;
	served('workers killed meanwhile', $client, $server->tcp_socket);
	kill 'KILL', $pid;
	ok($server->wait_log(qr/the\sold\sone\sis\sthe\smaster\sagain.*reloaded:/xs), 'is killed');
	served('after', $client);
	close $client;
	run_cmd(Prefork::program('prefork-ctl'), '-s', "$path.sock", 'stop');
	ok($server->wait_log(qr/stopping.*(?:has\sended.*){2}/xs), 'the old program stops');
	return;
}

# It finds out by itself, and executes the old program.
sub goes_back {
	my ($name, $then) = @_;
	my ($server, $path) = fixed();
	my @clients = map { $server->tcp_socket } 1 .. CLIENTS;
	my $pid     = $server->pid;

	served('before', @clients);
	script($path, $then, 'exit 0');
	$server->signal('USR2');
	ok($server->wait_log(qr/upgrade\sfailed:.*executing\sthe\sold\sprogram.*(?:reloaded:|which\sleaves.*ready:)/xs),
		"it $name");
	served($name, @clients, $server->tcp_socket);
	is($server->pid, $pid, 'the old one, in the same process');
	script($path, 'exec "$real" "$@"', 'exit 0');
	my $from = $server->log_size;
	$server->signal('USR2');
	ok($server->wait_log(qr/upgraded:/x, undef, $from), 'can be replaced');
	served("$name and is mended", @clients);
	close $_ for @clients;
	is($server->stop, 0, 'exit status');
	return;
}

sub what_it_needs {
	for ([ 'a control socket', '--control', 'off' ], [ 'keepers', '--keeper', 'off' ],
		[ 'a time to wait', '--orphan-timeout', 0 ]) {
		my ($what, @options) = @{$_};
		my ($server) = first(@options);
		$server->signal('USR2');
		ok($server->wait_log(qr/upgrade\srefused:\s.*\Q$what\E/x), "it needs $what");
		is($server->stop, 0, 'exit status');
	}
	return;
}

#!/usr/bin/perl

# A master that dies costs nobody: its workers serve on, established connections
# and new ones, until the next master of the same name takes them over.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::UNIX;
use POSIX ();
use Prefork;
use Prefork::Life;
use Prefork::Tools qw(pause);
use Test::More;

use constant CLIENTS => 8;

my $dir = temp_dir();

twice();
another_configuration();
killed_meanwhile();
without_keepers();
hung_meanwhile();
hung_for_good();
all_hung();
failing_start();
nobody_comes();
a_stopped_master();
seen_and_ended();
all_stopped(@{$_}) for [ 6, 6 ], [ 3, 1 ];
never_continued();
from_another_user();
with_another_user();
done_testing();

# A server with a port of its own that its next master has, too.
sub first {
	my (@options) = @_;
	my $server = Prefork->start('-w', 2, '-p', 0, '-4', '--control', 'off');
	my $port = $server->port;

	is($server->stop, 0, 'a port that is free');
	return (start($port, @options), $port);
}

sub start {
	my ($port, @options) = @_;

	return Prefork->start('-w', 3, '-b', "127.0.0.1:$port", '--control', "$dir/$port.sock",
		@options);
}

# All but so many, which stand still, say that they serve on.
sub kill_master {
	my ($server, $still) = @_;
	my $count = $server->workers_alive - ($still // 0);
	my $from  = $server->log_size;

	kill 'KILL', $server->pid;
	ok($server->wait_log(qr/(?:serving\son\sfor\s\d+\ss.*){$count}/xs, 20, $from),
		'the master is killed, and the workers serve on');
	return;
}

sub served {
	my ($name, @sockets) = @_;

	is(scalar(grep { echo_once($_, $name) eq $name } @sockets), scalar @sockets, $name);
	return;
}

sub gone {
	my ($server, $name) = @_;

	return ok(wait_for(sub { !$server->workers_alive }, 30), $name);
}

sub twice {
	my ($server, $port) = first();
	my @clients = map { $server->tcp_socket } 1 .. CLIENTS;

	served('before', @clients);
	for my $time (1 .. 2) {
		my $old = $server;
		kill_master($old);
		served("without a master, $time", @clients, tcp('127.0.0.1', $port));
		$server = start($port);
		like($server->log_text, qr/took[ ]over\s3\sworkers/x, 'the next master takes three workers over');
		ok($server->wait_log(qr/\]\sreloaded:\s3\sworkers/x), 'the next master replaces the workers that it took over');
		gone($old, 'the orphans end');
		served("with the next one, $time", @clients, tcp('127.0.0.1', $port));
	}
	is($server->stop, 0, 'exit status');
	return;
}

sub another_configuration {
	my ($old, $port) = first();
	my @clients = map { $old->tcp_socket } 1 .. CLIENTS;

	served('before', @clients);
	kill_master($old);
	my $server = Prefork->start('-w', 2, '-b', "127.0.0.1:$port", '-b', "127.0.0.2:$port",
		'--control', "$dir/$port.sock");
	ok($server->wait_log(qr/\]\sreloaded:\s2\sworkers/x), 'fewer workers, one address more');
	ok($server->wait_log(qr/worker\s2\s\(\d+\)\sis\sleaving/x), 'the surplus orphan leaves');
	gone($old, 'the orphans end');
	unlike($server->log_text, qr/failed\sto\sstart/x, 'no worker fails to open the new address');
	served('as before', @clients, map { tcp($_, $port) } '127.0.0.1', '127.0.0.2');
	is($server->stop, 0, 'exit status');
	return;
}

sub killed_meanwhile {
	my ($old, $port) = first();
	my @clients = map { $old->tcp_socket } 1 .. CLIENTS;

	served('before', @clients);
	kill_master($old);
	kill 'KILL', values %{ { $old->workers } };
	served('an orphan is killed', @clients);
	my $server = start($port);
	gone($old, 'the killed orphans are replaced');
	served('with the next master', @clients);
	is($server->stop, 0, 'exit status');
	return;
}

# The keepers die, and their master before it notices: the workers' parent is no
# keeper of theirs any more.
sub without_keepers {
	my ($old, $port) = first();
	my @clients = map { $old->tcp_socket } 1 .. CLIENTS;
	my %worker  = $old->workers;

	served('before', @clients);
	$old->signal('STOP');
	kill 'KILL', map { keeper_of($_) } values %worker;
	kill_master($old);
	served('keepers and master are dead', @clients);
	my $server = start($port);
	like($server->log_text, qr/took[ ]over\s3\sworkers/x, 'the next master takes workers over that have no keeper');
	gone($old, 'the workers without a keeper end');
	served('with the next master', @clients);
	is($server->stop, 0, 'exit status');
	return;
}

sub keeper_of {
	my ($pid) = @_;

	return (slurp("/proc/$pid/stat") =~ /\)\s\S\s(\d+)/x)[0];
}

# The master dies while one of its three workers stands still, and the next one
# serves: it, the old one, the worker's pid and the clients.
sub one_stands_still {
	my ($old, $port) = first(@_);
	my @clients = map { $old->tcp_socket } 1 .. CLIENTS;
	my ($still) = values %{ { $old->workers } };

	served('before', @clients);
	kill 'STOP', $still;
	kill_master($old, 1);
	return (start($port), $old, $still, @clients);
}

# It knocks when the next master serves already: another worker has its slot then,
# and takes its connections.
sub hung_meanwhile {
	my ($server, $old, $still, @clients) = one_stands_still('--worker-timeout', 0);

	like($server->log_text, qr/took[ ]over\s2\sworkers/x, 'the workers that do not stand still are taken over');
	ok($server->wait_log(qr/\]\sreloaded:\s3\sworkers/x), 'the next master has three workers of its own');
	kill 'CONT', $still;
	ok($server->wait_log(qr/took[ ]over\sworker\s\d\s\($still\).*later/x), 'the worker that stood still is taken over late');
	gone($old, 'the late worker ends');
	served('with the next master', @clients);
	is(() = $old->log_text =~ /worker-\d\s\($still\)\]\sthe\smaster\shas\sdied/gx, 1,
		'the late worker has logged the death of its master once');
	is($server->stop, 0, 'exit status');
	return;
}

# Its keeper sees it, since the master is dead; the successor comes late.
sub hung_for_good {
	my ($server, $old, $still, @clients) = one_stands_still('--worker-timeout', 1);

	ok($old->wait_log(qr/keeper-\d.*worker\s\d\s\($still\)\shangs,\sand\shas\sno\smaster/x),
		'its keeper kills it');
	gone($old, 'its successor is taken over');
	served('with the next master', @clients);
	is($server->stop, 0, 'exit status');
	return;
}

# Longer than a new master waits for knocks.
sub all_hung {
	my ($old, $port) = first('--worker-timeout', 2);
	my @clients = map { $old->tcp_socket } 1 .. CLIENTS;
	my @workers = values %{ { $old->workers } };

	served('before', @clients);
	kill 'STOP', @workers;
	kill_master($old, scalar @workers);
	my $server = start($port);
	like($server->log_text, qr/a\sworker\sof\sa\smaster\sthat\shas\sdied,\swhich\sdoes\snot\sanswer/x,
		'the next master waits for the keepers');
	gone($old, 'the workers that stood still end');
	served('with the next master', @clients, tcp('127.0.0.1', $port));
	is($server->stop, 0, 'exit status');
	return;
}

# A keeper that is stopped, too, is continued: only then it can see that its worker
# hangs. Without a limit for that nothing is waited for, and the pid is named.
sub all_stopped {
	my ($before, $after) = @_;
	my ($old, $port) = first('-w', $before, '--worker-timeout', 2);
	my @clients = map { $old->tcp_socket } 1 .. CLIENTS;
	my @workers = values %{ { $old->workers } };

	served('before', @clients);
	kill 'STOP', map { (keeper_of($_), $_) } @workers;
	kill_master($old, scalar @workers);
	# Each of them gets the time to be taken over, one after the other.
	my $server = start($port, '-w', $after, '--worker-timeout', 1);
	is(count($server->log_text, qr/keeper\sof\sa\sworker\swhose\smaster\shas\sdied,\swas\sstopped:\scontinued/x),
		scalar @workers, 'stopped keepers are continued');
	gone($old, 'the continued keepers replace their workers');
	served('with the next master', @clients, tcp('127.0.0.1', $port));
	is($server->stop, 0, 'exit status');
	return;
}

sub never_continued {
	my ($old, $port) = first('--worker-timeout', 0);
	my @workers = values %{ { $old->workers } };
	my @stopped = map { (keeper_of($_), $_) } @workers;
	kill 'STOP', @stopped;
	kill_master($old, scalar @workers);
	my $second = Prefork->spawn('-w', 3, '-b', "127.0.0.1:$port",
		'--control', "$dir/$port.sock", '--worker-timeout', 0);
	is($second->wait_exit, 75, 'without --worker-timeout: exit 75');
	like($second->log_text, qr/in\suse\sby\sprocess\s(\d+).*keeper.*its\smaster\shas\sdied.*it\sis\sstopped:[ ]see[ ]kill\s-CONT/x,
		'the keeper and the cure are named');
	kill 'CONT', @stopped;
	my $server = start($port);
	gone($old, 'a start works after kill -CONT');
	is($server->stop, 0, 'exit status');
	return;
}

# The next master has one worker more, which cannot start, after the takeover.
sub failing_start {
	my ($old, $port) = first();
	my @clients = map { $old->tcp_socket } 1 .. CLIENTS;

	served('before', @clients);
	kill_master($old);
	my $second = Prefork->spawn('-w', 4, '-b', "127.0.0.1:$port", '-b', "192.0.2.1:$port",
		'--control', "$dir/$port.sock");
	is($second->wait_exit, 75, 'a start fails: exit 75');
	like($second->log_text, qr/took[ ]over\s3\sworkers.*\scannot\sstart:.*192[.]0[.]2[.]1/xs,
		'the start fails after it has taken the workers over');
	like($second->log_text, qr/3\sworkers\sof\sthe\smaster\sbefore\sserve\son/x, 'the log says that the workers serve on');
	ok(-S "$dir/$port.sock", 'the control socket stays');
	served('meanwhile', @clients);
	my $server = start($port);
	ok($server->wait_log(qr/took[ ]over\s3\sworkers/x), 'the next start takes them over');
	gone($old, 'the orphans end');
	served('with the next master', @clients);
	is($server->stop, 0, 'exit status');
	ok(!-e "$dir/$port.sock", 'the stop removes the control socket');
	return;
}

sub nobody_comes {
	my ($server) = first('--orphan-timeout', 1);
	my $client = $server->tcp_socket;

	served('before', $client);
	kill_master($server);
	ok($server->wait_log(qr/no\snew\smaster\scame/x), 'no new master');
	gone($server, 'they end');
	($server) = first('--orphan-timeout', 0);
	kill 'KILL', $server->pid;
	gone($server, '--orphan-timeout 0: at once');
	return;
}

# Another user's master gets nothing of root's, and does not harm it.
sub from_another_user {
 SKIP: {
		skip 'needs root', 1 if !is_root();
		my $as = as_nobody() or skip 'this root cannot become another user', 1;
		my ($old, $port) = first();
		my @clients = map { $old->tcp_socket } 1 .. CLIENTS;
		my $public  = temp_dir();
		chmod 0755, $public;
		served('before', @clients);
		kill_master($old);
		my ($code, undef, $err) = run_cmd(@{$as}, public_program($public), '-w', 3, '-b', "127.0.0.1:$port");
		is($code, 75, 'another user cannot start it: exit 75');
		like($err, qr/in\suse\sby/x, 'the error says that the address is in use');
		served('meanwhile', @clients);
		my $server = start($port);
		like($server->log_text, qr/took[ ]over\s3\sworkers/x, 'a start of the same user takes the workers over');
		gone($old, 'the orphans end');
		served('with the next master', @clients);
		is($server->stop, 0, 'exit status');
	}
	return;
}

# Root's workers were another user's, and the next start does not say so.
sub with_another_user {
 SKIP: {
		skip 'needs root', 1 if !is_root();
		skip 'this root cannot become another user', 1 if !as_nobody();
		my ($old, $port) = first('--user', 'nobody');
		my $client = $old->tcp_socket;
		served('before', $client);
		kill_master($old);
		my $second = Prefork->spawn('-w', 3, '-b', "127.0.0.1:$port", '--control', "$dir/$port.sock");
		is($second->wait_exit, 75, 'without --user: exit 75');
		like($second->log_text, qr/its\smaster\shas\sdied,\sand\sits\suser,\s\d+,.*start\sthe\sservice[ ]with\sthe\s--user/x,
			'the error has the cause, and --user as the cure');
		unlike($second->log_text, qr/waiting\suntil/x, 'the start does not wait before it fails');
		served('meanwhile', $client);
		my $server = start($port, '--user', 'nobody');
		gone($old, 'a start with --user replaces the orphans');
		served('with the next master', $client);
		is($server->stop, 0, 'exit status');
	}
	return;
}

# By prefork-ctl, which nobody answers.
sub seen_and_ended {
	my ($server, $port) = first();
	my $client = $server->tcp_socket;
	my @ctl    = (Prefork::program('prefork-ctl'), '-s', "$dir/$port.sock");

	served('before', $client);
	kill_master($server);
	ok(wait_for(sub { $server->ended }), 'it has closed its socket');
	my %worker = $server->workers;
	my ($code, $out, $err) = run_cmd(@ctl, 'status');
	is($code, 69, 'status: the service has died');
	is_deeply(
		[ sort grep { $out =~ /^worker\s$_\s\($worker{$_}\)\sserves\son:\sorphan\ssince\s[\d:]+\suntil\s[\d:]+$/mx } 0 .. 2 ],
		[ 0 .. 2 ],
		'status shows each worker as an orphan that serves'
	) or diag($out);
	like($err, qr/has\sdied;\sstart\sit\sagain/x, 'status advises to start the service again');
	served('meanwhile', $client);
	close $client;
	is_deeply([ run_cmd(@ctl, 'stop') ], [ 0, "ended 3 workers of a master that had died\n", q{} ],
		'stop ends them');
	gone($server, 'the workers end at once');
	($code, undef, $err) = run_cmd(@ctl, 'stop');
	is($code, 69, 'stop without a worker: exit status 69');
	like($err, qr/the\sservice\shas\sdied/x, 'stop without a worker: the error says that the service has died');
	unlike($server->log_text, qr/cannot\ssend/x, 'no worker tried to send a message to the dead master');
	among_strangers("$dir/$port.sock", @ctl);
	return;
}

# Others connect all the time and say nothing; it does not wait for them.
sub among_strangers {
	my ($path, @ctl) = @_;
	my $stranger = fork // die "fork: $!\n";

	if ($stranger == 0) {
		my @held;
		while (getppid != 1) {
			my $socket = IO::Socket::UNIX->new(Peer => $path);
			push @held, $socket if $socket;
			shift @held if @held > 100;
			pause();
		}
		POSIX::_exit(0);
	}
	my ($code) = run_cmd('timeout', 20, @ctl, 'status');
	is($code, 69, 'silent strangers do not hold it up');
	kill 'KILL', $stranger;
	waitpid $stranger, 0;
	return;
}

sub a_stopped_master {
	my ($server, $port) = first();
	my $client = $server->tcp_socket;

	$server->signal('STOP');
	my $second = Prefork->spawn('-w', 3, '-b', "127.0.0.1:$port",
		'--control', "$dir/$port.sock");
	is($second->wait_exit, 75, 'a stopped master is not dead: exit 75');
	like($second->log_text, qr/process\s${\$server->pid}\s\(which\sis\sstopped:[ ]see[ ]kill\s-CONT\)/x, 'the error says that the master is stopped, and names kill -CONT');
	$server->signal('CONT');
	served('it keeps its workers', $client);
	is($server->stop, 0, 'exit status');
	return;
}

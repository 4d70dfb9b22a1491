#!/usr/bin/perl

# The log process: it alone has the log open, it survives the other processes,
# and no line is lost, torn or in another's name.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use POSIX    qw(mkfifo);
use Prefork;
use Prefork::Life;
use Test::More;

my $dir = temp_dir();

killed();
keeper_logs();
master_killed();
formats();
have_times();
rotated_under_load();
file_is_not_one();
foreign_file();
full_disk($_) for 0, 1;
no_syslog();
done_testing();

# The pid of the log process, as the master told it.
sub log_pid {
	my ($log) = @_;
	my @pids = $log =~ /\]\sstarted\slog\sprocess\s\((\d+)\)/gx;

	return $pids[-1];
}

# A server that logs to a file, and its port.
sub start_with_log {
	my ($file, @arguments) = @_;
	my $server = Prefork->spawn('-l', $file, '-v', '-p', 0, '-4', @arguments);

	wait_for(sub { slurp($file) =~ /ready:\s.*\n/x || $server->ended }, 20);
	my ($port) = slurp($file) =~ /tcp\s127[.]0[.]0[.]1:(\d+)/x;
	return ($server, $port);
}

# Killed twice: another goes on with the same pipes.
sub killed {
	my $server = Prefork->start('-v', '-w', 2, '-p', 0, '-4');
	my %before = map { $_ => { fds($_) } } current_workers($server);

	for my $time (1, 2) {
		my $pid  = log_pid($server->log_text);
		my $from = $server->log_size;
		kill 'KILL', $pid;
		is(echo_once($server->tcp_socket, "echo $time"), "echo $time",
			"log process killed, time $time: the service goes on");
		ok($server->wait_log(qr/log\sprocess\s\($pid\)\shas\sdied/x, undef, $from), 'the log says so');
		ok($server->wait_log(qr/recv:\sb'echo\s$time'/x, undef, $from), "the log has the line of the service, time $time");
		ok($server->wait_log(qr/started\slog\sprocess/x, undef, $from), 'by another');
	}
	is_deeply({ map { $_ => { fds($_) } } current_workers($server) },
		\%before, 'no worker has noticed');
	is($server->stop, 0, 'exit status');
	ok(!alive(log_pid($server->log_text)) || wait_for(sub { !alive(log_pid($server->log_text)) }),
		'it ends with the service');
	return;
}

# The orphans' lines are still written, and the log process ends after them.
sub master_killed {
	my $server = Prefork->start('-v', '-w', 1, '-p', 0, '-4', '--orphan-timeout', 0);
	my $pid    = log_pid($server->log_text);
	my $client = $server->tcp_socket;

	is(echo_once($client, 'before'), 'before', 'a client');
	my $from = $server->log_size;
	kill 'KILL', $server->pid;
	ok($server->wait_log(qr/^\[worker-0\s.*the\smaster\shas\sdied/mx, undef, $from),
		'the master is killed: the worker logs that');
	ok($server->wait_log(qr/^\[worker-0\s.*disconnected/mx, undef, $from), 'the log has the last line of the worker');
	ok(wait_for(sub { !alive($pid) }, 20), 'then the log process ends');
	return;
}

# A keeper logs too, while the master is stopped, and the pids are true.
sub keeper_logs {
	my $server = Prefork->start('-v', '-w', 1, '-p', 0, '-4');
	my ($worker) = settled_workers($server, 1);
	my $client = $server->tcp_socket;

	SKIP: {
		my ($keeper) = grep { grep { $_ == $worker } children($_) } children($server->pid);
		skip 'there is no keeper here', 5 if !$keeper;
		my $before = { fds($worker) };
		is(echo_once($client, 'before'), 'before', 'a keeper: a client');
		kill 'STOP', $server->pid;
		my $from = $server->log_size;
		kill 'KILL', $worker;
		ok($server->wait_log(
				qr/^\[keeper-0\s\($keeper\)\]\sworker\s0\s\($worker\)\skilled/mx, undef, $from),
			'the master is stopped, a worker dies: the keeper logs it');
		my ($next) = workers_of($server->pid);
		is(echo_once($client, 'after'), 'after', 'its successor goes on');
		ok($server->wait_log(qr/^\[worker-0\s\($next\)\]\srecv:\sb'after'/mx, undef, $from),
			'the log has a line of the successor, with its pid');
		my %after = fds($next);
		my @same = grep { $before->{$_} =~ /^pipe:/x && ($after{$_} // q{}) eq $before->{$_} } keys %{$before};
		ok((grep { $_ == 2 } @same) && @same >= 2, 'to the same pipe by the same numbers');
		kill 'CONT', $server->pid;
	}
	is($server->stop, 0, 'exit status');
	return;
}

sub formats {
	my $file = "$dir/json";
	my ($server, $port) = start_with_log($file, '-w', 1, '--log-format', 'json');
	my $odd = "\"\\\n\e\xff\xc3\xa9" . 'x' x 60;

	is(echo_once(tcp('127.0.0.1', $port), $odd), $odd, 'json: an echo');
	is($server->stop, 0, 'exit status');
	my @lines = split /\n/, slurp($file);
	my @bad = grep { !eval { JSON::PP->new->utf8->decode($_) } } @lines;
	is_deeply(\@bad, [], 'every line is JSON');
	my %seen;
	for my $line (map { JSON::PP->new->utf8->decode($_) } @lines) {
		$seen{ join q{ }, sort keys %{$line} }++;
		$seen{ $line->{process} }++;
	}
	is(join(q{|}, sort keys %seen), 'level message pid process time|master|worker-0',
		'with these fields, of these processes');

	$file = "$dir/logfmt";
	($server) = start_with_log($file, '-w', 1, '--log-format', 'logfmt');
	like(slurp($file), qr/^time=\S+Z\slevel=info\sprocess=master\spid=\d+\smsg="ready:\s[^"]*"$/mx,
		'logfmt');
	is($server->stop, 0, 'exit status');
	return;
}

sub have_times {
	my $time = qr/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.]\d{3}Z\s/x;
	my $file = "$dir/times";
	my ($server) = start_with_log($file, '-w', 1);

	is($server->stop, 0, 'times: a file');
	unlike(slurp($file), qr/^(?!$time\[)/mx, 'has them by itself');
	$server = Prefork->start('-w', 1, '-p', 0, '-4');
	is($server->stop, 0, 'a pipe');
	unlike($server->log_text, qr/^(?!\[)/mx, 'has none');
	$server = Prefork->start('-w', 1, '-p', 0, '-4', '--log-time', 'off');
	is($server->stop, 0, 'off');
	return;
}

# Every line of many is in one of the files, and whole.
sub rotated_under_load {
	my $file = "$dir/rotated";
	my ($server, $port) = start_with_log($file, '-w', 2);
	my @open = map { tcp('127.0.0.1', $port) } 1 .. 4;
	my $n = 0;

	for my $round (1 .. 5) {
		for (1 .. 300) {
			$n++;
			echo_once($open[ $n % 4 ], "n$n.");
		}
		rename $file, "$file.$round" or die "$file: $!\n";
		$server->signal('USR1');
		wait_for(sub { $n++; echo_once($open[0], "n$n."); -s $file });
	}
	is($server->stop, 0, 'rotated under load: exit status');
	my $all = join q{}, map { slurp($_) } map({ "$file.$_" } 1 .. 5), $file;
	my %got = map { $_ => 1 } $all =~ /recv:\sb'n(\d+)[.]'$/gmx;
	is_deeply([ grep { !$got{$_} } 1 .. $n ], [], "none of $n lines is lost");
	unlike($all, qr/^(?!\S+Z\s\[(?:master|worker-\d|log)\s\(\d+\)\]\s)/mx, 'no line is torn');
	unlike($all, qr/log\slines?\sdropped/x, 'none was dropped');
	return;
}

# A file of another user is refused; one that is not regular is used.
sub file_is_not_one {
	my $file = "$dir/target";
	my @run = (Prefork::program(), '-q', '-w', 1, '-p', 0, '-4', '-l');

	open my $made, '>', $file or die "$file: $!\n";
	close $made;
	symlink $file, "$dir/symlink" or die "symlink: $!\n";
	link $file, "$dir/hardlink" or die "link: $!\n";
	my ($code, undef, $errors) = run_cmd(@run, "$dir/symlink");
	is($code, 73, 'a symbolic link: exit 73');
	like($errors, qr/symlink:\sit\sis\sa\ssymbolic\slink/x, 'the error names the symbolic link');
	($code, undef, $errors) = run_cmd(@run, "$dir/hardlink");
	is($code, 73, 'a second hard link: exit 73');
	like($errors, qr/hardlink:.*hard\slink/x, 'the error names the hard link');
	is(-s $file, 0, 'nothing is written to it');
	for my $good ('/dev/null', '/dev/stderr', '/dev/fd/2') {
		my $server = Prefork->spawn('-l', $good, '-w', 1, '-p', 0, '-4', '-P', "$dir/pid");
		ok(wait_for(sub { -s "$dir/pid" }, 20), "$good is used");
		is($server->stop, 0, 'exit status');
	}

	# As in CVE-2016-1247: swapped before a rotation.
	my ($server) = start_with_log("$dir/swapped", '-w', 1);
	rename "$dir/swapped", "$dir/swapped.1" or die "rename: $!\n";
	symlink $file, "$dir/swapped" or die "symlink: $!\n";
	$server->signal('USR1');
	ok($server->wait_log(qr/cannot\sreopen\sthe\slog/x), 'a link instead of the file, and USR1: refused');
	like(slurp("$dir/swapped.1"), qr/cannot\sreopen\sthe\slog/x, 'the old file is still used')
	    if wait_for(sub { slurp("$dir/swapped.1") =~ /cannot/ });
	is(-s $file, 0, 'nothing is written to the target');
	is($server->stop, 0, 'exit status');
	return;
}

sub foreign_file {
	SKIP: {
		skip 'only root can give a file away', 8 if !is_root();
		my $theirs = "$dir/theirs";
		my $user   = getpwnam 'nobody';
		mkdir $theirs or die "$theirs: $!\n";
		mkdir "$dir/ours";
		open my $made, '>', "$theirs/log" or die "log: $!\n";
		close $made;
		symlink "$dir/ours", "$theirs/link" or die "symlink: $!\n";
		chown $user, -1, $theirs, "$theirs/log";
		my @run = (Prefork::program(), '-q', '-w', 1, '-p', 0, '-4', '-l');
		my ($code, undef, $errors) = run_cmd(@run, "$theirs/log");
		is($code, 73, 'a file of another user: exit 73');
		like($errors, qr/belongs\sto\sanother\suser/x, 'the error says that the file belongs to another user');
		($code) = run_cmd(@run, "$theirs/link/log");
		is($code, 73, 'by a symbolic link of another user: exit 73');
		ok(!-e "$dir/ours/log", 'no file is made');
		mkfifo("$theirs/fifo", 0600) or die "fifo: $!\n";
		chown $user, -1, "$theirs/fifo";
		($code) = run_cmd(@run, "$theirs/fifo");
		is($code, 73, 'a FIFO of another user: exit 73');

		# Its owner would read the log.
		my ($server) = start_with_log("$theirs/swapped", '-w', 1);
		rename "$theirs/swapped", "$dir/swapped.2" or die "rename: $!\n";
		rename "$theirs/fifo", "$theirs/swapped"   or die "rename: $!\n";
		$server->signal('USR1');
		ok($server->wait_log(qr/cannot\sreopen\sthe\slog/x), 'a FIFO instead of the file, and USR1: refused');
		ok(wait_for(sub { slurp("$dir/swapped.2") =~ /cannot/ }), 'the old file is still used');
		is($server->stop, 0, 'exit status');
	}
	return;
}

# It waits for room, and then goes on with the line that it had begun; or it is
# killed, and the next log process ends that line.
sub full_disk {
	my ($killed) = @_;
	my $disk = "$dir/disk-$killed";

	mkdir $disk or die "$disk: $!\n";
	SKIP: {
		my $mount = '/usr/bin/env';
		my ($code) = run_cmd($mount, 'unshare', '-m', 'mount', '-t', 'tmpfs', 'none', $disk);
		skip 'no file system can be mounted here', 4 if $code != 0;
		my $server = Prefork->spawn({
				wrapper => [
					$mount, 'unshare', '-m', 'sh', '-c',
					'mount -t tmpfs -o size=64k none "$0" && head -c 40000 /dev/zero >"$0/ballast" && exec "$@"',
					$disk ] },
			'-v', '-w', 1, '-p', 0, '-4', '-l', "$disk/log", '-P', "$disk.pid");
		ok(wait_for(sub { -s "$disk.pid" }, 20), 'a small disk: ready');
		my $root = '/proc/' . $server->pid . "/root$disk";
		my $port;
		wait_for(sub { ($port) = slurp("$root/log") =~ /tcp\s127[.]0[.]0[.]1:(\d+)/x });
		my $client = tcp('127.0.0.1', $port);
		my $n      = 0;
		ok(wait_for(sub {
				echo_once($client, 'n' . ++$n . q{.}) eq "n$n."
				    && $server->log_text =~ /cannot\swrite\sthe\slog:\sNo\sspace/x;
			}, 20), 'it is full, and standard error says so');
		kill 'KILL', log_pid(slurp("$root/log")) if $killed;
		unlink "$root/ballast" or die "ballast: $!\n";
		my $after = $killed ? qr/recv:\sb'again[.]'\n/x : qr/could\snot\sbe\swritten\sfor\s.*No\sspace.*\n/x;
		echo_once($client, 'again.');
		ok(wait_for(sub { slurp("$root/log") =~ $after }, 20),
			'there is room: the log says how long there was none');
		my $log  = q{};
		my $lost = sub {
			$log = slurp("$root/log");
			my %got = map { $_ => 1 } $log =~ /recv:\sb'n(\d+)[.]'$/gmx;
			return grep { !$got{$_} } 1 .. $n;
		};
		ok(wait_for(sub { !$lost->() }, 20), 'no line is lost') if !$killed;
		my @cut = grep { !/^\S+Z\s\[/ } split /\n/, $log;
		cmp_ok(scalar @cut, '<=', $killed ? 1 : 0, 'each begins, but one of which hardly a byte was written');
		unlike($log, qr/Z\s\[.*Z\s\[/x, 'on a line of its own');
		is($server->stop, 0, 'exit status');
	}
	return;
}

sub no_syslog {
	SKIP: {
		skip 'there is a syslog daemon', 2 if -e '/dev/log';
		my ($code, undef, $errors) = run_cmd(Prefork::program(), '-w', 1, '-p', 0, '-4', '-l', 'syslog');
		is($code, 73, 'no syslog daemon: exit 73');
		like($errors, qr{/dev/log:\sNo\ssuch\sfile.*\sstart\sa\ssyslog\sdaemon}x, 'with the cure');
	}
	return;
}

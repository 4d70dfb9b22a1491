#!/usr/bin/perl

# One service, one master: a second instance, pid files, -s, -D, a master that
# is killed; and -t and -T, which start nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Fcntl qw(F_SETLK F_RDLCK F_WRLCK SEEK_SET);
use POSIX ();
use Prefork;
use Prefork::Life;
use Test::More;

my $dir     = temp_dir();
my $program = Prefork::program();
my @daemons;

same_port($_) for 'tcp', 'udp';
pid_file();
stale_pid_file();
locked_pid_file();
shared_lock();
untrusted_pid_file();
replaced_pid_file();
command();
command_in_vain();
detached();
detached_in_vain();
dead_master();
dump_config();
done_testing();

END {
	my $status = $?;
	kill 'KILL', grep { alive($_) } map { children($_), $_ } @daemons;
	$? = $status;
}

sub same_port {
	my ($protocol) = @_;
	my $first = Prefork->start('-w', 2, '-p', 0, '-4');
	my $port  = $first->port;
	my $second = Prefork->spawn('-q', '-w', 2, '-b', "$protocol:127.0.0.1:$port");
	my %holder = map { $_ => 1 } $first->pid, current_workers($first);

	is($second->wait_exit, 75, "a second instance, $protocol: exit 75");
	like($second->log_text, qr/\A[^\n]*127[.]0[.]0[.]1:$port[^\n]*\n\z/x,
		'one line, with the address');
	my ($pid) = $second->log_text =~ /in\suse\sby\sprocess\s(\d+)\s/x;
	ok($holder{ $pid // 0 }, 'the line names a process that holds the address')
	    or diag($second->log_text);
	is(echo_once($first->tcp_socket, 'x'), 'x', 'the first goes on');
	is($first->stop, 0, 'exit status');
	return;
}

sub pid_file {
	my $file = "$dir/pid";
	my $server =
	    Prefork->start('-P', $file, '-w', 1, '-p', 0, '-b', '127.0.0.1');
	my $pid = $server->pid;

	like(slurp($file), qr/\A$pid\n?\z/x, 'ready: the pid file holds the pid');
	my ($code, undef, $errors) =
	    run_cmd($program, '-P', $file, '-w', 1, '-p', 0);
	is($code, 75, 'a live pid file stops a start: exit 75');
	like($errors, qr/\A[^\n]*\b$pid\b[^\n]*\Q$file\E[^\n]*\n\z/x,
		'one line, with its pid and name');
	like(slurp($file), qr/\A$pid\n?\z/x, 'the file is untouched');
	is($server->stop, 0, 'exit status');
	ok(!-e $file, 'the pid file is gone with it');
	return;
}

sub stale_pid_file {
	my $file = "$dir/stale";

	# Our own pid lives, but we have not locked the file.
	for my $text ($$, 999_999_999, 'nonsense', q{}) {
		write_file($file, $text);
		my $server =
		    Prefork->start('-P', $file, '-w', 1, '-p', 0, '-b', '127.0.0.1');
		my $pid = $server->pid;
		like(slurp($file), qr/\A$pid\n?\z/x,
			"a stale pid file with '$text' does not stop a start");
		is($server->stop, 0, 'exit status');
	}
	return;
}

# A process that has a record lock on the file until the object goes.
{
	package Holder;

	sub new {
		my ($class, $file, $type, $text) = @_;

		pipe my $read, my $write or die "pipe: $!\n";
		my $pid = fork // die "fork: $!\n";
		if (!$pid) {
			close $read;
			my $mode = $type == Fcntl::F_RDLCK() ? '<' : '+<';
			open my $handle, $mode, $file or POSIX::_exit(1);
			print {$handle} $text if defined $text;
			$handle->flush;
			my $lock = pack 's s x4 q q l x4', $type, Fcntl::SEEK_SET(), 0, 0, 0;
			fcntl $handle, Fcntl::F_SETLK(), $lock or POSIX::_exit(1);
			syswrite $write, 'x';
			sleep 1 while getppid != 1;
			POSIX::_exit(0);
		}
		close $write;
		sysread($read, my $byte, 1) or die "$file: cannot be locked\n";
		return bless { pid => $pid }, $class;
	}

	sub DESTROY {
		my ($self) = @_;

		local ($?, $!);
		kill 'KILL', $self->{pid};
		waitpid $self->{pid}, 0;
		return;
	}
}

# Until the service is ready the file is locked and empty.
sub locked_pid_file {
	my $file   = write_file("$dir/locked");
	my $holder = Holder->new($file, F_WRLCK);

	my ($code, undef, $errors) =
	    run_cmd($program, '-P', $file, '-w', 1, '-p', 0);
	is($code, 75, 'a locked pid file without a pid: exit 75');
	like($errors, qr/\A[^\n]*\b$holder->{pid}\b[^\n]*\Q$file\E[^\n]*\n\z/x,
		'one line that names it, and its holder');
	like(told_to($file, 69), qr/holds\sno\spid\syet/x, '-s stop: starting');
	return;
}

# The output of -s stop with the file: one line, with the exit code.
sub told_to {
	my ($file, $expected, @as) = @_;
	my ($code, $output, $errors) = run_cmd(@as, $program, '-P', $file, '-s', 'stop');

	is("$code$output", $expected, "-s stop: exit $expected");
	like($errors, qr/\A[^\n]*\Q$file\E[^\n]*\n\z/x, 'one line that names the file');
	return $errors;
}

# Any user with the right to read a stale file can hold a shared lock on it.
sub shared_lock {
	my $file   = write_file("$dir/shared", $$);
	my $holder = Holder->new($file, F_RDLCK);
	local $SIG{TERM} = sub { fail('a stale pid file was believed') };

	like(told_to($file, 69), qr/stale/x, 'a shared lock is not a master');
	my $server =
	    Prefork->start('-P', $file, '-w', 1, '-p', 0, '-b', '127.0.0.1');
	my $pid = $server->pid;
	is(slurp($file), $pid, 'a shared lock does not stop a start');
	is_deeply([ run_cmd($program, '-P', $file, '-s', 'stop') ],
		[ 0, q{}, q{} ], '-s stop');
	is($server->wait_exit, 0, '-s stop stops the service');
	ok(!-e $file, 'the pid file is gone');
	is_deeply([ glob "$dir/.pid-*" ], [], 'nothing else is left');
	return;
}

# [name, a change of the path, exit code of -s, why]
sub untrusted_pid_file {
	my ($file, $other) = ("$dir/untrusted", write_file("$dir/victim", 'precious'));
	local $SIG{TERM} = sub { fail('a pid file was believed') };
	my @rows = (
		[ 'a symbolic link', sub { symlink $other, $file }, 77,
			qr/symbolic\slink/x ],
		[ 'a FIFO', sub { POSIX::mkfifo($file, 0644) }, 77, qr/not\sa\sregular/x ],
		[ 'a second name', sub { link $other, $file }, 77, qr/second\sname/x ],
		[ 'a file of everybody', sub { write_file($file, $$); chmod 0666, $file },
			77, qr/others\smay\swrite/x ],
		[ 'a directory', sub { mkdir $file }, 77, qr/not\sa\sregular|directory/x ],
		[ 'a file of another', sub { write_file($file, $$); chown 65_534, -1, $file },
			77, qr/belongs\sto\sanother/x ],
	);

	for my $row (@rows) {
		my ($name, $make, $status, $why) = @{$row};
		SKIP: {
			$make->() or skip "$name: $!", 6;
			skip "$name needs root", 6 if $name =~ /another/ && !is_root();
			like(told_to($file, $status), $why, $name);
			my ($code, undef, $errors) =
			    run_cmd($program, '-q', '-P', $file, '-w', 1, '-p', 0, '-4');
			is($code, 73, "$name: a start: exit 73");
			like($errors, qr/\A[^\n]*\Q$file\E:\s[^\n]*$why[^\n]*\n\z/x, 'says why');
			is(slurp($other), "precious\n", 'nothing is overwritten');
		}
		-d $file && !-l $file ? rmdir $file : unlink $file;
	}
	my $long = write_file($file, 'x' x 100);
	my ($code, undef, $errors) =
	    run_cmd($program, '-q', '-P', $long, '-w', 1, '-p', 0, '-4');
	is($code, 73, 'a file that is no pid file: exit 73');
	is(slurp($long), 'x' x 100 . "\n", 'it is left alone');

	# The number is one's, the lock another's: neither is signalled.
	write_file($file);
	my $holder = Holder->new($file, F_WRLCK, "$$\n");
	like(told_to($file, 69), qr/another\sprocess\sthan\s$holder->{pid}\b/x,
		'a number that is not the holder');
	ok(alive($holder->{pid}), 'the holder lives');
	return;
}

# It ends with a file that is not its own any more, and leaves that alone.
sub replaced_pid_file {
	my $file = "$dir/replaced";
	my $server =
	    Prefork->start('-P', $file, '-w', 1, '-p', 0, '-b', '127.0.0.1');

	write_file($file, 'precious');
	is($server->stop, 0, 'exit status');
	is(slurp($file), "precious\n", 'a pid file that was replaced stays');
	return;
}

sub command {
	my ($file, $log) = ("$dir/pid", "$dir/log");
	my @signal = ($program, '-P', $file, '-s');
	my $server =
	    Prefork->start('-P', $file, '-w', 1, '-p', 0, '-b', '127.0.0.1');

	for ([ reload => qr/\]\sreloaded:/x ], [ reopen => qr/\]\sreopened/x ]) {
		my ($name, $line) = @{$_};
		my $offset = $server->log_size;
		is_deeply([ run_cmd(@signal, $name) ], [ 0, q{}, q{} ], "-s $name");
		ok($server->wait_log($line, undef, $offset), "-s $name has its line in the log");
	}
	is_deeply([ run_cmd(@signal, 'quit') ], [ 0, q{}, q{} ], '-s quit');
	is($server->wait_exit, 0, '-s quit stops the service');

	$server =
	    Prefork->start('-P', $file, '-w', 1, '-p', 0, '-b', '127.0.0.1');
	is_deeply([ run_cmd(@signal, 'stop') ], [ 0, q{}, q{} ], '-s stop');
	is($server->wait_exit, 0, '-s stop stops the service');
	return;
}

sub command_in_vain {
	my $stale = write_file("$dir/stale", $$);
	local $SIG{TERM} = sub { fail('a stale pid file was believed') };

	for ([ $stale, qr/stale/x ], [ "$dir/none", qr/No\ssuch\sfile/x ]) {
		my ($file, $why) = @{$_};
		my ($code, $output, $errors) =
		    run_cmd($program, '-P', $file, '-s', 'stop');
		is($code, 69, "-s stop with $file: exit 69");
		like($errors, qr/\A[^\n]*\Q$file\E[^\n]*$why[^\n]*\n\z/x, 'one line');
	}
	my ($code, undef, $errors) =
	    run_cmd($program, '-P', $stale, '-s', 'dance');
	is($code, 64, '-s dance: exit 64');
	like($errors, qr/\A[^\n]*'dance'[^\n]*\n\z/x, 'one line');
	return;
}

sub detached {
	my ($file, $log) = ("$dir/pid", "$dir/daemon.log");
	my @answer = run_cmd($program, '-D', '-P', $file, '-l', $log, '-v', '-w', 2,
		'-p', 0, '-b', '127.0.0.1');

	is_deeply(\@answer, [ 0, q{}, q{} ], '-D: exit 0 and silence');
	my $pid = slurp($file);
	push @daemons, $pid;
	my $ready;
	ok(wait_for(sub {
			($ready) = slurp($log) =~ /\]\sready:.*\stcp\s127[.]0[.]0[.]1:(\d+)/x;
		}), 'it is ready by then') or return;
	is(echo_once(tcp('127.0.0.1', $ready), 'x'), 'x', 'it serves');
	for my $process ($pid, children($pid)) {
		my %fds = fds($process);
		is_deeply([ @fds{ 0 .. 2 } ], [ ('/dev/null') x 3 ],
			"$process has let go of its terminal");
	}
	is_deeply([ run_cmd($program, '-P', $file, '-s', 'stop') ],
		[ 0, q{}, q{} ], '-s stop');
	ok(wait_for(sub { !alive($pid) }), 'it ends');
	ok(!-e $file, 'the pid file is gone');
	return;
}

sub detached_in_vain {
	my $first = Prefork->start('-w', 1, '-p', 0, '-4');
	my $bind  = '127.0.0.1:' . $first->port;

	for my $log ('/dev/null', "$dir/vain.log") {
		my ($file) = "$dir/vain.pid";
		my ($code, undef, $errors) = run_cmd($program, '-D', '-q', '-P',
			$file, '-l', $log, '-w', 2, '-b', $bind);
		is($code, 75, "-D -l $log, port in use: exit 75");
		like($errors, qr/\A[^\n]*\Q$bind\E[^\n]*in\suse[^\n]*\n\z/x,
			'one line on standard error');
		ok(!-e $file, 'no pid file is left');
	}
	return;
}

sub dead_master {
	my $server = Prefork->start('-v', '-w', 2, '-p', 0, '-4', '--orphan-timeout', 0);
	my $port   = $server->port;
	my ($idle) = connect_to($server, 0);
	my @workers = current_workers($server);

	kill 'KILL', $server->pid;
	is($server->wait_exit, 137, 'the master is killed');
	my $next = Prefork->start('-w', 2, '-b', "127.0.0.1:$port");
	ok($next, 'another starts on the same port at once');
	is((read_until_eof($idle))[1], 'eof',
		'a connection to the orphans sees the end');
	close $idle;
	ok(wait_for(sub { !grep { alive($_) } @workers }), 'the orphans end');
	is(echo_once($next->tcp_socket, $_), $_, "connection $_") for 1 .. 4;
	is($next->stop, 0, 'exit status');
	return;
}

sub dump_config {
	my $file = "$dir/conf";

	is_deeply([ run_cmd($program, '-t', '-w', 2, '-p', 0) ],
		[ 0, q{}, q{} ], '-t: exit 0 and silence');
	for my $arguments (
		[],
		[qw(-w 3 -p 0 -4 -1 -v -n 10 -i 0.25 --max-per-source 5)],
		['-b', '127.0.0.1:7001,once', qw(-b tcp:[::1]:7002 -b udp:127.0.0.1:7003)],
		[qw(--keepalive 60:10:3 --user-timeout 2.5 --fastopen 16 --nodelay off)],
		[qw(--receive-buffer 64k --send-buffer 1M --backlog 99 --quickack on)],
		[qw(--keepalive off --poller poll --coalesce off --loop-guard off --drain-timeout 3)],
		['-P', "$dir/a file", '-l', "$dir/# 1 = log"],
	    )
	{
		my $name = "-T @{$arguments}";
		my ($code, $first, $errors) = run_cmd($program, '-T', @{$arguments});
		is("$code$errors", '0', "$name: exit 0");
		write_file($file, split /\n/, $first);
		($code, my $second, $errors) = run_cmd($program, '-T', '-c', $file);
		is("$code$errors", '0', 'the dump is a good file');
		is($second, $first, 'the dump of the dump is the same');
	}
	my ($code) = run_cmd('/bin/sh', '-c', "'$program' -T >/dev/full");
	cmp_ok($code, '!=', 0, '-T into a full file does not exit 0');
	return;
}

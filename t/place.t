#!/usr/bin/perl

# The place of control sockets: directory, name, lock. Directories that other
# users can write to are refused, two starts of one name cannot both win, and
# nothing is left.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::UNIX;
use POSIX qw(mkfifo);
use Prefork;
use Prefork::Control;
use Prefork::Life;
use Prefork::Sockets qw(have);
use Socket qw(SOCK_STREAM);
use Test::More;

use constant STARTS => 20;

my $dir  = temp_dir();
my @echo = qw(-w 1 -p 0 -b 127.0.0.1);

directories();
run_prefork();
swept();
longer_time();
removed_at_exit();
off();
explicit_path();
bad_options();
second_start();
race();
after_kill();
attacks();
foreign_directory();
vanished();
of_master_alone();
no_inet_name();
done_testing();

sub sockets_in { my ($where) = @_; return glob "$where/*.sock" }

# The first of the directories that can be used.
sub directories {
	my ($run, $xdg) = map { my $d = "$dir/$_"; mkdir $d, oct 700; $d } qw(run xdg);
	my @cases = (
		[ 'RUNTIME_DIRECTORY', $run, { RUNTIME_DIRECTORY => $run, XDG_RUNTIME_DIR => $xdg } ],
		[ 'the first of two', $run, { RUNTIME_DIRECTORY => "$run:$xdg" } ],
		[ 'a link to it', $run, { RUNTIME_DIRECTORY => "$dir/link" } ],
	);
	symlink $run, "$dir/link" or die "symlink: $!\n";
	push @cases,
	    [ 'XDG_RUNTIME_DIR', "$xdg/prefork",
		{ RUNTIME_DIRECTORY => q{}, XDG_RUNTIME_DIR => $xdg } ],
	    [ 'a missing RUNTIME_DIRECTORY', "$xdg/prefork",
		{ RUNTIME_DIRECTORY => "$dir/none", XDG_RUNTIME_DIR => $xdg } ],
	    [ 'a relative RUNTIME_DIRECTORY', "$xdg/prefork",
		{ RUNTIME_DIRECTORY => 'run', XDG_RUNTIME_DIR => $xdg } ]
	    if !is_root();

	for my $case (@cases) {
		my ($name, $where, $env) = @{$case};
		my $server = Prefork->start({ env => $env }, @echo);
		my ($socket, @more) = sockets_in($where);
		ok($socket && !@more, "$name: the socket is there");
		like(ask($socket, '1 status'), qr/\AOK\n/, "$name: the control socket answers");
		unlike($server->log_text, qr/control\ssocket/x, "$name: no line of the log is about the control socket");
		is($server->stop, 0, 'exit status');
		is_deeply([ glob "$where/*" ], [], "$name: the directory is empty after the stop");
	}
	return;
}

# As root: /run/prefork, in a mount namespace of its own.
sub run_prefork {
	my @private = ('/usr/bin/env', 'unshare', '-m', 'sh', '-c',
		'mount -t tmpfs none /run && exec "$0" "$@"');

	SKIP: {
		skip 'only root has /run/prefork', 4 if !is_root();
		skip 'no mount namespace', 4 if (run_cmd(@private, 'true'))[0] != 0;
		my $server = Prefork->start({ wrapper => \@private,
			env => { RUNTIME_DIRECTORY => q{} } }, @echo);
		my $run = '/proc/' . $server->pid . '/root/run/prefork';
		is((stat $run)[2] & oct 7777, oct 755, '/run/prefork');
		my ($socket) = glob "$run/*.sock";
		like(ask($socket, '1 status'), qr/\AOK\n/, '/run/prefork has the control socket');
		is((stat $socket)[2] & oct 777, oct 666, 'any user may connect to the control socket');
		is($server->stop, 0, 'exit status');
	}
	return;
}

# Lock and socket of a service that has been dead for long, in such a directory.
sub swept {
	my ($gone, $xdg) = ("$dir/gone", "$dir/gone/prefork");
	my @private = ('/usr/bin/env', 'unshare', '-m', 'sh', '-c',
		"mount -t tmpfs none /run && cp -a $xdg /run && exec \"\$0\" \"\$@\"");

	mkdir $_, oct 700 for $gone, $xdg;
	write_file("$xdg/gone.lock", '1234', 'orphans 0', 'dead ' . 2**40);
	write_file("$xdg/dead.lock", '1234', 'orphans 0');
	IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => "$xdg/$_.sock") or die "$_: $!\n"
	    for qw(gone dead);
	SKIP: {
		skip 'no mount namespace', 4
		    if is_root() && (run_cmd(@private, 'true'))[0] != 0;
		my $server = Prefork->start({ is_root() ? (wrapper => \@private) : (),
			env => { RUNTIME_DIRECTORY => q{}, XDG_RUNTIME_DIR => $gone } },
			'--name', 'next', @echo);
		my $where = is_root() ? '/proc/' . $server->pid . '/root/run/prefork' : $xdg;
		ok(!-e "$where/gone.lock" && !-e "$where/gone.sock", 'a start removes lock and socket of a service dead for long');
		ok(-e "$where/dead.sock", 'a start keeps the socket that orphans may look for');
		like(slurp("$where/dead.lock"), qr/\A1234\norphans\s0\ndead\s\d+\n\z/x,
			'a start writes the time of death into the lock');
		is($server->stop, 0, 'exit status');
	}
	return;
}

# A reload may give the orphans more time.
sub longer_time {
	my $file   = write_file("$dir/time.conf", 'workers = 1', 'orphan-timeout = 70');
	my $server = Prefork->start('-c', $file, '--name', 'time', qw(-p 0 -b 127.0.0.1));
	my $lock   = place() . '/time.lock';
	my $pid    = $server->pid;

	is(slurp($lock), "$pid\norphans 70\n", 'the lock has the time of the file');
	write_file($file, 'workers = 1', 'orphan-timeout = 80');
	$server->signal('HUP');
	ok($server->wait_log(qr/reloaded:/), 'a reload');
	is(slurp($lock), "$pid\norphans 80\n", 'writes the new time');
	is($server->stop, 0, 'exit status');
	return;
}

sub removed_at_exit {
	my $server = Prefork->start('--name', 'clean', @echo);
	my $lock   = place() . '/clean.lock';
	my $pid    = $server->pid;

	is(slurp($lock), "$pid\norphans 60\n", 'the lock has the pid, and the time for orphans');
	is((stat $lock)[2] & oct 777, oct 600, 'no other user can open the lock');
	is($server->stop('INT'), 0, 'exit status');
	ok(!-e $lock && !-e place() . '/clean.sock', 'lock and socket are removed at the stop');
	return;
}

sub off {
	my $server = Prefork->start('--control', 'off', '--name', 'none', @echo);

	is_deeply([ glob place() . '/*' ], [], '--control off: no socket, no lock');
	unlike($server->log_text, qr/control/, '--control off: no line of the log is about it');
	is($server->stop, 0, 'exit status');
	return;
}

sub explicit_path {
	my $server = Prefork->start({ setup => sub { chdir "$dir" } },
		'--control', 'here.sock', @echo);

	like(ask("$dir/here.sock", '1 status'), qr/\AOK\n/, '--control with a relative path');
	ok(-e "$dir/here.lock", 'the lock is beside it');
	is_deeply([ glob place() . '/*' ], [], 'nothing is made at the default place');
	my ($code, undef, $errors) =
	    run_cmd(Prefork::program(), '--control', "$dir/here.sock", @echo);
	is($code, 75, 'a second one: exit 75');
	my $pid = $server->pid;
	like($errors, qr/\A[^\n]*\b$pid\b[^\n]*\Q$dir\E\/here[.]lock[^\n]*\n\z/x, 'one line');
	is($server->stop, 0, 'exit status');
	ok(!-e "$dir/here.sock" && !-e "$dir/here.lock", 'nothing is left');
	return;
}

# A place that is asked for and cannot be had ends the start.
sub bad_options {
	my $long = 'x' x 120;
	my @cases = (
		[ 73, qr/none/, '--control', "$dir/none/x.sock" ],
		[ 73, qr/over\s107\sbytes/x, '--control', "$dir/$long" ],
		[ 64, qr/path\sis\sempty/x, '--control', q{} ],
		[ 64, qr/it\stakes\s1\sto\s64/x, '--name', 'a/b' ],
		[ 64, qr/it\stakes\s1\sto\s64/x, '--name', q{} ],
		[ 64, qr/it\stakes\s1\sto\s64/x, '--name', '.hidden' ],
		[ 64, qr/it\stakes\s1\sto\s64/x, '--name', 'x' x 65 ],
		[ 67, qr/no\ssuch\scontrol-group/x, '--control-group', 'no-such-group' ],
	);
	for my $case (@cases) {
		my ($status, $why, @options) = @{$case};
		my ($code, $output, $errors) = run_cmd(Prefork::program(), '-q', @options, @echo);
		is($code, $status, "$options[0] '" . substr($options[1], 0, 30) . "': exit $status");
		like($errors, qr/\A[^\n]*$why[^\n]*\n\z/x, 'one line');
	}
	return;
}

sub second_start {
	my $first = Prefork->start('--name', 'one', @echo);
	my $pid   = $first->pid;
	my ($code, undef, $errors) = run_cmd(Prefork::program(), '-q', '--name', 'one', @echo);

	is($code, 75, 'the same name again: exit 75');
	like($errors, qr/\A[^\n]*already\srunning:\sprocess\s$pid\s[^\n]*one[.]lock[^\n]*\n\z/x,
		'one line with the pid and the file');
	($code, undef, $errors) =
	    run_cmd(Prefork::program(), '-q', '-D', '-l', "$dir/log", '--name', 'one', @echo);
	is($code, 75, 'with -D, too');
	like($errors, qr/already\srunning:\sprocess\s$pid\s/x, 'with -D the error names the process that has the name');
	like(ask($first, '1 status'), qr/\AOK\n/, 'the first goes on');
	kill 'STOP', $pid;
	($code) = run_cmd(Prefork::program(), '-q', '--name', 'one', @echo);
	is($code, 75, 'a stopped one is not replaced');
	kill 'CONT', $pid;
	is($first->stop, 0, 'exit status');
	return;
}

# One of many starts wins, and its socket is the one that is there.
sub race {
	my @starts = map { Prefork->spawn('--name', 'race', @echo) } 1 .. STARTS;
	my %code;

	ok(wait_for(sub { STARTS - 1 == grep { $_->ended } @starts }, 60), 'all but one end');
	my ($winner, @more) = grep { !$_->ended } @starts;
	$code{ $_->exit_status }++ for grep { $_->ended } @starts;
	is_deeply(\%code, { 75 => STARTS - 1 }, 'with status 75');
	ok($winner && !@more && $winner->wait_ready, 'the remaining one serves') or return;
	like(slurp(place() . '/race.lock'), qr/\A@{[ $winner->pid ]}\n/x, 'the lock has the pid of the one that serves');
	like(ask(place() . '/race.sock', '1 status'), qr/pid\s@{[ $winner->pid ]}$/mx,
		'the control socket is that of the one that serves');
	is($winner->stop, 0, 'exit status');
	return;
}

sub after_kill {
	for my $round (1 .. 3) {
		my $server = Prefork->start('--name', 'again', @echo, '--orphan-timeout', 0);
		like(ask($server, '1 status'), qr/\AOK\n/, "start $round answers");
		kill 'KILL', $server->pid;
		is($server->wait_exit, 137, 'it is killed');
		ok(-S place() . '/again.sock', 'a stale socket is left');
	}
	my $server = Prefork->start('--name', 'again', @echo);
	like(ask($server, '1 status'), qr/\AOK\n/, 'the next start replaces the stale socket');
	is($server->stop, 0, 'exit status');
	return;
}

# Files that others could have put at the place of lock and socket.
sub attacks {
	my $victim = write_file("$dir/victim", 'precious');
	my ($lock, $socket) = ("$dir/a.lock", "$dir/a.sock");
	my $live;
	my @cases = (
		[ 73, 'a link as lock', qr/symbolic\slink/x, sub { symlink $victim, $lock } ],
		[ 73, 'a dangling link as lock', qr/symbolic\slink/x,
			sub { symlink "$dir/new", $lock } ],
		[ 73, 'a hard link as lock', qr/second\sname/x, sub { link $victim, $lock } ],
		[ 73, 'a FIFO as lock', qr/regular\sfile/x, sub { mkfifo($lock, oct 600) } ],
		[ 73, 'a directory as lock', qr/a[.]lock/x, sub { mkdir $lock } ],
		[ 73, 'a file as socket', qr/no\ssocket/x, sub { link $victim, $socket } ],
		[ 73, 'a link as socket', qr/no\ssocket/x, sub { symlink $victim, $socket } ],
		[ 75, 'a socket in use', qr/another\sprogram/x, sub {
			$live = IO::Socket::UNIX->new(Type => SOCK_STREAM,
				Local => $socket, Listen => 1);
		} ],
	);
	push @cases, [ 73, 'a lock of another user', qr/another\suser/x, sub {
			write_file($lock, q{}); chown 54_321, -1, $lock } ] if is_root();
	for my $case (@cases) {
		my ($status, $name, $why, $set_up) = @{$case};
		$set_up->() or die "$name: $!\n";
		my ($code, undef, $errors) =
		    run_cmd(Prefork::program(), '-q', '--control', $socket, @echo);
		is($code, $status, "$name: exit $status");
		like($errors, qr/\A[^\n]*$why[^\n]*\n\z/x, 'one line');
		is(slurp($victim), "precious\n", 'nothing is overwritten');
		ok(!-e "$dir/new", 'nothing is made');
		-d $lock && !-l $lock ? rmdir $lock : unlink $lock;
		undef $live;
		unlink $socket;
	}
	return;
}

# /tmp/prefork-UID that another user has made first: the service runs without.
sub foreign_directory {
	my $uid  = 100_000 + $$;
	my $path = "/tmp/prefork-$uid";
	my @user = ('/usr/bin/env', 'setpriv', '--reuid', $uid, '--regid', $uid,
		'--clear-groups');
	my $program = public_program($dir);
	my %env = (RUNTIME_DIRECTORY => q{}, XDG_RUNTIME_DIR => q{});
	my @cases = (
		[ 'of another user', qr/another\suser/x, sub { mkdir $path, oct 700 } ],
		[ 'open to all', qr/0700/, sub { mkdir $path; chown $uid, -1, $path;
			chmod oct 777, $path } ],
		[ 'a link', qr/not\sa\sdirectory/x, sub { mkdir "$dir/own", oct 700;
			chown $uid, -1, "$dir/own"; symlink "$dir/own", $path } ],
	);

	SKIP: {
		skip 'only root can become another user', 1
		    if !is_root() || (run_cmd(@user, 'true'))[0] != 0;
		for my $case (@cases) {
			my ($name, $why, $set_up) = @{$case};
			$set_up->();
			my $server = Prefork->start({ program => $program, wrapper => \@user,
				env => \%env }, @echo);
			my @said = $server->log_text =~ /^(.*no\scontrol\ssocket.*)$/gmx;
			is(@said, 1, "/tmp/prefork-UID $name: one line says that there is no control socket");
			like($said[0], qr/\Q$path\E.*$why/x, "/tmp/prefork-UID $name: that line has the path and the cause");
			is(echo_once($server->tcp_socket, 'x'), 'x', "/tmp/prefork-UID $name: the service runs without it");
			is($server->stop, 0, 'exit status');
			-l $path ? unlink $path : rmdir $path;
		}
		is_deeply([ glob "$dir/own/*" ], [], 'no link was followed');
		my $server = Prefork->start({ program => $program, wrapper => \@user,
			env => \%env }, @echo);
		is((stat $path)[2] & oct 777, oct 700, 'else it is made, for this user alone');
		is(scalar(my @found = sockets_in($path)), 1, '/tmp/prefork-UID has the control socket');
		is($server->stop, 0, 'exit status');
		ok(rmdir $path, '/tmp/prefork-UID is empty after the stop');
	}
	return;
}

# Somebody cleans up while the service runs.
sub vanished {
	my $own = "$dir/vanish";
	mkdir $own, oct 700;
	my $server = Prefork->start({ env => { RUNTIME_DIRECTORY => $own } },
		'--name', 'v', @echo);

	for my $case ([ 'the socket', "$own/v.sock" ], [ 'the lock', "$own/v.lock", "$own/v.sock" ],
		[ 'the directory', "$own/v.lock", "$own/v.sock", $own ])
	{
		my ($name, @paths) = @{$case};
		my $from = $server->log_size;
		-d $_ ? rmdir $_ : unlink $_ for @paths;
		ok($server->wait_log(qr/was\sremoved;\smade\sit\sanew/x, undef, $from),
			"$name was removed");
		ok(wait_for(sub { (ask("$own/v.sock", '1 status') // q{}) =~ /\AOK\n/ }),
			"$name: the control socket answers again");
		my ($code) = run_cmd({ env => { RUNTIME_DIRECTORY => $own } },
			Prefork::program(), '-q', '--name', 'v', @echo);
		is($code, 75, "$name: a second service of this name is refused");
	}
	is($server->stop, 0, 'exit status');
	is_deeply([ glob "$own/*" ], [], 'nothing is left');
	return;
}

# flock(2) is shared over fork: a worker must not keep the lock.
sub of_master_alone {
	my $server = Prefork->start('--name', 'alone', @echo);
	my $client = connect_control($server);
	my ($worker) = current_workers($server);

	like(ask($server, '1 workers 3'), qr/\AOK\n/, 'more workers, while a client is connected');
	for my $pid (current_workers($server)) {
		my %fds = fds($pid);
		is_deeply([ grep { /alone|inotify/ } values %fds ], [], "worker $pid has no lock");
	}
	my $inode = (sockets_of_master($server))[0];
	for my $pid (current_workers($server)) {
		my %fds = fds($pid);
		ok(!(grep { $_ eq "socket:[$inode]" } values %fds), "worker $pid does not have the control socket open");
	}
	is($server->stop, 0, 'exit status');
	return;
}

# The inode of the listening control socket.
sub sockets_of_master {
	my ($server) = @_;
	my $path = control_socket($server);

	open my $file, '<', '/proc/net/unix' or die "/proc/net/unix: $!\n";
	return map { (split)[6] } grep { /\s\Q$path\E$/ } <$file>;
}

# A port of its own makes a name of its own, so many can run with -p 0.
sub no_inet_name {
	my @servers = map { Prefork->start(@echo) } 1 .. 3;
	my %names   = map { control_socket($_) => 1 } @servers;

	is(keys %names, 3, 'three services on ephemeral ports have three sockets');
	like((keys %names)[0], qr{/prefork-echo-127[.]0[.]0[.]1-0-\d+[.]sock$}x,
		'named by program, address and pid');
	is($_->stop, 0, 'exit status') for @servers;
	return;
}

package Prefork::Tools;

# Tools of a system test besides the server itself: bounded waits, commands,
# sockets, and a look into /proc. Everything here ends in time, and each wait
# also drains the running servers' logs, so that none ever blocks.

use strict;
use warnings;

use Errno qw(EAGAIN EWOULDBLOCK EINTR);
use Exporter 'import';
use IO::Select;
use IO::Socket::IP;
use POSIX       ();
use Socket      qw(SOCK_STREAM SOCK_DGRAM MSG_DONTWAIT MSG_NOSIGNAL SOL_SOCKET SO_ERROR);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

our @EXPORT_OK = qw(now wait_for pause on_wait run_cmd spawn_process describe_status
    tcp udp echo_once read_until_eof fds cpu_ticks is_root children workers_of
    is_keeper alive compiler);

use constant TIMEOUT => 10;
use constant TURN    => 0.01;
use constant CHUNK   => 65_536;

my %drains;

sub now { return clock_gettime(CLOCK_MONOTONIC) }

# on_wait($key, $code): $code->() is called in every wait; undef removes it.
sub on_wait {
	my ($key, $code) = @_;

	if ($code) {
		$drains{$key} = $code;
	} else {
		delete $drains{$key};
	}
	return;
}

# pause($seconds): one turn of a wait.
sub pause {
	my ($seconds) = @_;

	$_->() for values %drains;
	Time::HiRes::sleep($seconds // TURN);
	return;
}

# wait_for(sub { CONDITION }, $timeout): the condition's value as soon as it is
# true, or a false one when the time is up.
sub wait_for {
	my ($condition, $timeout) = @_;
	my $deadline = now() + ($timeout // TIMEOUT);

	while (1) {
		my $value = $condition->();
		return $value if $value;
		return if now() > $deadline;
		pause(TURN);
	}
}

# spawn_process(\%io, @argv): fork and exec, with signals blocked until the
# child has default handlers, in a process group of its own. %io: stdin,
# stdout, stderr (handles; /dev/null without), env (a hash), dir, setup (code
# that runs in the child).
sub spawn_process {
	my ($io, @argv) = @_;
	my $all = POSIX::SigSet->new;
	my $old = POSIX::SigSet->new;

	$all->fillset;
	POSIX::sigprocmask(POSIX::SIG_BLOCK(), $all, $old);
	my $pid = fork;
	if (defined $pid && $pid == 0) {
		# No exit handlers and destructors of the test in here.
		eval { exec_child($io, $old, @argv); 1 }
		    or print {*STDERR} "$argv[0]: $@";
		POSIX::_exit(127);
	}
	POSIX::sigprocmask(POSIX::SIG_SETMASK(), $old);
	die "fork: $!\n" if !defined $pid;
	return $pid;
}

sub exec_child {
	my ($io, $mask, @argv) = @_;
	my $open_null = sub {
		open my $null, '+<', '/dev/null' or die "/dev/null: $!\n";
		return $null;
	};
	my $fd = 0;

	for my $name (qw(stdin stdout stderr)) {
		my $from = $io->{$name} // $open_null->();
		POSIX::dup2(fileno $from, $fd++) // die "dup2: $!\n";
	}
	setpgrp 0, 0;
	$SIG{$_} = 'DEFAULT'
	    for grep { !/^(?:KILL|STOP|NUM\d+|RT.*|__.*)$/ } keys %SIG;
	if ($io->{dir}) {
		chdir $io->{dir} or die "$io->{dir}: $!\n";
	}
	my $env = $io->{env} // {};
	@ENV{ keys %{$env} } = values %{$env};
	$io->{setup}->() if $io->{setup};
	POSIX::sigprocmask(POSIX::SIG_SETMASK(), $mask);
	no warnings 'exec';
	exec { $argv[0] } @argv or die "$!\n";
}

# run_cmd([\%options,] @argv): (exit code, standard output, standard error).
# The exit code is as a shell's: 128 + N after signal N. Options: timeout (10;
# after it the command's group is killed and the code is 'timeout'), input (a
# string for its standard input), env, dir, setup as for spawn_process.
sub run_cmd {
	my $options = ref $_[0] ? shift : {};
	my @argv    = @_;
	my $deadline = now() + ($options->{timeout} // TIMEOUT);

	pipe my $out, my $out_w or die "pipe: $!\n";
	pipe my $err, my $err_w or die "pipe: $!\n";
	my $input = tempfile_of($options->{input});
	my $pid   = spawn_process(
		{
			%{$options},
			stdin  => $input,
			stdout => $out_w,
			stderr => $err_w,
		},
		@argv
	);
	close $_ for $out_w, $err_w;

	# Until the command has ended; a descriptor that a child of it keeps
	# open does not hold us up.
	my %text   = (fileno $out => q{}, fileno $err => q{});
	my $select = IO::Select->new($out, $err);
	my $status;
	while (1) {
		my $ended = waitpid $pid, POSIX::WNOHANG();
		$status = $? if $ended == $pid;
		read_ready($select, \%text, defined $status ? 0 : TURN);
		last if defined $status;
		if (now() > $deadline) {
			kill 'KILL', -$pid, $pid;
			waitpid $pid, 0;
			$status = 'timeout';
		}
	}
	my $code =
	    $status eq 'timeout' ? $status
	    : $status & 127      ? 128 + ($status & 127)
	    :                      $status >> 8;
	return ($code, $text{ fileno $out }, $text{ fileno $err });
}

sub tempfile_of {
	my ($text) = @_;

	return if !defined $text;
	open my $file, '+>', undef or die "temporary file: $!\n";
	binmode $file;
	print {$file} $text;
	$file->flush;
	sysseek $file, 0, 0;
	return $file;
}

# Reads all that is there now, after waiting for the first of it.
sub read_ready {
	my ($select, $text, $timeout) = @_;

	$_->() for values %drains;
	while ($select->count) {
		my @ready = $select->can_read($timeout);
		last if !@ready;
		for my $handle (@ready) {
			my $fd = fileno $handle;
			sysread($handle, $text->{$fd}, CHUNK, length $text->{$fd})
			    or $select->remove($handle);
		}
		$timeout = 0;
	}
	Time::HiRes::sleep($timeout) if !$select->count;
	return;
}

# describe_status($?): "exit 75" or "signal 9".
sub describe_status {
	my ($status) = @_;

	return 'running' if !defined $status;
	return $status & 127 ? 'signal ' . ($status & 127) : 'exit ' . ($status >> 8);
}

# tcp($host, $port, %more), udp(...): a connected socket, IPv4 or IPv6, or
# undef with $@ set. %more goes to IO::Socket::IP.
sub tcp {
	my ($host, $port, %more) = @_;

	return IO::Socket::IP->new(
		PeerHost => $host,
		PeerPort => $port,
		Type     => SOCK_STREAM,
		Timeout  => TIMEOUT,
		%more
	);
}

sub udp {
	my ($host, $port, %more) = @_;

	return IO::Socket::IP->new(
		PeerHost => $host,
		PeerPort => $port,
		Type     => SOCK_DGRAM,
		%more
	);
}

# echo_once($socket, $data, $timeout): sends all of it, on TCP while reading, so
# that no size dead-locks, and returns the answer: at most as many bytes, or one
# datagram. Fewer bytes mean that the time was up or that the server ended the
# connection; undef that nothing came at all. $! is set then.
sub echo_once {
	my ($socket, $data, $timeout) = @_;
	my $deadline = now() + ($timeout // TIMEOUT);

	return echo_datagram($socket, $data, $deadline)
	    if $socket->socktype == SOCK_DGRAM;

	my ($sent, $got) = (0, q{});
	my $readable = IO::Select->new($socket);
	while (length $got < length $data) {
		my $writable = $sent < length $data ? $readable : undef;
		wait_io($readable, $writable, $deadline) or last;
		if ($writable) {
			my $piece = substr $data, $sent, CHUNK;
			my $n = send $socket, $piece, MSG_DONTWAIT | MSG_NOSIGNAL;
			last if !defined $n && !again();
			$sent += $n // 0;
		}
		my $n = receive($socket, \$got, length($data) - length $got);
		last if defined $n && $n == 0;
		last if !defined $n && !again();
	}
	return if $got eq q{} && $data ne q{};
	return $got;
}

sub echo_datagram {
	my ($socket, $data, $deadline) = @_;
	my $answer;

	defined send $socket, $data, 0 or return;
	wait_io(IO::Select->new($socket), undef, $deadline) or return;
	defined recv $socket, $answer, CHUNK, MSG_DONTWAIT or return;
	return $answer;
}

# read_until_eof($socket, $timeout): all that comes until the other side ends
# it; in a list also how it ended: 'eof', 'timeout' or an error's text.
sub read_until_eof {
	my ($socket, $timeout) = @_;
	my $deadline = now() + ($timeout // TIMEOUT);
	my $select   = IO::Select->new($socket);
	my ($got, $end) = (q{}, 'timeout');

	while (wait_io($select, undef, $deadline)) {
		my $n = receive($socket, \$got, CHUNK);
		next if !defined $n && again();
		next if $n;
		$end = defined $n ? 'eof' : "$!";
		last;
	}
	return wantarray ? ($got, $end) : $got;
}

sub receive {
	my ($socket, $buffer, $length) = @_;
	my $piece;

	defined recv $socket, $piece, $length < CHUNK ? $length : CHUNK, MSG_DONTWAIT
	    or return;
	${$buffer} .= $piece;
	return length $piece;
}

sub again { return $! == EAGAIN || $! == EWOULDBLOCK || $! == EINTR }

# Waits until one of the sets is ready; false when the time is up.
sub wait_io {
	my ($readable, $writable, $deadline) = @_;

	while (now() < $deadline) {
		$_->() for values %drains;
		return 1 if IO::Select::select($readable, $writable, undef, TURN);
	}
	$! = POSIX::ETIMEDOUT();
	return 0;
}

# fds($pid): its descriptors, as number => target.
sub fds {
	my ($pid) = @_;
	my %fds;

	opendir my $dir, "/proc/$pid/fd" or return;
	for my $fd (grep { /^\d+$/ } readdir $dir) {
		$fds{$fd} = readlink "/proc/$pid/fd/$fd";
		delete $fds{$fd} if !defined $fds{$fd};
	}
	return %fds;
}

# The fields of /proc/PID/stat from the state on, or nothing.
sub proc_stat {
	my ($pid) = @_;

	open my $file, '<', "/proc/$pid/stat" or return;
	my $line = <$file> // return;
	$line =~ s/^.*\)\s//s;
	return split q{ }, $line;
}

# cpu_ticks($pid): user and system time together, in clock ticks.
sub cpu_ticks {
	my @stat = proc_stat(@_) or return;

	return $stat[11] + $stat[12];
}

# alive($pid): it runs; a zombie does not.
sub alive {
	my @stat = proc_stat(@_) or return 0;

	return $stat[0] !~ /^[ZX]/ ? 1 : 0;
}

# children($pid): the pids of its children, zombies included.
sub children {
	my ($pid) = @_;
	my @children;

	opendir my $dir, '/proc' or die "/proc: $!\n";
	for my $child (grep { /^\d+$/ } readdir $dir) {
		my @stat = proc_stat($child) or next;
		push @children, $child if $stat[1] == $pid;
	}
	return sort { $a <=> $b } @children;
}

# The pids of a master's workers, of which most are children of a keeper. A
# zombie has no title, so that a keeper's could not be told from a worker.
sub workers_of {
	my ($master) = @_;
	my %is_keeper = map { $_ => 1 } grep { is_keeper($_) } children($master);

	return sort { $a <=> $b } grep { !$is_keeper{$_} && alive($_) }
	    children($master), map { children($_) } keys %is_keeper;
}

# Whether a process is the keeper of a worker.
sub is_keeper {
	my ($pid) = @_;

	open my $file, '<', "/proc/$pid/cmdline" or return 0;
	return (<$file> // q{}) =~ /:\skeeper\s\d/x;
}

# compiler(): the C compiler's command, by words, as make has it: CC. With
# 'flags' also CFLAGS and LDFLAGS, which every program that links the library
# needs.
sub compiler {
	my ($flags) = @_;
	my @with = $flags ? @ENV{qw(CFLAGS LDFLAGS)} : ();

	return map { split q{ }, $_ // q{} } $ENV{CC} // 'cc', @with;
}

sub is_root { return $> == 0 ? 1 : 0 }

1;

package Prefork;

# A running prefork-echo as an object, for the system tests:
#
# 	use FindBin;
# 	use lib "$FindBin::Bin/lib";
# 	use Prefork;
# 	use Test::More;
#
# 	my $server = Prefork->start('-w', 2, '-p', 0);
# 	is(echo_once($server->tcp, 'abc'), 'abc', 'echo');
# 	is($server->stop, 0, 'exit status');
# 	done_testing();
#
# Each wait in this module reads its log through a pipe. Its destructor ends it
# and reaps it. When the test ends, every server that it had is checked: no
# sanitizer report and no failed assertion in the log, no worker left alive; the
# test fails otherwise, and a failed test shows the logs.

use strict;
use warnings;

use Cwd            ();
use Exporter       'import';
use Fcntl          qw(F_GETFL F_SETFL O_NONBLOCK);
use File::Basename ();
use File::Temp     ();
use POSIX          ();
use Scalar::Util   qw(weaken);
use Test::More     ();

use Prefork::Tools qw(now wait_for pause on_wait run_cmd spawn_process
    describe_status tcp udp echo_once read_until_eof fds cpu_ticks is_root
    children workers_of alive compiler);

our @EXPORT = qw(wait_for run_cmd tcp udp echo_once read_until_eof fds cpu_ticks
    is_root children workers_of alive compiler);

use constant TIMEOUT     => 20;
use constant PIPE_SIZE   => 1_048_576;
use constant F_SETPIPESZ => 1031;
use constant SHOWN_LINES => 200;

my $TROUBLE = qr/ERROR:\s(?:Address|Leak)Sanitizer|runtime\serror:
    |[Aa]ssertion.*failed|stack\ssmashing|the\ssandbox\sdenied/x;

our $ROOT = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../..');
our $O    = $ENV{PREFORK_O} // 'build';
$O = "$ROOT/$O" if $O !~ m{^/};

# Every test has a place of its own for control sockets and locks.
our $PLACE = File::Temp->newdir('prefork-XXXXXX', TMPDIR => 1);
chmod 0755, "$PLACE";
$ENV{RUNTIME_DIRECTORY} = "$PLACE";

my %servers;
my @complaints;
my @logs;

# The path of a built program.
sub program {
	my ($name) = @_;

	return "$O/" . ($name // 'prefork-echo');
}

# Prefork->start([\%options,] @arguments): spawns the server and waits until it
# is ready; dies with the log when it is not. Options: program (a path), wrapper
# (an array, put before the program: strace and the like), env, setup (code
# run in the child), timeout.
sub start {
	my ($class, @rest) = @_;
	my $self = $class->spawn(@rest);

	return $self if $self->wait_ready;
	$self->kill_tree;
	my $how = describe_status($self->{status});
	die "the server is not ready ($how); its log:\n" . $self->log_text;
}

# Prefork->spawn(...): the same without waiting.
sub spawn {
	my ($class, @arguments) = @_;
	my $options = ref $arguments[0] ? shift @arguments : {};
	my $program = $options->{program} // program();
	my $dir = File::Temp->newdir('prefork-XXXXXX', TMPDIR => 1);

	chmod 0755, "$dir";
	pipe my $read, my $write or die "pipe: $!\n";
	fcntl $read, F_SETFL, O_NONBLOCK | fcntl $read, F_GETFL, 0;
	# As root always; otherwise as far as the limits let us.
	fcntl $write, F_SETPIPESZ, PIPE_SIZE;

	my $self = bless {
		dir     => $dir,
		program => Cwd::abs_path($program),
		timeout => $options->{timeout} // TIMEOUT,
		log     => q{},
		pipe    => $read,
		owner   => $$,
	}, $class;
	$self->{pid} = spawn_process(
		{
			stdout => $write,
			stderr => $write,
			env    => $options->{env},
			setup  => $options->{setup},
		},
		@{ $options->{wrapper} // [] },
		$program,
		@arguments
	);
	$servers{ $self->{pid} } = $self;
	weaken($servers{ $self->{pid} });
	weaken(my $weak = $self);
	on_wait($self->{pid}, sub { $weak->pump if $weak });
	return $self;
}

# Reads the bytes in the log's pipe, after a wait of at most that long.
sub pump {
	my ($self, $seconds) = @_;

	return if !$self->{pipe};
	if ($seconds) {
		my $set = q{};
		vec($set, fileno $self->{pipe}, 1) = 1;
		select $set, undef, undef, $seconds;
	}
	while (1) {
		my $n = sysread $self->{pipe}, $self->{log}, 65_536,
		    length $self->{log};
		last if !defined $n;
		next if $n;
		delete $self->{pipe};
		last;
	}
	return;
}

# Looks whether the master has ended; returns true then.
sub ended {
	my ($self) = @_;

	return 1 if defined $self->{status};
	my $pid = waitpid $self->{pid}, POSIX::WNOHANG();
	return 0 if $pid == 0;
	$self->{status} = $pid > 0 ? $? : 0;
	$self->pump;
	return 1;
}

sub wait_ready {
	my ($self) = @_;

	return $self->wait_log(qr/^\[master\s\(\d+\)\]\sready:\s/mx);
}

# $server->wait_log(qr/.../, $timeout, $offset): waits until the log, from the
# offset on, matches; returns the match's end as the next offset (never 0), or
# undef when the time is up or nobody is left to write it. An offset of now is
# $server->log_size.
sub wait_log {
	my ($self, $pattern, $timeout, $offset) = @_;
	my $deadline = now() + ($timeout // $self->{timeout});

	while (1) {
		pos($self->{log}) = $offset // 0;
		if ($self->{log} =~ /$pattern/g) {
			# The next search begins at its beginning.
			pos($self->{log}) = undef;
			return $+[0];
		}
		return if now() > $deadline;
		# The end is when the log process has closed the pipe, and the
		# text just searched was all.
		my $size  = length $self->{log};
		my $ended = $self->ended && !$self->{pipe};
		$self->{pipe} ? $self->pump(0.01) : pause();
		pause(0);
		return if $ended && $size == length $self->{log}
		    && !$self->workers_alive;
	}
}

sub log_text { my ($self) = @_; $self->pump; return $self->{log} }
sub log_size { return length $_[0]->log_text }
sub dir      { return "$_[0]{dir}" }

# The pid that was spawned: the master's, or the wrapper's.
sub spawned { return $_[0]{pid} }

# The master's pid: the latest that said it was ready, else the spawned one.
sub pid {
	my ($self) = @_;
	my @ready = $self->log_text =~ /^\[master\s\((\d+)\)\]\sready:/gmx;

	return $ready[-1] // $self->{pid};
}

# Where the latest ready line says that it serves: a list of [protocol, host,
# port]; of one protocol and family when asked: $server->addresses('tcp', 6).
sub addresses {
	my ($self, $protocol, $family) = @_;
	my @lines = $self->log_text =~
	    /^\[master\s\(\d+\)\]\sready:\s\d+\sworkers?\son\s(.*)$/gmx;
	my @addresses;

	while (($lines[-1] // q{}) =~ /(tcp|udp)\s(?:\[([^\]]+)\]|([^,\s:]+)):(\d+)/gx) {
		push @addresses, [ $1, $2 // $3, $4 ];
	}
	@addresses = grep { $_->[0] eq $protocol } @addresses if $protocol;
	@addresses = grep { ($_->[1] =~ /:/ ? 6 : 4) == $family } @addresses
	    if $family;
	return @addresses;
}

sub port {
	my ($self) = @_;
	my ($first) = $self->addresses;

	return $first ? $first->[2] : undef;
}

# A new socket connected to the first such address; $family is 4 or 6.
sub tcp_socket { return socket_to($_[0], \&tcp, 'tcp', $_[1]) }
sub udp_socket { return socket_to($_[0], \&udp, 'udp', $_[1]) }

sub socket_to {
	my ($self, $open, $protocol, $family) = @_;
	my ($first) = $self->addresses($protocol, $family);

	die "the server has no such $protocol address\n" if !$first;
	return $open->(@{$first}[ 1, 2 ]) // die "$protocol: $@\n";
}

# slot => pid, as the log last told.
sub workers {
	my ($self) = @_;

	return $self->log_text =~ /\]\sstarted\sworker\s(\d+)\s\((\d+)\)/gx;
}

# All workers ever started that still run, drained ones too.
sub workers_alive {
	my ($self) = @_;
	my %seen;

	return grep { !$seen{$_}++ && $self->owns($_) }
	    $self->{log} =~ /\]\sstarted\sworker\s\d+\s\((\d+)\)/gx;
}

# Whether the pid still runs our program: pids are used again.
sub owns {
	my ($self, $pid) = @_;
	my $program = readlink("/proc/$pid/exe") // q{};

	$program =~ s/\s\(deleted\)$//x;
	return alive($pid) && $program eq ($self->{program} // q{});
}

# $server->signal('HUP'): to the master.
sub signal {
	my ($self, $name) = @_;

	return kill $name, $self->pid;
}

# Waits for the master's end: the exit code as a shell's, undef in time's want.
sub wait_exit {
	my ($self, $timeout) = @_;

	wait_for(sub { $self->ended }, $timeout // $self->{timeout});
	return $self->exit_status;
}

sub exit_status {
	my ($self) = @_;

	return if !$self->ended;
	my $status = $self->{status};
	return $status & 127 ? 128 + ($status & 127) : $status >> 8;
}

# $server->stop($signal, $timeout): TERM unless told otherwise; the exit code.
sub stop {
	my ($self, $signal, $timeout) = @_;

	$self->signal($signal // 'TERM') if !$self->ended;
	return $self->wait_exit($timeout);
}

# Kills everything that it has started, at once, and reaps. Processes left alive
# are then no fault.
sub kill_tree {
	my ($self) = @_;
	my @pids = ($self->{pid}, $self->pid);

	for (my $i = 0; $i < @pids; $i++) {
		push @pids, children($pids[$i]) if !defined $self->{status};
	}
	kill 'KILL', -$self->{pid}, $self->{pid} if !$self->ended;
	kill 'KILL', grep { $self->owns($_) } @pids, $self->workers_alive;
	$self->wait_exit(5);
	wait_for(sub { !$self->workers_alive }, 5);
	return;
}

# Ends it, checks it, and notes the faults; once.
sub finish {
	my ($self) = @_;

	return if $self->{finished}++;
	if (!$self->ended && !defined $self->stop('INT', TIMEOUT)) {
		complain($self, 'did not stop on SIGINT');
	}
	wait_for(sub { !$self->workers_alive }, 2);
	if (my @left = $self->workers_alive) {
		complain($self, "left workers alive: @left");
	}
	$self->kill_tree;
	$self->pump;
	complain($self, "logged: $1")
	    while $self->{log} =~ /^(.*(?:$TROUBLE).*)$/gm;
	push @logs, [ $self->{pid}, $self->{log} ];
	on_wait($self->{pid}, undef);
	delete $servers{ $self->{pid} };
	return;
}

sub complain {
	my ($self, $text) = @_;

	push @complaints, "server $self->{pid} $text";
	return;
}

sub DESTROY {
	my ($self) = @_;

	return if $$ != $self->{owner};
	local ($?, $!, $@);
	$self->finish;
	return;
}

my $owner = $$;

END {
	if ($$ == $owner) {
		my $status = $?;
		$_->finish for grep { defined } values %servers;
		$? = $status;
		show_results();
	}
}

sub show_results {
	my $builder = Test::More->builder;

	return if $? == 0 && !@complaints && $builder->is_passing;
	for my $log (@logs) {
		my @lines = split /\n/, $log->[1];
		my $count = @lines;
		@lines = @lines[ -SHOWN_LINES() .. -1 ] if $count > SHOWN_LINES;
		$builder->diag("log of server $log->[0], $count lines:");
		$builder->diag("    $_") for @lines;
	}
	$builder->diag($_) for @complaints;
	$? ||= 1 if @complaints;
	return;
}

1;

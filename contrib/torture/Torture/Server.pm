package Torture::Server;

# A server under torture: its log is followed line by line, with the time at
# which each line was seen, so that it is known which workers serve, which are
# leaving and how long that takes.

use strict;
use warnings;

use Cwd            ();
use File::Basename ();
use Prefork::Tools   qw(now wait_for pause on_wait spawn_process fds children alive);

use constant TIMEOUT => 20;
use constant CHUNK   => 1_048_576;
use constant LISTEN  => '0A';

our $LOGS;
our $PORT = 8888;
our $ROOT = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../../..');
our $O    = $ENV{PREFORK_O} // 'build';
$O = "$ROOT/$O" if $O !~ m{^/};

my $TROUBLE = qr/Sanitizer|runtime\serror:|[Aa]ssert|cannot|garbage|failed|\bsent\sa\b/x;
my $count   = 0;

sub program { return "$O/$_[0]" }

# Torture::Server->start(\%options, @arguments): runs it and waits until it is
# ready. Options: name (of its log), program and ready (a pattern) for other
# servers than prefork-echo.
sub start {
	my ($class, $options, @arguments) = @_;
	my $path    = sprintf '%s/%03d-%s.log', $LOGS, ++$count, $options->{name} // 'server';
	my $program = $options->{program} // program('prefork-echo');

	# A log of an earlier run says nothing of this one.
	unlink $path;
	open my $write, '>>', $path or die "$path: $!\n";
	open my $read,  '<',  $path or die "$path: $!\n";
	my $self = bless {
		path    => $path,
		command => [ $program, @arguments ],
		read    => $read,
		part    => q{},
		workers => {},
		counts  => {},
		trouble => [],
		slowest => 0,
		owner   => $$,
	}, $class;
	$self->{pid} = spawn_process({ stdout => $write, stderr => $write }, @{ $self->{command} });
	my $key = "$self";
	$self->{key} = $key;
	on_wait($key, sub { $self->follow });
	my $up = $options->{up};
	($up ? wait_for($up, TIMEOUT) : $self->wait_count('ready', 1))
	    or die "the server is not ready; its log is $path\n" . $self->tail;
	return $self;
}

# Kills the master alone.
sub kill_master {
	my ($self) = @_;

	$self->signal('KILL');
	waitpid $self->{pid}, 0;
	return;
}

# The same command in the place of a master that was killed, with the same log;
# false when it is not ready.
sub start_again {
	my ($self) = @_;
	my $ready = $self->count('ready');

	open my $write, '>>', $self->{path} or die "$self->{path}: $!\n";
	$self->{pid} = spawn_process({ stdout => $write, stderr => $write }, @{ $self->{command} });
	close $write or die "$self->{path}: $!\n";
	return $self->wait_count('ready', $ready + 1);
}

# Reads the new lines of the log.
sub follow {
	my ($self) = @_;

	return if !$self->{read};
	while (sysread $self->{read}, $self->{part}, CHUNK, length $self->{part}) {
		my $now = now();
		while ($self->{part} =~ s/^([^\n]*)\n//) {
			$self->note($1, $now);
		}
	}
	return;
}

sub note {
	my ($self, $line, $now) = @_;
	my $workers = $self->{workers};

	$line =~ s/^\d{4}-\S+Z\s//;
	if ($line =~ /\]\sstarted\sworker\s(\d+)\s\((\d+)\)/x) {
		# It may have said already that it serves.
		$workers->{$2} //= { state => 'booting' };
		$self->{counts}{started}++;
	} elsif ($line =~ /^\[worker-\d+\s\((\d+)\)\]\sserving\son/x) {
		@{ $workers->{$1} }{qw(state at)} = ('serving', $now)
		    if !$workers->{$1} || $workers->{$1}{state} eq 'booting';
	} elsif ($line =~ /\]\sworker\s\d+\s\((\d+)\)\sis\sleaving/x) {
		@{ $workers->{$1} }{qw(state since)} = ('leaving', $now);
	} elsif ($line =~ /^\[master.*\]\sworker\s\d+\s\((\d+)\)\s(?:has\sended|killed|exited)/x) {
		my $worker = delete $workers->{$1} // {};
		my $took = $now - ($worker->{since} // $now);
		$self->{slowest} = $took if $took > $self->{slowest};
	} elsif ($line =~ /\]\s(ready|reloaded):\s(\d+)\sworker/x) {
		$self->{counts}{$1}++;
		$self->{wanted} = $2;
		# Of the first workers one line alone tells that they serve.
		for my $worker (grep { $_->{state} eq 'booting' } values %{$workers}) {
			@{$worker}{qw(state at)} = ('serving', $now);
		}
	} elsif ($line =~ /\]\supgraded\b/x) {
		$self->{counts}{upgraded}++;
	} elsif ($line =~ /\]\sreload\s(?:refused|failed)/x) {
		$self->{counts}{refused}++;
	} elsif ($line =~ /\]\sthe\snumber\sof\sworkers\sis\s(\d+)\s/x) {
		$self->{counts}{resized}++;
		$self->{wanted} = $1;
		$self->{most} = $1 if $1 > ($self->{most} // 0);
	}
	push @{ $self->{trouble} }, $line if $line =~ $TROUBLE;
	$self->{on_line}->($line) if $self->{on_line};
	return;
}

sub count { my ($self, $what) = @_; $self->follow; return $self->{counts}{$what} // 0 }

# Waits until something has been logged so often.
sub wait_count {
	my ($self, $what, $wanted, $timeout) = @_;

	return wait_for(
		sub { $self->count($what) >= $wanted || !alive($self->{pid}) },
		$timeout // TIMEOUT
	) && $self->count($what) >= $wanted;
}

# $server->signal_and_wait('HUP', 'reloaded'): false when that did not come.
sub signal_and_wait {
	my ($self, $signal, $what, $timeout) = @_;
	my $before = $self->count($what);

	$self->signal($signal);
	return $self->wait_count($what, $before + 1, $timeout);
}

sub signal { my ($self, $name) = @_; return kill $name, $self->{pid} }

# The pids of the workers that serve.
sub serving {
	my ($self) = @_;

	$self->follow;
	# Of one that dies as a reload's first, the log does not tell the pid.
	my @pids = grep { $self->{workers}{$_}{state} eq 'serving' && alive($_) } keys %{ $self->{workers} };
	@pids = sort { $a <=> $b } @pids;
	return @pids;
}

# Waits until so many serve and nobody else is alive.
sub settle {
	my ($self, $wanted, $timeout) = @_;

	return wait_for(
		sub {
			my @alive = grep { alive($_) } children($self->{pid});
			return @alive == $wanted && $self->serving == $wanted;
		},
		$timeout // TIMEOUT
	);
}

# Stops a process and tells how many connections it has in service: accepted,
# and not closed by it. Nothing when it was gone already. Everything else is
# looked up before, so that it stands still for a moment only; or even earlier,
# by other_sockets.
sub freeze {
	my ($self, $pid, @other) = @_;
	my %other = map { $_ => 1 } @other ? @other : other_sockets();

	kill 'STOP', $pid or return;
	while (1) {
		open my $file, '<', "/proc/$pid/stat" or return;
		my $line = <$file> // return;
		my ($state) = $line =~ /^.*\)\s(\S)/s;
		return if $state =~ /[ZX]/;
		last if $state =~ /[Tt]/;
	}
	opendir my $dir, "/proc/$pid/fd" or return;
	my @sockets = map { (readlink("/proc/$pid/fd/$_") // q{}) =~ /^socket:\[(\d+)\]$/ } readdir $dir;
	return scalar grep { !$other{$_} } @sockets;
}

# The inodes of all sockets that are no connection of a client's.
sub other_sockets {
	my @inodes;

	for my $kind (qw(unix udp udp6 tcp tcp6)) {
		open my $table, '<', "/proc/net/$kind" or next;
		while (my $line = <$table>) {
			my @fields = split q{ }, $line;
			# Those that listen come first, before a hundred thousand others.
			last if $kind =~ /^tcp/ && $. > 1 && $fields[3] ne LISTEN;
			push @inodes, $fields[ $kind eq 'unix' ? 6 : 9 ];
		}
	}
	return @inodes;
}

# Kills a process by SIGKILL; how many connections it had in service.
sub kill_worker {
	my ($self, $pid, @other) = @_;
	my $in_service = $self->freeze($pid, @other);

	kill 'KILL', $pid;
	return $in_service // 0;
}

# Sizes that may not grow: workers, the master's descriptors by kind, memory in
# KiB.
sub size {
	my ($self) = @_;
	my %fds = fds($self->{pid});
	my %size = (
		workers     => scalar $self->serving,
		descriptors => scalar keys %fds,
		master      => anonymous($self->{pid}),
		all         => 0,
	);
	$size{all} += anonymous($_) for $self->{pid}, children($self->{pid});
	return %size;
}

sub anonymous {
	my ($pid) = @_;

	open my $file, '<', "/proc/$pid/status" or return 0;
	while (my $line = <$file>) {
		return $1 if $line =~ /^RssAnon:\s+(\d+)/;
	}
	return 0;
}

# The master's end: its exit status, undef in time's want.
sub stop {
	my ($self, $signal) = @_;

	$self->signal($signal // 'TERM');
	return $self->wait_exit;
}

sub wait_exit {
	my ($self, $timeout) = @_;

	wait_for(
		sub {
			return 1 if exists $self->{status};
			my $pid = waitpid $self->{pid}, POSIX::WNOHANG();
			$self->{status} = $? if $pid == $self->{pid};
			return exists $self->{status};
		},
		$timeout // TIMEOUT
	);
	$self->follow;
	return $self->{status};
}

# The whole log.
sub text {
	my ($self) = @_;

	open my $file, '<', $self->{path} or return q{};
	return do { local $/ = undef; readline($file) // q{} };
}

sub tail {
	my ($self) = @_;
	my @lines = split /^/, $self->text;

	splice @lines, 0, @lines - 20 if @lines > 20;
	return join q{}, @lines;
}

# Ends it; returns its faults, as texts.
sub finish {
	my ($self) = @_;
	my @wrong;

	return if $self->{finished}++;
	my @workers = children($self->{pid});
	push @wrong, 'the server had ended by itself' if exists $self->{status};
	my $status = exists $self->{status} ? $self->{status} : $self->stop;
	push @wrong, 'the server did not stop' if !defined $status;
	push @wrong, sprintf 'exit status %d', $status >> 8 if $status && !($status & 127);
	push @wrong, sprintf 'ended by signal %d', $status & 127 if $status && $status & 127;
	if (!wait_for(sub { !grep { alive($_) } @workers }, 2)) {
		push @wrong, 'left workers alive';
	}
	kill 'KILL', grep { alive($_) } @workers, defined $status ? () : $self->{pid};
	on_wait($self->{key}, undef);
	$self->{read} = undef;
	return @wrong;
}

1;

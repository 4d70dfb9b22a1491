package Faults::Service;

# A service's life in phases, with clients, and one fault in one of the phases. It
# ends in service or with one clear error, whatever fails.

use strict;
use warnings;

use Faults::Order;
use Faults::Syslog;
use File::Copy qw(copy);
use File::Temp ();
use IO::Socket::INET;
use Prefork::Tools qw(now wait_for spawn_process run_cmd alive workers_of fds cpu_ticks);
use Socket         qw(MSG_NOSIGNAL);

use constant PATIENCE => 20;
use constant BULK     => 300_000;
use constant IDLE     => 0.3;

our @PHASES = qw(start serve reload crash resize upgrade stop takeover back reopen);

# A fault comes in the first life that has its name and its phase; each ends with a
# stop. One that is `new` tries the sites only that none before it has met. In a life
# that `loses`, a killed worker takes its connections along.
our @LIVES = (
	{ name => 'service', phases => [qw(start serve reload crash resize upgrade stop)] },
	{ name => 'service', phases => [qw(start serve takeover back stop)] },
	{ name => 'file', new => 1, options => [qw(-l LOG)], phases => [qw(start serve reopen reload crash stop)] },
	{ name => 'detached', new => 1, daemon => 1, options => [qw(-D -l LOG)], phases => [qw(start serve reload stop)] },
	{ name => 'user', new => 1, options => [qw(-u nobody)], phases => [qw(start serve reload crash resize upgrade stop)] },
	{ name => 'user', new => 1, options => [qw(-u nobody)], phases => [qw(start serve takeover back stop)] },
	{ name => 'syslog', new => 1, syslog => 1, options => [qw(-l syslog)], phases => [qw(start serve reload crash stop)] },
	{ name => 'bare', loses => 1, options => [qw(--keeper off)],
		phases => [qw(start serve reload crash resize upgrade stop)] },
);

# Where lines are written: one that fails cannot tell of itself.
our $LINES = qr{\@(?:base/(?:sink|log)|logger/\w+)[.]c:};

# The exit statuses of sysexits(3).
my %STATUS = map { $_ => 1 } 0, 64 .. 78;

# run($programs, $shim, $fault, $life): the findings, lines of text; and the service.
# The programs: that of the service, and one that passes -t and then fails. The fault:
# life and phase (their names), at, error, nth; or undef for all of a life without any.
sub run {
	my ($class, $programs, $shim, $fault, $life) = @_;
	my $self = bless { programs => $programs, order => Faults::Order->new, fault => $fault, findings => [], clients => [],
		dir => File::Temp->newdir('faults-XXXXXX', TMPDIR => 1) }, $class;
	my $last = $fault ? $fault->{phase} : 'stop';
	$self->{life} = $life //= life_of($fault);
	my @phases  = @{ $life->{phases} };
	my $program = $programs->[0];

	# Workers of another user knock at its control socket.
	chmod 0711, $self->{dir} or die "$self->{dir}: $!\n";
	# It will be replaced.
	if (grep { $_ eq 'back' } @phases) {
		$program = "$self->{dir}/prefork-echo";
		put_program($programs->[0], $program);
	}
	open $self->{log}, '>>', "$self->{dir}/log" or die "log: $!\n";
	my @options = map { $_ eq 'LOG' ? "$self->{dir}/log" : $_ } @{ $life->{options} // [] };
	my $env = $self->{order}->env($shim);
	$self->{syslog} = Faults::Syslog->new($self->{dir}, $self->{log}) if $life->{syslog};
	my @wrapper = $self->{syslog} ? $self->{syslog}->wrapper($env) : ();
	$self->{spawn} = sub {
		return spawn_process({ stdout => $self->{log}, stderr => $self->{log}, env => @wrapper ? {} : $env },
			@wrapper, $program, qw(-w 2 -p 0 -4 --control), "$self->{dir}/control.sock",
			'-P', "$self->{dir}/pid", '-c', $self->config(0), @options);
	};
	for my $phase (@phases) {
		next if $phase eq 'stop';
		$self->enter($phase, $last) or last;
		last if $phase eq $last;
	}
	$self->recover if $self->is_alive && $last ne 'stop';
	$self->enter('stop', $last);
	$self->look_around;
	$self->{text} = $self->text;
	$self->end;
	return ($self->{findings}, $self);
}

sub life_of {
	my ($fault) = @_;

	for my $life (grep { $_->{name} eq $fault->{life} } @LIVES) {
		return $life if grep { $_ eq $fault->{phase} } @{ $life->{phases} };
	}
	die "no life of $fault->{life} has $fault->{phase}\n";
}

sub put_program {
	my ($from, $to) = @_;

	copy($from, $to) or die "$to: $!\n";
	chmod 0700, $to  or die "$to: $!\n";
	return;
}

sub config {
	my ($self, $number) = @_;

	open my $file, '>', "$self->{dir}/conf" or die "conf: $!\n";
	print {$file} "idle-timeout = ", 1000 + $number, "\n" or die "conf: $!\n";
	close $file or die "conf: $!\n";
	return "$self->{dir}/conf";
}

# Without a finding where the line that was waited for is the one that failed.
sub find {
	my ($self, $text) = @_;
	my $silent = $self->{fault} && $self->{fault}{name} =~ $LINES && $text =~ /\bline\b|\bno\sworker\b/;

	push @{ $self->{findings} }, $text if !$silent;
	return;
}

# The log so far, or since it was marked.
sub text {
	my ($self, $from) = @_;

	open my $file, '<', "$self->{dir}/log" or die "log: $!\n";
	seek $file, $from // 0, 0;
	local $/ = undef;
	return <$file> // q{};
}

sub is_alive { my ($self) = @_; return !defined $self->status }

# The exit status, once it has ended; undef before. A stand-in that is the master
# again after an upgrade is no child of ours.
sub status {
	my ($self) = @_;

	my $ended = !defined $self->{status} && $self->{pid} && !alive($self->{pid});
	my $again = $ended && $self->{now} =~ /upgrade|back/ && wait_for(sub { $self->master_again }, PATIENCE / 4);
	if ($again && $again != $self->{pid}) {
		waitpid $self->{pid}, 0;
		$self->{pid} = $again;
		$self->{stands_in} = 1;
	}
	$self->{status} = 0 if !defined $self->{status} && $self->{stands_in} && !alive($self->{pid});
	$self->{status} = $? if !defined $self->{status} && $self->{pid} && waitpid($self->{pid}, 1) == $self->{pid};
	return $self->{status};
}

# The pid of the one that is the master again. Its line may be the one that failed.
sub master_again {
	my ($self) = @_;

	return $1 if $self->text =~ /is\sthe\smaster\sagain,\sas\sprocess\s(\d+)/;
	return if !$self->{fault} || $self->{fault}{name} !~ $LINES;
	my $pid = $self->pid_in_file;
	return $pid && $pid != $self->{pid} && alive($pid) ? $pid : undef;
}

sub pid_in_file {
	my ($self) = @_;

	open my $file, '<', "$self->{dir}/pid" or return;
	return (<$file> // q{}) =~ /\A(\d+)$/m ? $1 : undef;
}

# Wait for a line from now on, or for the end; false if none of both comes.
sub expect {
	my ($self, $from, $line) = @_;

	return wait_for(sub { $self->text($from) =~ $line || defined $self->status }, PATIENCE);
}

sub enter {
	my ($self, $phase, $last) = @_;
	my ($number) = grep { $PHASES[$_] eq $phase } 0 .. $#PHASES;
	my $method = $self->can("do_$phase");

	$self->{now} = $phase;
	$self->{order}->phase($number);
	$self->{mark} = -s "$self->{dir}/log";
	$self->{order}->arm($self->{fault}) if $self->{fault} && $phase eq $last;
	$method->($self);
	$self->check_clients if $self->is_alive;
	$self->{order}->disarm;
	return $self->is_alive;
}

sub do_start {
	my ($self) = @_;

	$self->{pid} = $self->{spawn}->();
	$self->expect(0, qr/\]\sready:/) or return $self->find('neither ready nor ended');
	$self->follow_daemon if $self->{life}{daemon};
	($self->{port}) = $self->text =~ /ready:\s.*?tcp\s127[.]0[.]0[.]1:(\d+)/;
	return;
}

# The parent ends when its child is ready, and else with its status.
sub follow_daemon {
	my ($self) = @_;

	wait_for(sub { defined $self->status }, PATIENCE) or return $self->find('the parent does not end');
	return if $self->status != 0;
	my $pid = wait_for(sub { $self->pid_in_file }, PATIENCE) or return $self->find('no pid file');
	@{$self}{qw(pid status stands_in)} = ($pid, undef, 1);
	# The log's process may write it later.
	$self->expect(0, qr/\]\sready:/);
	$self->find('the parent has told of a success, and nobody serves') if !alive($pid);
	return;
}

# Connections that stay, one that comes and goes, bytes that fill every buffer, a
# datagram, and a question.
sub do_serve {
	my ($self) = @_;

	push @{ $self->{clients} }, $self->client for 1 .. 2;
	$self->talk($_, 'x' x BULK) for @{ $self->{clients} };
	$self->talk($self->client, 'once');
	$self->datagram;
	$self->ask($_) for 'status', 'metrics', 'connections';
	return;
}

sub do_reload {
	my ($self) = @_;

	$self->config(1);
	kill 'HUP', $self->{pid};
	return $self->expect($self->{mark}, qr/\]\s(?!reloading)[^\n]*reload/)
	    || $self->find('no line tells how the reload ended');
}

sub do_crash {
	my ($self) = @_;
	# The youngest does not leave.
	my $worker = (workers_of($self->{pid}))[-1] // return;

	$self->part if $self->{life}{loses};
	kill 'KILL', $worker;
	return $self->expect($self->{mark}, qr/\]\sstarted\sworker/) || $self->find('no worker is started again');
}

sub do_reopen {
	my ($self) = @_;

	kill 'USR1', $self->{pid};
	return $self->expect($self->{mark}, qr/\]\s[^\n]*reopen/) || $self->find('no line tells how the reopening ended');
}

sub do_resize {
	my ($self) = @_;

	kill 'TTOU', $self->{pid};
	$self->expect($self->{mark}, qr/\]\sthe\snumber\sof\sworkers\sis\s1\s/) or return $self->find('no worker less');
	$self->check_clients;
	my $from = -s "$self->{dir}/log";
	kill 'TTIN', $self->{pid};
	return $self->expect($from, qr/\]\sstarted\sworker/) || $self->find('no worker more');
}

sub do_upgrade {
	my ($self) = @_;

	kill 'USR2', $self->{pid};
	return $self->expect($self->{mark}, qr/\]\s(?!upgrading)[^\n]*upgrad/)
	    || $self->find('no line tells how the upgrade ended');
}

# The next master takes over. One that fails says so, and the one after it does.
sub do_takeover {
	my ($self) = @_;

	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
	for my $try (1, 2) {
		$self->{status} = undef;
		$self->{pid} = $self->{spawn}->();
		$self->expect($self->{mark}, qr/\]\sreloaded:/) or return $self->find('no line tells of the end of the take-over');
		return 1 if $self->is_alive;
		$self->{order}->disarm;
		my ($text, $status) = ($self->text($self->{mark}), $self->status);
		$self->find("it ended with $status") if $status & 127 || !$STATUS{ $status >> 8 };
		$self->find('it ended without a line') if $text !~ /^prefork-echo:|\[master/m;
	}
	return $self->find('nobody takes over');
}

# The new program fails, and the stand-in is the master again.
sub do_back {
	my ($self) = @_;
	my $program = "$self->{dir}/prefork-echo";

	rename $program, "$program.old" or die "$program: $!\n";
	put_program($self->{programs}[1], $program);
	kill 'USR2', $self->{pid};
	$self->expect($self->{mark}, qr/\]\s[^\n]*(?:reloaded:|refused)/)
	    or $self->find('no line tells how the upgrade ended');
	rename "$program.old", $program or die "$program: $!\n";
	return 1 if $self->is_alive;
	# Both have failed, and the workers wait for the next one.
	$self->{order}->disarm;
	@{$self}{qw(status stands_in)} = ();
	$self->{pid} = $self->{spawn}->();
	return $self->expect($self->{mark}, qr/\]\sreloaded:/) || $self->find('nobody takes over');
}

# All clients go.
sub part {
	my ($self) = @_;
	close $_ for grep { $_ } splice @{ $self->{clients} };
	return;
}

sub do_stop {
	my ($self) = @_;

	$self->part;
	return if !$self->is_alive;
	kill 'TERM', $self->{pid};
	wait_for(sub { defined $self->status }, PATIENCE) or $self->find('TERM does not end it');
	return;
}

# An order that was refused once is carried out when it is given again.
sub recover {
	my ($self) = @_;

	$self->{now} = 'recovery';
	my $from = -s "$self->{dir}/log";
	for my $try (1 .. 3) {
		kill 'HUP', $self->{pid};
		last if wait_for(sub { $self->text($from) =~ /\]\sreloaded:/ || defined $self->status }, PATIENCE / 3);
	}
	return $self->find('it ended afterwards') if !$self->is_alive;
	$self->text($from) =~ /\]\sreloaded:/ or $self->find('it does not reload afterwards');
	# More, where a leaving one has kept connections.
	wait_for(sub { my @workers = workers_of($self->{pid}); @workers >= 2 }, PATIENCE)
	    or $self->find('it has not two workers afterwards');
	$self->check_clients;
	$self->talk($self->client, 'afterwards');
	$self->datagram;
	my ($ticks, $until) = ($self->ticks, now() + IDLE);
	wait_for(sub { now() > $until }, PATIENCE);
	my $used = $self->ticks - $ticks;
	$self->find("it spins: $used ticks of CPU in " . IDLE . ' s') if $used > 100 * IDLE / 2;
	$self->{fds} = scalar(my %fds = fds($self->{pid}));
	return;
}

sub ticks {
	my ($self) = @_;
	my $sum = 0;

	$sum += cpu_ticks($_) // 0 for $self->{pid}, workers_of($self->{pid});
	return $sum;
}

# clients

sub client {
	my ($self) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}, Timeout => PATIENCE);

	$self->lost("a connection: $@") if !$socket;
	return $socket;
}

# The bytes come back, or the connection is lost.
sub talk {
	my ($self, $socket, $bytes) = @_;
	my ($sent, $got) = (0, q{});
	my $deadline = now() + PATIENCE;

	return if !$socket || !defined fileno $socket;
	$socket->blocking(0);
	while (length $got < length $bytes) {
		my $n = $sent < length $bytes ? send $socket, substr($bytes, $sent, 65_536), MSG_NOSIGNAL : 0;
		$sent += $n if defined $n;
		$n = sysread $socket, $got, 65_536, length $got;
		if (defined $n ? $n == 0 : !$!{EAGAIN}) {
			$self->lost('a connection' . (defined $n ? q{} : ": $!"));
			return close $socket;
		}
		if (!defined $n) {
			return $self->lost('an answer') if now() > $deadline;
			wait_for(sub { is_ready($socket, $sent < length $bytes) }, PATIENCE);
		}
	}
	$self->find('wrong bytes came back') if $got ne $bytes;
	return 1;
}

sub is_ready {
	my ($socket, $to_write) = @_;
	my $set = q{};

	vec($set, fileno $socket, 1) = 1;
	return select my $r = $set, my $w = $to_write ? $set : undef, undef, 0;
}

# Datagrams may be lost; not three in a row.
sub datagram {
	my ($self) = @_;
	my $socket = IO::Socket::INET->new(Proto => 'udp', PeerAddr => '127.0.0.1', PeerPort => $self->{port})
	    // die "udp: $@\n";

	for my $try (1 .. 3) {
		send $socket, "try $try", 0;
		my $ready = wait_for(sub { is_ready($socket) || defined $self->status }, PATIENCE / 10);
		return if defined $self->status;
		return recv $socket, my $bytes, 100, 0 if $ready;
	}
	return $self->lost('three datagrams');
}

sub ask {
	my ($self, $question) = @_;

	require IO::Socket::UNIX;
	my $socket = IO::Socket::UNIX->new(Peer => "$self->{dir}/control.sock") // return $self->lost("control: $!");
	send $socket, "1 $question\n", MSG_NOSIGNAL;
	my $answer = q{};
	while (1) {
		wait_for(sub { is_ready($socket) }, PATIENCE) or return $self->find("$question is not answered");
		last if !sysread $socket, $answer, 65_536, length $answer;
	}
	# Without an answer prefork-ctl itself says so.
	return $answer =~ /\A(?:OK\n|ERR\s\d+\s)/ || $self->{fault} || $self->find("no answer to $question");
}

sub check_clients {
	my ($self) = @_;
	return map { $self->talk($_, 'still here') } @{ $self->{clients} };
}

# Something was lost: a line must tell why.
sub lost {
	my ($self, $text) = @_;

	return if defined $self->status;
	return $self->find("lost $text in $self->{now}") if !$self->{fault};
	push @{ $self->{lost} }, "$text in $self->{now}";
	return;
}

# the judgement

sub look_around {
	my ($self) = @_;
	my $text = $self->text;
	my $status = $self->status;

	if (defined $status) {
		$self->find('it ended by signal ' . ($status & 127)) if $status & 127;
		$self->find('exit status ' . ($status >> 8)) if !$STATUS{ $status >> 8 };
		$self->find('it ended without a line') if $status && $text !~ /\S/;
	}
	my ($crash) = $text =~ /^([^\n]*signal\s(?!9|15)\d+[^\n]*|[^\n]*Assertion[^\n]*)$/m;
	$self->find("crash: $crash") if $crash;
	# One connection may be lost by its own fault, and then with a line, if it was
	# not the line that failed.
	my @lost = @{ $self->{lost} // [] };
	my $told = $text =~ /\b(?:cannot|could\snot|failed|lost|closed|refused|no\smore|out\sof|dropped|paus|too\smany)/ix
	    || $text =~ /(?:exit[ ]status|ended[ ]with)/;
	$self->find("lost without a line: @lost") if @lost && !$told && $self->{fault}{name} !~ $LINES;
	$self->find('lost more than one: ' . join ', ', @lost) if @lost > 1 && !grep { /datagrams|control|answer\sto/ } @lost;
	my @left = wait_for(sub { !$self->processes }, PATIENCE) ? () : $self->processes;
	$self->find("left behind: @left") if @left;
	kill 'KILL', @left;
	return;
}

# All that have the order mapped.
sub processes {
	my ($self) = @_;
	my ($path, @found) = $self->{order}->path;

	for my $pid (map { m{(\d+)/cmdline\z} } glob '/proc/[0-9]*/cmdline') {
		open my $title, '<', "/proc/$pid/cmdline" or next;
		next if (<$title> // q{}) !~ /prefork-echo/;
		open my $maps, '<', "/proc/$pid/maps" or next;
		push @found, $pid if grep { index($_, $path) >= 0 } <$maps>;
	}
	return @found;
}

sub end {
	my ($self) = @_;

	kill 'KILL', $self->{pid} if $self->is_alive;
	waitpid $self->{pid}, 0 if !defined $self->{status};
	# It refers to its service, which would never be freed, nor its directory.
	delete @{$self}{qw(spawn syslog)};
	return;
}

1;

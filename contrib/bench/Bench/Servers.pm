package Bench::Servers;

# The servers: how each is started on one core, one worker, a port of its own,
# and which processes it consists of.

use strict;
use warnings;

use Bench::Build   qw(built);
use Exporter       'import';
use POSIX          ();
use Prefork::Tools qw(run_cmd spawn_process wait_for now alive children);

our @EXPORT_OK = qw(servers known add_server start_server start_command stop_server read_until raised);

use constant TIMEOUT => 20;
use constant CHUNK   => 4096;

my @order = qw(floor prefork eager deferred poll uring libuv libevent libev asio asyncio uvloop node go);
my %packages = (asyncio => 'python3', uvloop => 'python3-uvloop', node => 'nodejs');
my %commands;
my %own = map { $_ => 1 } qw(prefork eager deferred poll);
my %running;

# Each is in a process group of its own, so that nothing but this ends it.
END { kill 'KILL', map { ($_, descendants($_)) } keys %running }

sub descendants {
	my ($pid) = @_;

	return map { ($_, descendants($_)) } children($pid);
}

sub known { return @order }

# The names of those that can be run, of those wanted or of all, in a fixed
# order; the floor is always among them.
sub servers {
	my (@wanted) = @_;
	my %wanted = map { $_ => 1 } @wanted ? (@wanted, 'floor') : @order;

	return grep { $wanted{$_} && command($_) } @order;
}

# add_server(NAME, COMMAND...): one that takes prefork-echo's options and prints
# its lines.
sub add_server {
	my ($name, @command) = @_;

	$commands{$name} = \@command;
	$own{$name}      = 1;
	return;
}

sub command {
	my ($name) = @_;

	$commands{$name} = [ find_command($name) ] if !$commands{$name};
	return @{ $commands{$name} };
}

sub find_command {
	my ($name) = @_;
	my $peers = "$Bench::Build::ROOT/contrib/bench/peers";
	my @echo  = ("$Bench::Build::O/prefork-echo", qw(-w 1 -p 0 -b 127.0.0.1));

	return @echo if $name eq 'prefork';
	return (@echo, qw(--coalesce off)) if $name eq 'eager';
	return (@echo, qw(--poller poll)) if $name eq 'poll';
	return (@echo, qw(--defer-accept on)) if $name eq 'deferred';
	if ($name eq 'node') {
		my $node = find('node', 'nodejs');
		return ($node, "$peers/node.js") if $node;
	} elsif ($name eq 'asyncio' || $name eq 'uvloop') {
		my $python = python($name);
		return ($python, "$peers/asyncio_echo.py") if $python;
	} else {
		my $path = built($name);
		return $path ? ($path) : ();
	}
	Bench::Build::missing($name, $packages{$name});
	return;
}

sub find {
	for my $name (@_) {
		for my $dir (split /:/, $ENV{PATH}) {
			return "$dir/$name" if -x "$dir/$name";
		}
	}
	return;
}

# Debian's Python is the one that Debian's packages are for.
sub python {
	my ($module) = @_;

	for my $python (grep { -x } '/usr/bin/python3', find('python3')) {
		my ($code) = run_cmd($python, '-c', "import $module");
		return $python if $code eq '0';
	}
	return;
}

# Whether server and load run before all other processes of the machine.
our $FIRST = 0;

# A command with as many descriptors as this user may have, on one CPU.
sub raised {
	my ($cpu, @command) = @_;

	return ('sh', '-c', 'ulimit -n "$(ulimit -Hn)"; exec "$@"', 'sh',
		defined $cpu ? ('taskset', '-c', $cpu) : (), $FIRST ? qw(chrt -f 1) : (), @command);
}

# start_server(NAME, tcp|udp, CPU, ADD...): running and ready, with its port and
# the pids of its processes.
sub start_server {
	my ($name, $protocol, $cpu, @before) = @_;
	my @command = command($name);

	push @command, $protocol if !$own{$name};
	push @command, 'uvloop' if $name eq 'uvloop';
	return start_command($cpu, @before, @command);
}

sub start_command {
	my ($cpu, @command) = @_;

	pipe my $out, my $out_w or die "pipe: $!\n";
	my $server = { begun => now(), text => q{}, out => $out };
	$server->{pid} = spawn_process({ stdout => $out_w, stderr => $out_w }, raised($cpu, @command));
	close $out_w;
	$running{ $server->{pid} } = 1;
	my $line = read_until($server, qr/\bready(?::\s\d+\sworkers?\son\stcp\s[\d.]+:|\s)(\d+)/x);
	if (!defined $line) {
		stop_server($server);
		die "@command is not ready: $server->{text}\n";
	}
	$server->{port}  = $line;
	$server->{ready} = now();
	$server->{pids} = [ $server->{pid}, descendants($server->{pid}) ];
	return $server;
}

# Reads its output until that matches; returns the first group.
sub read_until {
	my ($server, $pattern) = @_;
	my $deadline = now() + TIMEOUT;

	while ((my $left = $deadline - now()) > 0) {
		return $1 // 1 if $server->{text} =~ $pattern;
		my $bits = q{};
		vec($bits, fileno $server->{out}, 1) = 1;
		next if select($bits, undef, undef, $left) < 1;
		sysread($server->{out}, $server->{text}, CHUNK, length $server->{text}) or last;
	}
	return;
}

sub stop_server {
	my ($server) = @_;
	my @pids = ($server->{pid}, descendants($server->{pid}));

	kill 'KILL', @pids;
	waitpid $server->{pid}, 0;
	delete $running{ $server->{pid} };
	wait_for(sub { !grep { alive($_) } @pids }, TIMEOUT);
	close $server->{out};
	return;
}

1;

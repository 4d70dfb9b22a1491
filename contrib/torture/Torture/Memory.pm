package Torture::Memory;

# The row in which memory runs out: a file in memory fills the server's cgroup. It
# is no process's, so that the kernel has to end one of the server's.

use strict;
use warnings;

use Prefork::Tools qw(children is_root spawn_process wait_for workers_of);
use Torture::Rows;
use Torture::Run;

use constant {
	WORKERS => 4,
	LIMIT   => 64 << 20,
	STEP    => 1 << 18,
	GROUPS  => '/sys/fs/cgroup',
	FILES   => '/dev/shm',
};

# The files of a memory controller: of version 1, or of the one hierarchy of 2.
my @kinds = (
	{ dir => GROUPS . '/memory', limit => 'memory.limit_in_bytes', events => 'memory.oom_control' },
	{ dir => GROUPS, limit => 'memory.max', events => 'memory.events' },
);

sub rows { return ([ 'memory' => \&memory ]) }

sub write_to {
	my ($path, $value) = @_;

	open my $file, '>', $path or return 0;
	my $written = print {$file} $value;
	return close($file) && $written;
}

# A new group with a limit, or nothing.
sub group {
	for my $kind (@kinds) {
		my $dir = "$kind->{dir}/prefork-torture-$$";
		next if !-e "$kind->{dir}/cgroup.procs" || !mkdir $dir;
		return { %{$kind}, path => $dir }
		    if -e "$dir/$kind->{limit}" && write_to("$dir/$kind->{limit}", LIMIT);
		rmdir $dir;
	}
	return;
}

# How often the kernel has ended a process of it.
sub kills_in {
	my ($group) = @_;

	open my $file, '<', "$group->{path}/$group->{events}" or return 0;
	my ($n) = map { /^oom_kill\s(\d+)/ } <$file>;
	return $n // 0;
}

sub memory {
	my $group = is_root() ? group() : undef;

	if (!$group) {
		skip_row('memory', 'no cgroup with a limit of memory can be made');
		return;
	}
	my $done = eval { loaded($group); 1 };
	my $why  = $@;
	wait_for(sub { rmdir $group->{path} }, 5);
	die $why if !$done;
	return;
}

sub loaded {
	my ($group) = @_;

	run_loaded(
		row    => 'memory',
		load   => [ [ '-n', 50 ], [ '-c', '-n', 16 ], [ '-u', '-n', 16 ] ],
		events => sub {
			my ($server) = @_;
			my @all = ($server->{pid}, children($server->{pid}), workers_of($server->{pid}));
			my @keepers = children($server->{pid});
			write_to("$group->{path}/cgroup.procs", $_) for @all;
			my @wrong;
			for (1 .. Torture::Rows::times_of(5, 2)) {
				push @wrong, hungry($group), $server->settle(WORKERS) ? () : 'it does not settle';
			}
			my $kills  = kills_in($group);
			my @gone   = grep { !kill 0, $_ } $server->{pid}, @keepers;
			return (
				events => $kills,
				wrong  => [ @wrong, @gone ? 'not a worker was killed first' : (),
					$kills ? () : 'no process was killed' ],
			);
		},
	);
	return;
}

# Takes memory in the group, step by step, until a process was killed, and gives
# all back, as a worker with a leak does; returns the fault, or nothing.
sub hungry {
	my ($group) = @_;
	my $before = kills_in($group);
	my $pid = spawn_process({}, $^X, '-e', <<'END', STEP, $group->{path}, FILES);
my ($step, $path, $files) = @ARGV;
open my $group, '>', "$path/cgroup.procs" or die "$path: $!\n";
print {$group} $$;
close $group or die "$path: $!\n";
open my $file, '+>', "$files/prefork-torture-$$" or die "$files: $!\n";
unlink "$files/prefork-torture-$$";
while (1) {
	syswrite $file, 'x' x $step;
	select undef, undef, undef, 0.005;
}
END
	my $enough = wait_for(sub { kills_in($group) > $before }, 60);

	kill 'KILL', $pid;
	waitpid $pid, 0;
	return $enough ? () : 'memory does not run out';
}

1;

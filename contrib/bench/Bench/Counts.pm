package Bench::Counts;

# Figures that do not depend on the load of the machine: system calls a message
# by strace(1), user instructions a message by valgrind(1)'s callgrind.

use strict;
use warnings;

use Bench::Measure qw(load_once);
use Bench::Servers qw(start_server stop_server read_until);
use Exporter       'import';
use File::Temp     ();
use Prefork::Tools qw(spawn_process wait_for);

our @EXPORT_OK = qw(system_calls instructions has_tool);

use constant TIMEOUT => 60;
use constant FEW     => 10_000;
use constant MANY    => 20_000;

sub has_tool { my ($name) = @_; return scalar grep { -x "$_/$name" } split /:/, $ENV{PATH} }

# Both count a run of many messages and one of few: the difference is that of
# the messages alone, without the cost of a start and of new connections.
sub slope {
	my ($count, $run, $settings) = @_;
	my @counted = map { $count->($run, $settings, $_) } FEW, MANY;

	return if grep { !defined } @counted;
	return ($counted[1] - $counted[0]) / (MANY - FEW);
}

sub system_calls { return slope(\&calls, @_) }

sub instructions { return slope(\&collected, @_) }

# By strace -c, attached while the load runs.
sub calls {
	my ($run, $settings, $count) = @_;
	my $server = start($run, $settings);
	my $file   = File::Temp->new;
	my $n      = @{ $server->{pids} };

	pipe my $err, my $err_w or die "pipe: $!\n";
	my $tracer = {
		out  => $err,
		text => q{},
		pid  => spawn_process({ stdout => $err_w, stderr => $err_w },
			qw(strace -f -c -o), "$file", map { ('-p', $_) } @{ $server->{pids} }),
	};
	close $err_w;
	read_until($tracer, qr/(?:\battached\b.*){$n}/s);
	my $figures = eval { load($server, $settings, $run, $count) };
	kill 'INT', $tracer->{pid};
	waitpid $tracer->{pid}, 0;
	stop_server($server);
	return if !$figures;
	return (join(q{}, <$file>) =~ /^\s*100[.]00\s+\S+\s+(?:\S+\s+)?(\d+)(?:\s+\d+)?\s+total$/m)[0];
}

sub load {
	my ($server, $settings, $run, $count) = @_;

	return load_once($server, $settings, $run->{mode}, @{ $run->{load} }, qw(-w 0 -d 60 -c), $count);
}

sub start {
	my ($run, $settings, @before) = @_;

	return start_server($run->{server}, $run->{mode} eq 'udp' ? 'udp' : 'tcp', $settings->{server_cpu}, @before);
}

# By callgrind, which counts each process of the server on its own.
sub collected {
	my ($run, $settings, $count) = @_;
	my $dir = File::Temp->newdir;
	my $server = start($run, $settings, qw(valgrind --tool=callgrind), "--callgrind-out-file=$dir/out.%p");
	my $figures = eval { load($server, $settings, $run, $count) };

	kill 'TERM', $server->{pid};
	wait_for(sub { waitpid($server->{pid}, POSIX::WNOHANG()) != 0 }, TIMEOUT);
	my $sum = 0;
	for my $path (glob "$dir/out.*") {
		open my $file, '<', $path or next;
		while (my $line = <$file>) {
			$sum += $1 if $line =~ /^(?:summary|totals):\s+(\d+)/;
			last if $line =~ /^summary:/;
		}
	}
	stop_server($server);
	return $figures && $sum ? $sum : undef;
}

1;

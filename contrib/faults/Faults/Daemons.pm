package Faults::Daemons;

# The programs that serve HTTP until a signal: each starts, answers, ends at TERM, and
# meets one fault in that life. It goes on answering, or ends with one clear error.

use strict;
use warnings;

use Faults::Order;
use Faults::Service;
use File::Temp ();
use IO::Select;
use IO::Socket::INET;
use POSIX          ();
use Prefork::Tools qw(wait_for spawn_process);

use constant PATIENCE => 20;
use constant TRIES    => 3;

my @PATHS = qw(/metrics /status.json /doctor.json / /livez /readyz /nothing);

# rows($programs, $service): a name and a command for each.
sub rows {
	my ($programs, $service) = @_;
	my $target = "127.0.0.1:$service->{port}";

	return (
		[ 'exporter', "$programs/prefork-exporter", qw(-l 127.0.0.1:0), $service->{socket} ],
		[ 'serve', "$programs/echo-check", qw(--serve 127.0.0.1:0 --target), $target, '--target', "$target/udp" ],
	);
}

# run($class, $shim, $row, $fault): the findings, the sites, a text about it, and whether the
# call was met.
sub run {
	my (undef, $shim, $row, $fault) = @_;
	my ($name, @command) = @{$row};
	my $order = Faults::Order->new;
	my $log   = File::Temp->new(TEMPLATE => 'faults-XXXXXX', TMPDIR => 1);
	my ($at, $status, @findings);

	$order->arm($fault) if $fault;
	my $pid = spawn_process({ stdout => $log, stderr => $log, env => $order->env($shim) }, @command);
	my $has_ended = sub {
		$status //= waitpid($pid, POSIX::WNOHANG()) == $pid ? $? : undef;
		return defined $status;
	};
	wait_for(sub { ($at) = slurp("$log") =~ m{http://([\d.:]+)/}; $at || $has_ended->() }, PATIENCE);
	if (defined $at) {
		get($at, $_) for @PATHS, @PATHS;
		push @findings, 'it does not answer any more'
		    if !(grep { get($at, '/metrics') =~ m{^HTTP/1[.]1\s200} } 1 .. TRIES) && !$has_ended->();
	} elsif (!$has_ended->() && !is_of_lines($fault)) {
		push @findings, 'it does not start to serve';
	}
	kill 'TERM', $pid if !$has_ended->();
	if (!wait_for($has_ended, PATIENCE)) {
		push @findings, 'it does not end';
		kill 'KILL', $pid;
		waitpid $pid, 0;
		$status = 0;
	}
	my $text = slurp("$log");
	push @findings, 'signal ' . ($status & 127) if $status & 127;
	push @findings, "it ends with $status, without a line"
	    if $status && $text !~ /:\s/ && !is_of_lines($fault);
	return (\@findings, [ $order->sites ], "exit status $status\n$text", $order->hit);
}

# Whether the fault is one of writing a line, which cannot tell of itself.
sub is_of_lines {
	my ($fault) = @_;
	return $fault && $fault->{name} =~ $Faults::Service::LINES;
}

# The answer, or as much of it as came.
sub get {
	my ($at, $path) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => $at, Timeout => PATIENCE) or return q{};
	my $select = IO::Select->new($socket);
	my $answer = q{};

	print {$socket} "GET $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	while ($select->can_read(PATIENCE)) {
		sysread $socket, $answer, 65_536, length $answer or last;
	}
	return $answer;
}

sub slurp {
	my ($path) = @_;

	open my $file, '<', $path or die "$path: $!\n";
	local $/ = undef;
	return readline($file) // q{};
}

1;

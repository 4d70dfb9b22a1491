package Bench::Life;

# Memory of prefork-echo, and how long a start, a replacement and a reload take.

use strict;
use warnings;

use Bench::Build   ();
use Bench::Measure qw(load_once median);
use Bench::Servers qw(start_server stop_server start_command read_until);
use Exporter       'import';
use IO::Socket::IP ();
use Prefork::Tools qw(now children wait_for workers_of);
use Socket         qw(SOCK_STREAM);

our @EXPORT_OK = qw(life_times memory);

use constant TIMEOUT => 10;
use constant IDLE    => 10_000;
use constant WORKERS => 4;
use constant TEXT    => 'x' x 64;

sub start_workers {
	my ($workers) = @_;

	return start_command(undef, "$Bench::Build::O/prefork-echo", '-w', $workers, qw(-p 0 -b 127.0.0.1));
}

# {start, replacement, reload}: each a list of milliseconds.
sub life_times {
	my ($times) = @_;
	my %ms = (start => [], replacement => [], reload => []);
	my $server;

	for (1 .. $times) {
		$server = start_workers(WORKERS);
		push @{ $ms{start} }, 1e3 * ($server->{ready} - $server->{begun});
		stop_server($server);
	}
	$server = start_workers(WORKERS);
	for (1 .. $times) {
		$server->{text} = q{};
		my $begun = now();
		kill 'HUP', $server->{pid};
		read_until($server, qr/\breloaded:[^\n]*\n/x) or die "no reload: $server->{text}\n";
		push @{ $ms{reload} }, 1e3 * (now() - $begun);
		settle($server, WORKERS);
	}
	stop_server($server);
	for (1 .. $times) {
		$server = start_workers(1);
		my $took = eval { replace($server) };
		my $error = $@;
		stop_server($server);
		push @{ $ms{replacement} }, $took // die $error;
	}
	return \%ms;
}

# Waits until its predecessors have gone, so that no two reloads overlap.
sub settle {
	my ($server, $workers) = @_;

	wait_for(sub { my @children = children($server->{pid}); return @children == $workers }, TIMEOUT) or die "too many workers stay\n";
	return;
}

# A client stands in the queue of a worker that is stopped; from the kill on,
# how long until a replacement has accepted and answered it?
sub replace {
	my ($server) = @_;
	my ($worker) = workers_of($server->{pid});

	kill 'STOP', $worker;
	wait_for(sub { state_of($worker) =~ /[Tt]/ }, TIMEOUT) or die "the worker does not stop\n";
	my $client = IO::Socket::IP->new(
		PeerHost => '127.0.0.1',
		PeerPort => $server->{port},
		Type     => SOCK_STREAM,
	) or die "connect: $@\n";
	$client->syswrite(TEXT) == length TEXT or die "send: $!\n";
	my $begun = now();
	kill 'KILL', $worker;
	my $bits = q{};
	vec($bits, fileno $client, 1) = 1;
	select($bits, undef, undef, TIMEOUT) == 1 or die "nobody answers\n";
	my $took = 1e3 * (now() - $begun);
	$client->sysread(my $echo, length TEXT) // die "recv: $!\n";
	$echo eq TEXT or die "the answer is wrong\n";
	return $took;
}

sub state_of {
	my ($pid) = @_;

	open my $file, '<', "/proc/$pid/stat" or return q{};
	return (<$file> // q{}) =~ /^.*\)\s(\S)/ ? $1 : q{};
}

# Private memory of a worker that has just started, and the addition by an idle
# connection; in bytes. A first load warms up the shared parts.
sub memory {
	my ($settings) = @_;
	my $server   = start_server('prefork', 'tcp', $settings->{server_cpu});
	my ($worker) = workers_of($server->{pid});
	my %memory   = (worker => private_bytes($worker));

	if ($settings->{descriptors} > IDLE + 200) {
		my %alone = (%{$server}, pids => [$worker]);
		my @bytes = map {
			my $idle    = $_;
			my $figures = eval { load_once(\%alone, $settings, 'tcp', qw(-w 0 -d 0.1 -i), $idle) };
			$figures ? $figures->{memory} : ();
		} 0, IDLE;
		$memory{connection} = ($bytes[1] - $bytes[0]) / IDLE if @bytes == 2;
	}
	stop_server($server);
	return \%memory;
}

sub private_bytes {
	my ($pid) = @_;
	my $kib = 0;

	open my $file, '<', "/proc/$pid/smaps_rollup" or return;
	while (my $line = <$file>) {
		$kib += $1 if $line =~ /^Private_(?:Clean|Dirty):\s+(\d+)/;
	}
	return $kib * 1024;
}

1;

package Torture::Relay;

# Clients 40 ms away: relay.c, built when it is first needed, and how to run a
# command at its far end.

use strict;
use warnings;

use File::Basename ();
use IO::Handle;
use Prefork::Tools qw(wait_for run_cmd spawn_process is_root compiler);

use constant ADDRESS => '10.77.0.1';

our $DIR;
our $ONE_WAY_MS = 20;
my $relay;
my $all_said = q{};

# Why there can be none; nothing when there can.
sub missing {
	return 'only root can make TUN devices and namespaces' if !is_root();
	return 'there is no /dev/net/tun' if !-e '/dev/net/tun';
	for my $program (((compiler())[0], 'nsenter')) {
		return "$program is not installed"
		    if !grep { -x "$_/$program" } split /:/, $ENV{PATH};
	}
	return;
}

# The one relay, up and running.
sub up {
	return $relay if $relay;
	my $source = File::Basename::dirname(__FILE__) . '/../relay.c';
	my ($code, undef, $errors) =
	    run_cmd({ timeout => 60 }, '/usr/bin/env', compiler(), '-O2', '-D_GNU_SOURCE', '-o', "$DIR/relay", $source);
	die "cannot build the relay: $errors\n" if $code;
	open my $out, '+>', undef or die "temporary file: $!\n";
	my $pid = spawn_process({ stdout => $out, stderr => \*STDERR }, "$DIR/relay", $ONE_WAY_MS);
	$relay = bless { pid => $pid, out => $out, ms => $ONE_WAY_MS }, __PACKAGE__;
	wait_for(sub { $relay->said =~ /^ready$/m }) or die "the relay is not ready\n";
	# One address has to do: its ports are needed again after a second.
	$relay->far_cmd('echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range; echo 1 >/proc/sys/net/ipv4/tcp_tw_reuse');
	return $relay;
}

sub said {
	my ($self) = @_;

	seek $self->{out}, 0, 0;
	return do { local $/ = undef; readline($self->{out}) // q{} };
}

# The words before a command that make it run at the far end.
sub before { my ($self) = @_; return [ 'nsenter', '-n', '-t', $self->{pid} ] }

sub far_cmd {
	my ($self, $command) = @_;
	my ($code, undef, $errors) =
	    run_cmd('/usr/bin/env', @{ $self->before }, 'sh', '-c', $command);

	die "far end: $errors\n" if $code;
	return;
}

# Packets that the devices' queues have dropped, at both ends.
sub dropped {
	my ($self) = @_;
	my $dropped = 0;

	for my $pid ('self', $self->{pid}) {
		open my $file, '<', "/proc/$pid/net/dev" or next;
		while (my $line = <$file>) {
			my @fields = split q{ }, $line;
			$dropped += $fields[4] + $fields[12] if $fields[0] eq 'tun0:';
		}
	}
	return $dropped;
}

# Ends the relay; returns the counts of all so far.
sub down {
	return $all_said if !$relay;
	kill 'TERM', $relay->{pid};
	waitpid $relay->{pid}, 0;
	my $said = $relay->said =~ s/^ready\n//r;
	$said =~ s/^/$relay->{ms} ms /mg;
	$all_said .= $said;
	undef $relay;
	return $all_said;
}

1;

package Bench::Machine;

# The machine, and the other work on it.

use strict;
use warnings;

use Exporter 'import';
use POSIX    ();

our @EXPORT_OK = qw(describe cpus load_average steal_seconds descriptors);

sub slurp {
	my ($path) = @_;

	open my $file, '<', $path or return q{};
	local $/ = undef;
	return scalar <$file> // q{};
}

# The CPUs that this process may use.
sub cpus {
	my ($list) = slurp('/proc/self/status') =~ /^Cpus_allowed_list:\s+(\S+)/m;

	return map { /^(\d+)-(\d+)$/ ? ($1 .. $2) : $_ } split /,/, $list // '0';
}

sub load_average { return 0 + (split q{ }, slurp('/proc/loadavg'))[0] }

# The CPU time that the hypervisor gave to others, of all CPUs, since the boot.
sub steal_seconds {
	my @ticks = split q{ }, (split /\n/, slurp('/proc/stat'))[0] // q{};

	return ($ticks[8] // 0) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# How many descriptors a process may be given.
sub descriptors {
	my ($hard) = slurp('/proc/self/limits') =~ /^Max\sopen\sfiles\s+\S+\s+(\S+)/m;

	return !defined $hard || $hard eq 'unlimited' ? 1 << 20 : $hard;
}

sub describe {
	my ($model)  = slurp('/proc/cpuinfo') =~ /^model\sname\s*:\s*(.+)$/m;
	my ($kib)    = slurp('/proc/meminfo') =~ /^MemTotal:\s+(\d+)/m;
	my ($system) = slurp('/etc/os-release') =~ /^PRETTY_NAME="?([^"\n]+)/m;
	my $virtual  = slurp('/proc/cpuinfo') =~ /^flags\s*:.*\bhypervisor\b/m;

	# It paces a sender, or does not: on loopback too.
	my ($control) = split q{ }, slurp('/proc/sys/net/ipv4/tcp_congestion_control');

	return sprintf '%s%s, %d CPUs to use, %.0f GiB, Linux %s with %s, %s',
	    $model // (POSIX::uname())[4], $virtual ? ' (virtual)' : q{}, scalar cpus(),
	    ($kib // 0) / 1024 / 1024, (POSIX::uname())[2], $control // 'no TCP', $system // 'no os-release';
}

1;

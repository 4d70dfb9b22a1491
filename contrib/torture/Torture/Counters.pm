package Torture::Counters;

# The kernel's own counts of faults in a network namespace: the cause of a late
# answer, and the side at fault.

use strict;
use warnings;

use Exporter 'import';

our @EXPORT_OK = qw(counters counted);

# The counters that are printed when they are not zero, and their words.
my @told = (
	[ 'TcpExtTCPSynRetrans'      => 'SYNs sent again' ],
	[ 'TcpRetransSegs'           => 'segments sent again' ],
	[ 'TcpExtListenDrops'        => 'dropped by a listener' ],
	[ 'TcpExtListenOverflows'    => 'its queue was full' ],
	[ 'TcpExtTCPReqQFullDrop'    => 'too many handshakes' ],
	[ 'TcpExtTCPBacklogDrop'     => 'dropped by a busy socket' ],
	[ 'TcpExtTCPRcvQDrop'        => 'dropped by a full socket' ],
	[ 'TcpExtPAWSActive'         => 'SYN-ACKs too old' ],
	[ 'TcpExtTCPChallengeACK'    => 'challenged' ],
	[ 'TcpExtTCPACKSkippedSynRecv' => 'ACKs skipped in a handshake' ],
);

# Of a process's namespace, or our own.
sub counters {
	my ($pid) = @_;
	my %counters;

	for my $name (qw(snmp netstat)) {
		open my $file, '<', '/proc/' . ($pid // 'self') . "/net/$name" or next;
		while (my $line = <$file>) {
			my ($group, @names) = split q{ }, $line;
			my (undef, @values) = split q{ }, readline($file) // q{};
			$group =~ s/:$//;
			@counters{ map { "$group$_" } @names } = @values;
		}
	}
	return \%counters;
}

# The counts between the two, as one text; nothing when all went well.
sub counted {
	my ($before, $after) = @_;
	my @words;

	for my $entry (@told) {
		my ($name, $words) = @{$entry};
		my $n = ($after->{$name} // 0) - ($before->{$name} // 0);
		push @words, "$n $words" if $n;
	}
	return join ', ', @words;
}

1;

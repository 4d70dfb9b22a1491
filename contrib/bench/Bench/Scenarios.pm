package Bench::Scenarios;

# The measurements: each scenario is a list of runs, which alternate within a
# round. A run is a server, the load's arguments, and the run that its figure is
# divided by. A scenario tells how many descriptors a process needs.

use strict;
use warnings;

use Exporter 'import';

our @EXPORT_OK = qw(scenarios names);

# Of a process's descriptors, those that are no connections.
use constant OTHERS => 100;
use constant IDLE   => 10_000;
use constant SIZES  => (10, 100, 1000, 10_000);

# Where else than in every scenario a variant of prefork is of interest.
my %only = (poll => qr/^$/, deferred => qr/^connect$/, eager => qr/^(?:bulk|connect|udp-16x8)$/);

# Name, title, and the load.
my @table = (
	[ 'tcp-1',       'TCP, 1 connection x 64 B',              'tcp',     qw(-n 1) ],
	[ 'tcp-50',      'TCP, 50 connections x 64 B',            'tcp',     qw(-n 50) ],
	[ 'tcp-1000',    'TCP, 1,000 connections x 64 B',         'tcp',     qw(-n 1000) ],
	[ 'pipelined',   'TCP, 50 connections x 64 B, 16 on the way', 'tcp', qw(-n 50 -k 16) ],
	[ 'bulk',        'TCP, 8 connections x 64 KiB, 4 on the way', 'tcp', qw(-n 8 -z 65536 -k 4) ],
	[ 'connect',     'TCP, connect, 64 B, close; 32 at a time',   'connect', qw(-n 32) ],
	[ 'udp-1',       'UDP, 1 socket x 64 B',                  'udp',     qw(-n 1) ],
	[ 'udp-16',      'UDP, 16 sockets x 64 B',                'udp',     qw(-n 16) ],
	[ 'udp-16x8',    'UDP, 16 sockets x 64 B, 8 on the way',  'udp',     qw(-n 16 -k 8) ],
	[ 'udp-segment', 'the same, 8 a call by UDP_SEGMENT',     'udp',     qw(-n 16 -k 8 -s 8) ],
);

sub names { return ((map { $_->[0] } @table), 'idle', 'growth', 'growth-few') }

# Those of the names wanted, or all, for the servers given.
sub scenarios {
	my ($servers, @wanted) = @_;
	my %wanted = map { $_ => 1 } @wanted;
	my @all;

	for my $row (@table) {
		my ($name, $title, $mode, @load) = @{$row};
		my @runs = map { { label => $_, server => $_, mode => $mode, load => \@load, base => 'floor' } }
		    grep { !$only{$_} || $name =~ $only{$_} } @{$servers};
		my %load = @load;
		push @all, { name => $name, title => $title, runs => \@runs, descriptors => $load{-n} + OTHERS };
	}
	push @all, idle($servers),
	    growth($servers, 'growth', 'TCP, so many connections x 64 B'),
	    growth($servers, 'growth-few', 'the same, but 10 messages on the way in all, on each in turn', qw(-a 10));
	return grep { !@wanted || $wanted{ $_->{name} } } @all;
}

sub idle {
	my ($servers) = @_;
	my @runs;

	for my $server (grep { /^(?:floor|prefork|libuv|libev)$/ } @{$servers}) {
		push @runs, { label => $server, server => $server, mode => 'tcp', load => [qw(-n 50)], base => $server };
		push @runs, {
			label  => "$server, 10,000 idle",
			server => $server,
			mode   => 'tcp',
			load   => [ '-n', 50, '-i', IDLE ],
			base   => $server,
		};
	}
	return { name => 'idle', title => 'TCP, 50 connections x 64 B, with and without 10,000 idle ones', runs => \@runs,
		descriptors => IDLE + 50 + OTHERS };
}

sub growth {
	my ($servers, $name, $title, @load) = @_;
	my @runs;

	for my $server (grep { /^(?:floor|prefork|poll)$/ } @{$servers}) {
		for my $n (SIZES) {
			push @runs, {
				label  => "$server, " . commas($n),
				server => $server,
				mode   => 'tcp',
				load   => [ '-n', $n, @load ],
				base   => "$server, 10",
			};
		}
	}
	return { name => $name, title => $title, runs => \@runs, descriptors => IDLE + 50 + OTHERS };
}

sub commas { my ($n) = @_; return $n >= 1000 ? int($n / 1000) . ',' . sprintf '%03d', $n % 1000 : $n }

1;

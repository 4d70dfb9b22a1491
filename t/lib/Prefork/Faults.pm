package Prefork::Faults;

# Echo servers that go wrong on purpose, each in a process of its own:
#
# 	my $server = Prefork::Faults->tcp(sub {
# 		my ($connection, $message, $count) = @_;
# 		return 0 if $count % 10;
# 		$connection->reset;
# 		return 1;
# 	});
# 	... $server->port ...
# 	is($found, $server->faults);
#
# The code is called for every message, with its number from 1 on; it returns
# true when it has done something wrong, else the message is echoed. It may
# return -1: nothing wrong, and nothing to echo either. Options: once => 1
# closes a connection after its echo; idle => sub {...} is called when nothing
# has come for a while. A server goes with its object.

use strict;
use warnings;

use IO::Select;
use IO::Socket::IP;
use POSIX ();
use Socket qw(SOMAXCONN SOCK_STREAM SOCK_DGRAM);

use Prefork::Sockets qw(reset_connection);
use Prefork::Tools qw(wait_for);

use constant SIZE  => 64;
use constant CHUNK => 65_536;
use constant IDLE  => 0.05;

sub tcp {
	my ($class, $fault, %options) = @_;
	my $socket = IO::Socket::IP->new(
		LocalHost => '127.0.0.1',
		LocalPort => 0,
		Type      => SOCK_STREAM,
		Listen    => SOMAXCONN,
	) or die "tcp: $@\n";

	return start($class, $socket, \&serve_tcp, $fault, %options);
}

# The connection's place is taken by the datagram's: write answers its sender.
sub udp {
	my ($class, $fault, %options) = @_;
	my $socket = IO::Socket::IP->new(
		LocalHost => '127.0.0.1',
		LocalPort => 0,
		Type      => SOCK_DGRAM,
	) or die "udp: $@\n";

	return start($class, $socket, \&serve_udp, $fault, %options);
}

sub start {
	my ($class, $socket, $serve, $fault, %options) = @_;
	my $port = $socket->sockport;

	pipe my $read, my $write or die "pipe: $!\n";
	my $pid = fork // die "fork: $!\n";
	if ($pid == 0) {
		close $read;
		local $SIG{PIPE} = 'IGNORE';
		eval { $serve->($socket, $write, $fault, %options); 1 }
		    or print {*STDERR} "# faulty server: $@";
		POSIX::_exit(0);
	}
	return bless {
		pid   => $pid,
		port  => $port,
		notes => $read,
		owner => $$,
		count => 0,
	}, $class;
}

sub port { return $_[0]{port} }

# How often the code has done something wrong by now.
sub faults {
	my ($self) = @_;

	while (IO::Select->new($self->{notes})->can_read(0)) {
		my $n = sysread $self->{notes}, my $bytes, CHUNK or last;
		$self->{count} += $n;
	}
	return $self->{count};
}

sub DESTROY {
	my ($self) = @_;

	return if $$ != $self->{owner};
	local ($?, $!);
	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

# The code that runs in the server.

sub serve_tcp {
	my ($listener, $notes, $fault, %options) = @_;
	my $select = IO::Select->new($listener);
	my %server = (
		listener => $listener,
		select   => $select,
		notes    => $notes,
		fault    => $fault,
		count    => 0,
		%options
	);
	my %connections;

	while (1) {
		my @ready = $select->can_read(IDLE);
		$options{idle}->() if !@ready && $options{idle};
		for my $socket (@ready) {
			if ($socket == $listener) {
				my $new = $listener->accept or next;
				$select->add($new);
				$connections{$new} = Prefork::Faults::Connection->new(\%server, $new);
			} elsif (!read_tcp(\%server, $connections{$socket})) {
				delete $connections{$socket};
			}
		}
	}
}

# Takes the received bytes; false when the connection is over.
sub read_tcp {
	my ($server, $connection) = @_;

	my $n = sysread $connection->{socket}, $connection->{in}, CHUNK,
	    length $connection->{in};
	$connection->end if !$n;
	while ($connection->{socket} && !$connection->{deaf}
	    && length $connection->{in} >= SIZE) {
		my $message = substr $connection->{in}, 0, SIZE, q{};
		my $done = $server->{fault}->($connection, $message, ++$server->{count});
		$connection->write($message) if !$done;
		$connection->end if $server->{once} && !$done;
		syswrite $server->{notes}, q{.} if $done && $done > 0;
	}
	return $connection->{socket} ? 1 : 0;
}

sub serve_udp {
	my ($socket, $notes, $fault, %options) = @_;
	my $count  = 0;
	my $select = IO::Select->new($socket);

	while (1) {
		if (!$select->can_read(IDLE)) {
			$options{idle}->() if $options{idle};
			next;
		}
		my $from = recv $socket, my $message, CHUNK, 0;
		next if !defined $from;
		my $datagram = Prefork::Faults::Datagram->new($socket, $from);
		my $done     = $fault->($datagram, $message, ++$count);
		$datagram->write($message) if !$done;
		syswrite $notes, q{.} if $done && $done > 0;
		last if !$datagram->{socket}->opened;
	}
	wait_for(sub { 0 }, 60);
	return;
}

package Prefork::Faults::Connection;

sub new {
	my ($class, $server, $socket) = @_;

	return bless { server => $server, socket => $socket, in => q{} }, $class;
}

sub write {
	my ($self, $bytes) = @_;

	syswrite $self->{socket}, $bytes;
	return;
}

sub end {
	my ($self) = @_;

	$self->{server}{select}->remove($self->{socket});
	close delete $self->{socket};
	return;
}

# Says that nothing more comes, and reads nothing more.
sub half_end {
	my ($self) = @_;

	$self->{server}{select}->remove($self->{socket});
	$self->{deaf} = 1;
	shutdown $self->{socket}, Socket::SHUT_WR();
	return;
}

sub reset {
	my ($self) = @_;

	$self->{server}{select}->remove($self->{socket});
	Prefork::Faults::reset_connection(delete $self->{socket});
	return;
}

# Nobody new is let in.
sub refuse {
	my ($self) = @_;

	$self->{server}{select}->remove($self->{server}{listener});
	close $self->{server}{listener};
	return;
}

package Prefork::Faults::Datagram;

sub new {
	my ($class, $socket, $from) = @_;

	return bless { socket => $socket, from => $from }, $class;
}

sub write {
	my ($self, $bytes) = @_;

	send $self->{socket}, $bytes, 0, $self->{from};
	return;
}

sub refuse {
	my ($self) = @_;

	close $self->{socket};
	return;
}

1;

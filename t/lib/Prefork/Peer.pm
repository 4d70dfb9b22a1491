package Prefork::Peer;

# Servers for the tests of clients: other people's programs, and servers that a
# test controls. Each is an object with a destructor that kills and reaps.

use strict;
use warnings;

use IO::Socket::IP;
use POSIX  ();
use Socket qw(SOCK_STREAM);

use Prefork::Tools qw(spawn_process wait_for);

# Prefork::Peer->scripted(sub { my ($socket) = @_; ... }, %more): a process that
# calls it with each connection, one after the other, and then closes that.
# %more goes to IO::Socket::IP.
sub scripted {
	my ($class, $code, %more) = @_;
	my $listener = IO::Socket::IP->new(
		LocalHost => '127.0.0.1',
		LocalPort => 0,
		Type      => SOCK_STREAM,
		Listen    => 5,
		%more
	) or die "listen: $@\n";
	my $pid = fork // die "fork: $!\n";

	if ($pid == 0) {
		# A client that leaves in the middle is not this one's end.
		local $SIG{PIPE} = 'IGNORE';
		eval {
			while (my $socket = $listener->accept) {
				$code->($socket);
			}
		};
		POSIX::_exit(0);
	}
	return bless {
		pid  => $pid,
		host => '127.0.0.1',
		port => $listener->sockport,
	}, $class;
}

# Prefork::Peer->program(\%where, @argv): somebody's server; it is ready when
# it listens on host and port of %where, by default TCP ones.
sub program {
	my ($class, $where, @argv) = @_;
	my $self = bless { %{$where}, pid => spawn_process({}, @argv) }, $class;

	return if !wait_for(sub { $self->listens });
	return $self;
}

sub host { return $_[0]{host} }
sub port { return $_[0]{port} }

# Whether somebody listens there, without connecting.
sub listens {
	my ($self) = @_;
	my $udp  = $self->{udp};
	my $want = sprintf '%08X:%04X',
	    unpack('V', Socket::inet_aton($self->{host})), $self->{port};

	open my $table, '<', $udp ? '/proc/net/udp' : '/proc/net/tcp' or return 0;
	my $state = $udp ? '07' : '0A';
	return scalar grep { /^\s*\d+:\s$want\s\S+\s$state\s/ } <$table>;
}

sub DESTROY {
	my ($self) = @_;

	local ($?, $!, $@);
	kill 'KILL', -$self->{pid}, $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

1;

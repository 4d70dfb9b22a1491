package Prefork::Manager;

# A service manager, as systemd is one: a notify socket, a store of descriptors that
# outlives the service, and starts with the descriptors in it.
#
#	my $manager = Prefork::Manager->new("$dir/notify");
#	my $server = $manager->start(100, @arguments);	# with room for 100
#	$manager->wait_message(qr/READY/);
#	my @names = $manager->names;

use strict;
use warnings;

use Fcntl qw(F_DUPFD);
use IO::Socket::UNIX;
use POSIX        ();
use Scalar::Util qw(weaken);
use Socket qw(SOCK_DGRAM SOL_SOCKET MSG_DONTWAIT);

use Prefork;
use Prefork::Tools qw(on_wait);

use constant SCM_RIGHTS => 1;
use constant TEXT_SIZE  => 4096;
# Beyond the numbers at which the service gets its own.
use constant HIGH => 200;

sub number_of_recvmsg {
	do 'syscall.ph' if !__PACKAGE__->can('SYS_recvmsg');
	my $found = __PACKAGE__->can('SYS_recvmsg');
	return $found ? $found->() : undef;
}

# Undef where this Perl cannot receive descriptors.
sub new {
	my ($class, $path) = @_;
	my $number = number_of_recvmsg() // return;
	my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $path)
	    or die "$path: $!\n";

	my $self = bless { path => $path, socket => $socket, number => $number, store => [], told => [] },
	    $class;
	weaken(my $weak = $self);
	on_wait($path, sub { $weak->read_messages if $weak && !$weak->{deaf} });
	return $self;
}

# start($room, @arguments): a service that is given all that the store has.
sub start {
	my ($self, $room, @arguments) = @_;
	my $server = $self->spawn($room, @arguments);

	return $server if $server->wait_ready;
	my $log = $server->log_text;
	$server->kill_tree;
	die "the server is not ready; its log:\n$log";
}

sub spawn {
	my ($self, $room, @arguments) = @_;
	my @stored = @{ $self->{store} };
	my $setup  = sub {
		my @high = map { fcntl $_->{handle}, F_DUPFD, HIGH } @stored;
		POSIX::dup2($high[$_], 3 + $_) for 0 .. $#high;
		POSIX::close($_) for @high;
		return if !@stored;
		$ENV{LISTEN_PID}     = $$;
		$ENV{LISTEN_FDS}     = @stored;
		$ENV{LISTEN_FDNAMES} = join q{:}, map { $_->{name} } @stored;
	};

	return Prefork->spawn(
		{
			env   => { NOTIFY_SOCKET => $self->{path}, $room ? (FDSTORE => $room) : () },
			setup => $setup,
		},
		@arguments
	);
}

# One message: its text and the descriptors that came with it, or nothing.
sub receive {
	my ($self) = @_;
	my $text    = "\0" x TEXT_SIZE;
	my $control = "\0" x 256;
	my $iov     = pack 'P J', $text, length $text;
	my $message = pack 'J L x![J] P J P J l x![J]', 0, 0, $iov, 1, $control, length $control, 0;
	my $n = syscall $self->{number}, fileno($self->{socket}), $message, MSG_DONTWAIT | 0;

	return if $n < 0;
	my $length = (unpack 'J L x![J] J J J J', $message)[5];
	my ($size, $level, $type) = $length > 0 ? unpack 'J l l', $control : (0, 0, 0);
	my $header = length pack 'J l l', 0, 0, 0;
	my @fds = $level == SOL_SOCKET && $type == SCM_RIGHTS
	    ? unpack 'l*', substr $control, $header, $size - $header
	    : ();
	return (substr($text, 0, $n), @fds);
}

# Deals with all messages that are there.
sub read_messages {
	my ($self) = @_;

	while (my ($text, @fds) = $self->receive) {
		$self->obey($text, @fds);
	}
	return;
}

# Waits for a message since the last call of told.
sub wait_message {
	my ($self, $pattern) = @_;

	return wait_for(sub {
		$self->read_messages;
		return grep { $_ =~ $pattern } @{ $self->{told} };
	}, 20);
}

sub obey {
	my ($self, $text, @fds) = @_;
	my $store = $self->{store};
	my ($name) = $text =~ /^FDNAME=(.*)$/mx;

	push @{ $self->{told} }, $text;
	if ($text =~ /^FDSTORE=1$/mx) {
		for my $fd (@fds) {
			open my $handle, '+<&=', $fd or die "descriptor $fd: $!\n";
			push @{$store}, { name => $name, handle => $handle };
		}
		return;
	}
	@{$store} = grep { $_->{name} ne $name } @{$store} if $text =~ /^FDSTOREREMOVE=1$/mx;
	# Those of a barrier are closed, and that is its answer.
	POSIX::close($_) for @fds;
	return;
}

# deaf($yes): whether messages stay in the socket while the test waits.
sub deaf {
	my ($self, $yes) = @_;

	$self->{deaf} = $yes;
	return;
}

# The end of the manager; its store goes, too.
sub end {
	my ($self) = @_;

	on_wait($self->{path}, undef);
	@{ $self->{store} } = ();
	$self->{socket}->close;
	return;
}

sub names   { return map { $_->{name} } @{ $_[0]{store} } }
sub handles { return map { $_->{handle} } @{ $_[0]{store} } }

# store($name, $handle): as if a service had done so.
sub store {
	my ($self, $name, $handle) = @_;

	push @{ $self->{store} }, { name => $name, handle => $handle };
	return;
}

# The messages about the store since the last call of this.
sub told {
	my ($self) = @_;
	my @told = grep { /^FDSTORE|^BARRIER/ } @{ $self->{told} };

	@{ $self->{told} } = ();
	return @told;
}

1;

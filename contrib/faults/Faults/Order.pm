package Faults::Order;

# The file that shim.c maps: which call fails, and which call sites there are.
# shim.c has its layout.

use strict;
use warnings;

use Errno;
use File::Temp ();

use constant HEAD  => 64;
use constant SITE  => 40;
use constant SITES => 8192;

# Which errors a call may have. A kind of it has its own, or else the call's.
my %ERRORS = (
	(map { $_ => [qw(ENOMEM)] } qw(malloc calloc realloc reallocarray strdup strndup open_memstream mmap mprotect)),
	(map { $_ => [qw(EMFILE)] } qw(fdopen dup dup2 dup3 pipe2 eventfd epoll_create1 socketpair)),
	(map { $_ => [qw(EACCES)] } qw(stat lstat fstatat rename renameat unlink unlinkat fexecve)),
	(map { $_ => [qw(EMFILE EACCES)] } qw(fopen open openat)),
	# They never wait, so that no signal interrupts them.
	(map { $_ => [qw(EAGAIN ENOBUFS)] } qw(send sendto sendmsg sendmmsg)),
	(map { $_ => [qw(EAGAIN ENOMEM)] } qw(recv recvmsg recvmmsg)),
	(map { $_ => [qw(ENOSPC)] } qw(write writev)),
	(map { $_ => [qw(EPERM)] } qw(setsid setgroups initgroups setresgid)),
	accept4           => [qw(EMFILE ECONNABORTED ENOMEM)],
	bind              => [qw(EADDRINUSE EACCES)],
	chmod             => [qw(EPERM)],
	connect           => [qw(ECONNREFUSED EACCES)],
	epoll_ctl         => [qw(ENOMEM ENOSPC)],
	epoll_wait        => [qw(EINTR)],
	fchmod            => [qw(EPERM)],
	fcntl             => [qw(EPERM)],
	'fcntl.0'         => [qw(EMFILE)],
	'fcntl.1030'      => [qw(EMFILE)],
	'fcntl.6'         => [qw(ENOLCK)],
	fflush            => [qw(ENOSPC)],
	fork              => [qw(EAGAIN)],
	fstat             => [qw(ENOMEM)],
	ftruncate         => [qw(ENOSPC)],
	getpeername       => [qw(ENOTCONN)],
	getrlimit         => [qw(EPERM)],
	getsockname       => [qw(ENOBUFS)],
	getsockopt        => [qw(ENOMEM)],
	ioctl             => [qw(EPERM)],
	kill              => [qw(EPERM ESRCH)],
	listen            => [qw(EADDRINUSE)],
	memfd_create      => [qw(EMFILE)],
	mkdir             => [qw(EROFS)],
	poll              => [qw(EINTR ENOMEM)],
	posix_fallocate   => [qw(ENOSPC)],
	prctl             => [qw(EPERM)],
	pread             => [qw(EIO)],
	pwrite            => [qw(ENOSPC)],
	read              => [qw(EINTR EIO)],
	readlink          => [qw(ENOENT)],
	sched_getaffinity => [qw(EPERM)],
	setresuid         => [qw(EPERM EAGAIN)],
	setrlimit         => [qw(EPERM)],
	setsockopt        => [qw(EPERM ENOMEM)],
	shutdown          => [qw(ENOTCONN)],
	socket            => [qw(EMFILE ENOBUFS)],
	splice            => [qw(EPERM EAGAIN)],
	syscall           => [qw(EPERM)],
	'syscall.56'      => [qw(EAGAIN ENOMEM)],
	waitpid           => [qw(EINTR)],
);

# A new one: nothing fails.
sub new {
	my ($class) = @_;
	my $file = File::Temp->new(TEMPLATE => 'faults-XXXXXX', TMPDIR => 1);

	truncate $file, HEAD + SITE * SITES or die "$file: $!\n";
	return bless { file => $file }, $class;
}

sub path { return "$_[0]{file}" }

# For spawn_process.
sub env { my ($self, $shim) = @_; return { LD_PRELOAD => $shim, FAULTS_FILE => $self->path } }

sub put {
	my ($self, $at, $bytes) = @_;

	sysseek $self->{file}, $at, 0 or die "seek: $!\n";
	syswrite $self->{file}, $bytes or die "write: $!\n";
	return;
}

sub get {
	my ($self, $at, $length) = @_;

	sysseek $self->{file}, $at, 0 or die "seek: $!\n";
	sysread $self->{file}, my $bytes, $length // die "read: $!\n";
	return $bytes;
}

# Sites met from now on belong to this phase, a number below 32.
sub phase { my ($self, $number) = @_; return $self->put(0, pack 'L', $number) }

# The nth call from now on fails, once.
sub arm {
	my ($self, $fault) = @_;
	my $number = Errno->can($fault->{error})->();

	$self->put(8, pack 'QLlLL', $fault->{at}, $fault->{nth}, $number, 0, 0);
	$self->put(4, pack 'L', 1);
	return;
}

sub disarm { my ($self) = @_; return $self->put(4, pack 'L', 0) }

# Whether it has failed.
sub hit { my ($self) = @_; return unpack 'L', $self->get(28, 4) }

# Those that were met: hashes of at, call, phases (bits) and count.
sub sites {
	my ($self) = @_;
	my $table = $self->get(HEAD, SITE * SITES);
	my @sites;

	for (my $i = 0; $i < SITES; $i++) {
		my ($at, $call, $phases, $count) = unpack 'QZ24LL', substr $table, $i * SITE, SITE;
		push @sites, { at => $at, call => $call, phases => $phases, count => $count } if $at;
	}
	return sort { $a->{at} <=> $b->{at} } @sites;
}

sub errors {
	my ($call) = @_;

	return @{ $ERRORS{$call} // $ERRORS{ $call =~ s/[.].*//r } // die "no errors are known of $call\n" };
}

1;

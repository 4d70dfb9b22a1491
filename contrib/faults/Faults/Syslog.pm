package Faults::Syslog;

# A syslog daemon in a mount namespace of the service's own: its lines come into the
# file that the other lives log into. Only root can have it.

use strict;
use warnings;

use IO::Socket::UNIX;
use POSIX          ();
use Prefork::Tools qw(run_cmd);
use Socket         qw(SOCK_DGRAM);

use constant LINE_BYTES => 65_536;

my $SCRIPT = 'for f in null urandom; do : >"$0/$f"; mount --bind /dev/$f "$0/$f"; done
	mount --bind "$0" /dev && exec "$@"';

# Whether this system lets us.
sub is_possible {
	my ($code) = run_cmd({ timeout => 20 }, qw(/usr/bin/env unshare -m true));
	return $> == 0 && $code eq '0';
}

# new($class, $dir, $log): it ends with the object.
sub new {
	my ($class, $dir, $log) = @_;
	my $self = bless { dev => "$dir/dev", owner => $$ }, $class;

	mkdir $self->{dev} or die "$self->{dev}: $!\n";
	my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "$self->{dev}/log") // die "syslog: $!\n";
	$self->{pid} = fork // die "fork: $!\n";
	return $self if $self->{pid};
	while (defined recv $socket, my $line, LINE_BYTES, 0) {
		syswrite $log, "$line\n";
	}
	POSIX::_exit(0);
}

# The words that run a command with it, and only the command with this environment.
sub wrapper {
	my ($self, $env) = @_;

	return (qw(/usr/bin/env unshare -m sh -c), $SCRIPT, $self->{dev}, '/usr/bin/env', map { "$_=$env->{$_}" } sort keys %{$env});
}

sub DESTROY {
	my ($self) = @_;

	return if $$ != $self->{owner} || !$self->{pid};
	local $? = 0;
	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

1;

package Prefork::Control;

# The control socket of a server, for tests: where it is, raw requests, and
# prefork-ctl.

use strict;
use warnings;

use Exporter 'import';
use IO::Socket::UNIX;
use JSON::PP ();
use Socket   qw(SOCK_STREAM);

use Prefork;

our @EXPORT = qw(control_socket place connect_control ask ctl status);

# The directory in which this test's servers keep their sockets.
sub place { return $ENV{RUNTIME_DIRECTORY} }

# The path of a server's control socket; undef while there is none.
sub control_socket {
	my ($server) = @_;
	my $pid = $server->pid;

	for my $lock (glob place() . '/*.lock') {
		open my $file, '<', $lock or next;
		my $holder = <$file> // next;
		return $lock =~ s/[.]lock$/.sock/r if $holder == $pid;
	}
	return;
}

# A connection to a path or to a server, or undef.
sub connect_control {
	my ($where) = @_;

	return IO::Socket::UNIX->new(
		Type => SOCK_STREAM,
		Peer => ref $where ? control_socket($where) : $where
	);
}

# ask($where, $request): sends the line and returns the whole answer, in a list
# also how it ended.
sub ask {
	my ($where, $request) = @_;
	my $socket = connect_control($where) // return;

	$socket->syswrite("$request\n");
	return read_until_eof($socket);
}

# ctl(@arguments): prefork-ctl's exit code, standard output and standard error.
sub ctl {
	my (@arguments) = @_;

	return run_cmd({ timeout => 30 }, Prefork::program('prefork-ctl'), @arguments);
}

# The output of status --json of a server, decoded.
sub status {
	my ($server) = @_;
	my ($code, $output) = ctl('-s', control_socket($server), 'status', '--json');

	return $code == 0 ? JSON::PP::decode_json($output) : {};
}

1;

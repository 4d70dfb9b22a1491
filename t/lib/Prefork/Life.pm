package Prefork::Life;

# Shared by the tests of a server's life: files, ordinary users, a connection to
# a worker of one's choice, and servers that log to a file or detach.

use strict;
use warnings;

use Exporter   'import';
use File::Copy ();
use File::Temp ();
use IO::Select;
use Socket qw(MSG_DONTWAIT MSG_NOSIGNAL);

use Prefork;
use Prefork::Tools qw(now pause);

our @EXPORT = qw(slurp write_file temp_dir public_program as_nobody connect_to
    kill_worker stuff current_workers settled_workers after count);

use constant NOBODY => 65_534;
# A sibling may help the worker out for some seconds, if the machine is slow.
use constant PATIENCE => 30;

# The file's text; empty when there is none.
sub slurp {
	my ($path) = @_;

	open my $file, '<', $path or return q{};
	return join q{}, <$file>;
}

# write_file($path, @lines): adds the newlines, and appears whole at once.
sub write_file {
	my ($path, @lines) = @_;

	open my $file, '>', "$path.new" or die "$path.new: $!\n";
	print {$file} map { "$_\n" } @lines;
	close $file or die "$path.new: $!\n";
	rename "$path.new", $path or die "$path: $!\n";
	return $path;
}

# A folder that everybody may look into; it goes with the object.
sub temp_dir {
	my $dir = File::Temp->newdir('prefork-XXXXXX', TMPDIR => 1);

	chmod 0755, "$dir";
	return $dir;
}

# A copy of the program where an ordinary user can run it.
sub public_program {
	my ($dir) = @_;
	my $path = "$dir/prefork-echo";

	File::Copy::copy(Prefork::program(), $path) or die "$path: $!\n";
	chmod 0755, $path;
	return $path;
}

# The words before a command that make it run as an ordinary user: nothing for
# one. Undef when this root cannot become one.
sub as_nobody {
	return [] if !is_root();
	my @command = ('setpriv', '--reuid', NOBODY, '--regid', NOBODY,
		'--clear-groups');
	my ($code) = run_cmd('/usr/bin/env', @command, 'true');
	return $code == 0 ? [ '/usr/bin/env', @command ] : undef;
}

# kill_worker($server, $slot, $signal): kills the slot's worker and waits until the
# next one is started; its pid.
sub kill_worker {
	my ($server, $slot, $signal) = @_;
	my $from = $server->log_size;

	kill $signal // 'KILL', { $server->workers }->{$slot};
	$server->wait_log(qr/\]\sstarted\sworker\s$slot\s\(/x, 20, $from)
	    or die "worker $slot was not restarted\n";
	return { $server->workers }->{$slot};
}

# connect_to($server, $slot): a connection that this slot's worker has taken,
# and the worker's pid; the server must run with -v.
sub connect_to {
	my ($server, $slot) = @_;
	my $deadline = now() + PATIENCE;

	while (now() < $deadline) {
		my $offset = $server->log_size;
		my $socket = $server->tcp_socket(4);
		my $port   = $socket->sockport;
		my $line   = qr/^\[worker-(\d+)\s\((\d+)\)\]\sconnected\sfrom\s
		    \('127[.]0[.]0[.]1',\s$port\)$/mx;
		$server->wait_log($line, undef, $offset) or last;
		my ($taken, $pid) = substr($server->log_text, $offset) =~ $line;
		return wantarray ? ($socket, $pid) : $socket if $taken == $slot;
	}
	die "no connection to worker $slot\n";
}

# stuff($socket): sends until no process takes any more, not even a slow one;
# returns the number of bytes.
sub stuff {
	my ($socket) = @_;
	my $writable = IO::Select->new($socket);
	my $data     = 'x' x 65_536;
	my $sent     = 0;

	while ($writable->can_write(1)) {
		$sent += send($socket, $data, MSG_DONTWAIT | MSG_NOSIGNAL) // last;
	}
	return $sent;
}

# The pids of the workers that run now, as the system tells.
sub current_workers { return workers_of($_[0]->pid) }

# Waits until so many workers run and no more; their pids, or nothing.
sub settled_workers {
	my ($server, $count) = @_;

	my @pids;

	wait_for(
		sub {
			@pids = current_workers($server);
			return @pids == $count;
		},
		20
	) or return;
	return @pids;
}

# after($seconds): lets them pass, for a measurement over a time, or an event
# that must not happen within it; never to wait for something.
sub after {
	my ($seconds) = @_;

	wait_for(sub { 0 }, $seconds);
	return;
}

# How often the text matches.
sub count {
	my ($text, $pattern) = @_;
	my @found = $text =~ /$pattern/g;

	return scalar @found;
}

1;

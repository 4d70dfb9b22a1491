#!/usr/bin/perl

# SIGHUP: the workers are replaced slot by slot, the successor ready before the
# predecessor leaves; the configuration is read again, and a bad one changes
# nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::IP;
use POSIX ();
use Prefork;
use Prefork::Life;
use Test::More;

use constant RELOADED => qr/\]\sreloaded:\s(\d+)\sworkers?$/mx;
use constant STORM    => 50;

my $dir  = temp_dir();
my $file = "$dir/conf";

in_order();
connections_survive();
drain_timeout();
many_reloads();
reads_the_file();
addresses_come_and_go();
configuration_by_a_pipe();
bad_files();
cannot_bind();
storm();
done_testing();

# Reloads and waits for the end of it; the log of it.
sub reload {
	my ($server, $end) = @_;
	my $offset = $server->log_size;

	$server->signal('HUP');
	$server->wait_log($end // RELOADED, undef, $offset)
	    or die "no end of the reload\n";
	return substr $server->log_text, $offset;
}

# The address's port, from a worker's line or the ready line.
sub port_of {
	my ($log, $address) = @_;
	my ($port) = $log =~ /\stcp\s\Q$address\E:(\d+)/x;

	return $port;
}

sub number_of_fds {
	my %fds = fds($_[0]);

	return scalar keys %fds;
}

sub in_order {
	my $server = Prefork->start('-w', 3, '-p', 0, '-4');
	my %old    = $server->workers;
	my %before = map { $_ => number_of_fds($old{$_}) } keys %old;
	my $log    = reload($server);
	my %new    = $server->workers;

	for my $slot (0 .. 2) {
		cmp_ok($new{$slot}, '!=', $old{$slot}, "slot $slot has a new worker");
		like(
			$log,
			qr/^\[worker-$slot\s\($new{$slot}\)\]\sserving.*
			   ^\[master\s.*worker\s$slot\s\($old{$slot}\)\sis\sleaving/msx,
			"slot $slot: the new worker serves before the old one leaves"
		);
		ok(wait_for(sub { number_of_fds($new{$slot}) == $before{$slot} }, 10),
			"slot $slot: the new worker has as many descriptors as the old one");
	}
	like($log, qr/reloaded:\s3\sworkers$/mx, 'the log has the end of the reload');
	is_deeply(
		[ settled_workers($server, 3) ],
		[ sort { $a <=> $b } values %new ],
		'the old workers are gone'
	);
	is(echo_once($server->tcp_socket, 'x'), 'x', 'tcp on the same port');
	is(echo_once($server->udp_socket, 'x'), 'x', 'udp on the same port');
	is($server->stop, 0, 'exit status');
	return;
}

sub connections_survive {
	my $server = Prefork->start('-v', '-w', 1, '-p', 0, '-4');
	my ($socket, $pid) = connect_to($server, 0);

	is(echo_once($socket, 'before'), 'before', 'a connection');
	reload($server) for 1 .. 2;
	is(echo_once($socket, 'after'), 'after', 'it survives two reloads');
	ok($server->wait_log(qr/worker\s0\s\($pid\)\shas\sended$/mx),
		'the old worker has ended');
	is(echo_once($socket, 'later'), 'later', 'the connection goes on after its old worker has ended');
	return;
}

# A connection that is being closed is not handed over: its worker stays for
# it, for so long.
sub drain_timeout {
	my $server =
	    Prefork->start('-v', '-1', '-w', 1, '-p', 0, '-4', '--drain-timeout',
		0.2);
	my ($socket, $pid) = connect_to($server, 0);

	is(echo_once($socket, 'x'), 'x', '--drain-timeout: a last echo');
	is((read_until_eof($socket))[1], 'eof', 'the server closes after the echo');
	reload($server);
	ok($server->wait_log(qr/worker-0 \($pid\)\] drain timeout: closing 1 connection$/m),
		'the old worker waits so long for the peer\'s end');
	ok($server->wait_log(qr/worker\s0\s\($pid\)\shas\sended$/mx),
		'the old worker ends at the drain timeout');
	return;
}

# Without a bound of time it stays over 8 reloads after its own, and for 1 s.
sub many_reloads {
	my $server = Prefork->start('-v', '-1', '-w', 1, '-p', 0, '-4');
	my ($socket, $pid) = connect_to($server, 0);
	my $leaving = qr/worker\s0\s\($pid\)\shas\sbeen\sleaving/x;

	is(echo_once($socket, 'x'), 'x', 'no bound: a last echo');
	is((read_until_eof($socket))[1], 'eof', 'the server closes after the echo');
	reload($server) for 0 .. 8;
	# The line of the last one may come behind its end.
	ok(wait_for(sub { 8 == (() = $server->log_text =~ /$leaving[ ]for[ ].*bound[ ]this[ ]time$/gm) }, 20),
		'eight more reloads name the old worker');
	ok(kill(0, $pid), 'the old worker lives after eight more reloads');
	my $killed = qr/$leaving[ ]for[ ]([\d.]+)[ ]s,[ ]over[ ].*[ ]reloads;[ ]killing[ ]it$/m;
	ok(wait_for(sub { reload($server); $server->log_text =~ $killed }, 20), 'a later reload kills the old worker');
	my ($age) = $server->log_text =~ $killed;
	cmp_ok($age, '>=', 1, 'the old worker is not killed within 1 s');
	ok($server->wait_log(qr/worker\s0\s\($pid\)\s.*SIGKILL/mx), 'the log has the end of the old worker by SIGKILL');
	return;
}

sub reads_the_file {
	write_file($file, 'workers 2', 'port 0', 'bind 127.0.0.1');
	my $server = Prefork->start('-c', $file);
	my $socket = $server->tcp_socket;

	is(echo_once($socket, 'x'), 'x', 'the file is in force');
	write_file($file, 'workers 3', 'port 0', 'bind 127.0.0.1', 'once', 'verbose');
	like(reload($server), qr/reloaded:\s3\sworkers$/mx, 'more workers');
	my %slots = $server->workers;
	is_deeply([ sort keys %slots ], [ 0 .. 2 ], 'three slots');
	is(echo_once($socket, 'x'), 'x', 'an old connection keeps the old option');
	my $new = $server->tcp_socket;
	is(echo_once($new, 'x'), 'x', 'a new one');
	is((read_until_eof($new))[1], 'eof', 'a new connection has the new option');
	ok($server->wait_log(qr/recv:\sb'x'$/mx), 'the log has the new option');

	write_file($file, 'workers 1', 'port 0', 'bind 127.0.0.1');
	like(reload($server), qr/reloaded:\s1\sworker$/mx, 'fewer workers');
	close $socket;
	my %workers = $server->workers;
	is_deeply([ settled_workers($server, 1) ], [ $workers{0} ], 'only slot 0');
	is(echo_once($server->udp_socket, $_), $_, "datagram $_") for 1 .. 4;
	is($server->stop, 0, 'exit status');
	return;
}

sub addresses_come_and_go {
	write_file($file, 'workers 2', 'bind 127.0.0.1:0');
	my $server = Prefork->start('-c', $file);
	my $port   = $server->port;
	my $socket = $server->tcp_socket;

	write_file($file, 'workers 2', "bind 127.0.0.1:0", "bind tcp:127.0.0.2:$port");
	is(port_of(reload($server), '127.0.0.2'), $port, 'an address more');
	is(echo_once(tcp('127.0.0.2', $port), $_), $_, "connection $_") for 1 .. 4;
	my $second = tcp('127.0.0.2', $port);
	is(echo_once($second, 'x'), 'x', 'a connection of the second address is served');

	write_file($file, 'workers 2', "bind 127.0.0.1:0");
	reload($server);
	ok(wait_for(sub { !defined tcp('127.0.0.2', $port) }, 10),
		'the removed address refuses connections');
	is(echo_once($second, 'x'), 'x', 'a connection of the removed address stays open');
	is(echo_once($socket, 'x'), 'x', 'a connection of the kept address stays open');
	is(echo_once($server->tcp_socket, 'x'), 'x', 'the kept address still listens');
	is($server->stop, 0, 'exit status');
	return;
}

# Causes for refusing a reload; the service goes on with the same workers.
sub refused {
	my ($server, $name, $why) = @_;
	my @before = current_workers($server);
	my $log    = reload($server, qr/nothing\shas\schanged$/mx);

	like($log, $why, "$name: reported");
	is_deeply([ settled_workers($server, scalar @before) ],
		\@before, 'the same workers');
	is(echo_once($server->tcp_socket, $_), $_, "connection $_") for 1 .. 2;
	return;
}

sub bad_files {
	my @good = ('workers 2', 'port 0', 'bind 127.0.0.1');
	write_file($file, @good);
	my $server = Prefork->start('-c', $file);
	my $socket = $server->tcp_socket;

	write_file($file, @good, 'wrokers 3');
	refused($server, 'unknown key', qr/\Q$file\E:4:\s.*'wrokers'/x);
	write_file($file, 'workers 0', @good);
	refused($server, 'bad value', qr/\Q$file\E:1:\sworkers:.*'0'/x);
	write_file($file, @good, 'bind no-such-host.invalid');
	refused($server, 'unknown host', qr/no-such-host[.]invalid/x);
	write_file($file, @good, 'user no-such-user');
	refused($server, 'unknown user', qr/'no-such-user'/x);
	write_file($file, @good, 'bind 127.0.0.1');
	refused($server, 'bind twice', qr/127[.]0[.]0[.]1.*twice/x);
	half_written($file, "workers 3\nport 0\nbind 127.0.0.1");
	refused($server, 'half-written file', qr/\Q$file\E:.*newline/x);
	half_written($file, q{});
	refused($server, 'file of 0 bytes', qr/\Q$file\E:\sit\sis\sempty/x);
	half_written($file, "\0" x 4096);
	refused($server, 'file of zero bytes', qr/\Q$file\E:.*zero\sbytes/x);
	unlink $file or die "$file: $!\n";
	POSIX::mkfifo($file, 0600) or die "$file: $!\n";
	refused($server, 'FIFO', qr/\Q$file\E:.*only\sonce/x);
	unlink $file;
	symlink '/dev/null', $file or die "$file: $!\n";
	refused($server, 'link to /dev/null', qr/\Q$file\E:/x);
	unlink $file or die "$file: $!\n";
	refused($server, 'vanished file', qr/\Q$file\E:\sNo\ssuch\sfile/x);
	mkdir $file or die "$file: $!\n";
	refused($server, 'a folder', qr/\Q$file\E:\sIs\sa\sdirectory/x);
	rmdir $file;
	SKIP: {
		skip 'root can read every file', 4 if is_root();
		write_file($file, @good);
		chmod 0, $file;
		refused($server, 'unreadable file',
			qr/\Q$file\E:\sPermission\sdenied/x);
	}
	unlink $file;
	is(echo_once($socket, 'x'), 'x', 'an old connection has seen nothing');
	write_file($file, @good);
	like(reload($server), qr/reloaded:\s2\sworkers$/mx, 'a good file again');
	is($server->stop, 0, 'exit status');
	return;
}

# A pipe can be read at the start, and not again.
sub configuration_by_a_pipe {
	my $text   = "workers 1\\nport 0\\nipv4\\n";
	my @shell  = ('/bin/sh', '-c', "printf '$text' | \"\$@\"", 'sh');
	my $server = Prefork->start({ wrapper => \@shell }, '-c', '/dev/stdin');

	refused($server, 'a pipe', qr{/dev/stdin:.*only\sonce}x);
	is($server->stop, 0, 'exit status');
	$server = Prefork->start('-c', '/dev/null', '-w', 1, '-p', 0, '-4');
	like(reload($server), qr/reloaded:\s1\sworker$/mx, '/dev/null is no file');
	is($server->stop, 0, 'exit status');
	return;
}

sub half_written {
	my ($path, $text) = @_;

	open my $handle, '>', $path or die "$path: $!\n";
	print {$handle} $text;
	close $handle or die "$path: $!\n";
	return;
}

sub cannot_bind {
	my @good     = ('workers 2', 'port 0', 'bind 127.0.0.1');
	my $listener = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1);
	my $port     = $listener->sockport;

	write_file($file, @good);
	my $server = Prefork->start('-c', $file);
	my %before = fds($server->pid);
	# The listeners before the bad one must not stay open.
	write_file($file, @good, 'bind tcp:127.0.0.2:0', "bind tcp:127.0.0.1:$port");
	refused($server, 'address in use',
		qr/cannot\sbind\stcp\s127[.]0[.]0[.]1:$port:\sin\suse\sby.*\s$$\s/x);
	write_file($file, @good, 'bind 192.0.2.1');
	refused($server, 'no such address', qr/192[.]0[.]2[.]1:.*no\ssuch\saddress/x);
	is_deeply({ fds($server->pid) }, \%before, 'no descriptor is left');
	close $listener;
	write_file($file, @good, "bind tcp:127.0.0.1:$port");
	reload($server);
	is(echo_once(tcp('127.0.0.1', $port), $_), $_, 'free: it serves')
	    for 1 .. 2;
	is($server->stop, 0, 'exit status');
	return;
}

sub storm {
	write_file($file, 'workers 3', 'port 0', 'bind 127.0.0.1');
	my $server = Prefork->start('-c', $file);
	my $socket = $server->tcp_socket;
	my $before = number_of_fds($server->pid);

	for (1 .. STORM) {
		$server->signal('HUP');
		$server->pump(0.005);
	}
	is(echo_once($socket, 'x'), 'x', 'a connection outlives ' . STORM . ' HUPs');
	# The last configuration counts, even if a reload is still under way.
	write_file($file, 'workers 2', 'port 0', 'bind 127.0.0.1');
	reload($server, qr/reloaded:\s2\sworkers$/mx);
	write_file($file, 'workers 3', 'port 0', 'bind 127.0.0.1');
	reload($server, qr/reloaded:\s3\sworkers$/mx);
	close $socket;
	# A HUP of the storm may have been taken for the next one: it still runs then.
	ok(wait_for(sub {
		my %workers = $server->workers;
		$server->pump;
		return join(q{ }, current_workers($server)) eq
		    join q{ }, sort { $a <=> $b } values %workers;
	}, 20), 'as many workers as before');
	ok(wait_for(sub { number_of_fds($server->pid) == $before }),
		'as many descriptors in the master as before')
	    or diag(explain({ fds($server->pid) }));
	is(echo_once($server->tcp_socket, $_), $_, "connection $_") for 1 .. 4;
	is($server->stop, 0, 'exit status');
	return;
}

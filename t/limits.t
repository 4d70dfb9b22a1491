#!/usr/bin/perl

# Out of descriptors, -n, --max-per-source, -i, and clients that come and go
# without a word.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use POSIX       ();
use Prefork;
use Prefork::Life;
use Prefork::Tools qw(now pause);
use Socket qw(PF_INET SOCK_DGRAM SOCK_STREAM SOL_SOCKET SO_LINGER MSG_OOB
    inet_aton inet_ntoa pack_sockaddr_in unpack_sockaddr_in);
use Test::More;

use constant DESCRIPTORS => 40;
use constant CLIENTS     => 100;
use constant MEASURED    => 2;
use constant SILENT      => 5_000;

out_of_descriptors($_) for qw(epoll poll);
max_connections();
max_connections_and_the_rlimit();
max_per_source();
max_per_source_of_all();
quarter();
idle_timeout();
idle_over_reloads();
come_and_go();
many_leave();
done_testing();

sub with_descriptors {
	my ($number, @arguments) = @_;

	return Prefork->start(
		{ wrapper => [ qw(/usr/bin/env prlimit), "--nofile=$number:$number" ] },
		'-w', 1, '-p', 0, '-4', @arguments);
}

# Whether something can be read from it now: data or its end.
sub readable {
	my ($socket, $timeout) = @_;

	return scalar IO::Select->new($socket)->can_read($timeout // 0);
}

sub out_of_descriptors {
	my ($poller)  = @_;
	my $server    = with_descriptors(DESCRIPTORS, '-n', 10_000, '--poller', $poller);
	my ($worker)  = current_workers($server);
	my $first     = $server->tcp_socket;

	is(echo_once($first, 'x'), 'x', "out of descriptors, $poller");
	my @clients = map { $server->tcp_socket } 1 .. CLIENTS;
	ok($server->wait_log(qr/Too\smany\sopen\sfiles/x), 'the log tells');
	my ($ticks, $size, $start) = (cpu_ticks($worker), $server->log_size, now());
	after(MEASURED);
	$ticks = cpu_ticks($worker) - $ticks;
	my $took  = now() - $start;
	my $lines = count(substr($server->log_text, $size), qr/\n/x);
	cmp_ok($ticks / POSIX::sysconf(POSIX::_SC_CLK_TCK()) / $took,
		'<', 0.1, 'the worker is idle');
	cmp_ok($lines, '<=', $took + 1, 'at most one line a second');
	is(echo_once($first, 'y'), 'y', 'a connected client is served');
	ok(scalar(grep { readable($_) } @clients), 'some are shed, not left waiting');
	is(echo_once($server->udp_socket, 'x'), 'x', 'datagrams are served');

	close $_ for @clients;
	ok(wait_for(sub { (echo_once($server->tcp_socket, 'z') // q{}) eq 'z' }),
		'clients leave: the worker accepts again');
	is(echo_once($first, 'z'), 'z', 'a connected client is still served');
	close $first;
	is($server->stop, 0, 'exit status');
	return;
}

sub max_connections {
	my $server = Prefork->start('-w', 1, '-p', 0, '-4', '-n', 3);
	my @in     = map { $server->tcp_socket } 1 .. 3;

	is(echo_once($_, 'in'), 'in', '-n 3: a connection') for @in;
	my @waiting = map { $server->tcp_socket } 1 .. 2;
	send $_, 'waiting', 0 for @waiting;
	ok(!readable($_, 0.3), 'one more has to wait') for @waiting;
	is(echo_once($in[2], 'in'), 'in', 'a connected client is served');
	close shift @in;
	ok(readable($waiting[0], 10), 'one leaves: the first that waits is served');
	ok(!readable($waiting[1], 0.3), 'a second waiting client is not accepted for one free place');
	close shift @in;
	ok(readable($waiting[1], 10), 'the second waiting client is served when a second one leaves');
	close $_ for @in, @waiting;
	is($server->stop, 0, 'exit status');
	return;
}

# Unless told otherwise, as many connections as there are descriptors for.
sub max_connections_and_the_rlimit {
	my $server  = with_descriptors(60);
	my @clients = map { $server->tcp_socket } 1 .. CLIENTS;
	my $first   = $clients[0];

	is(echo_once($first, 'x'), 'x', '-n by default');
	after(0.5);
	is(scalar(grep { readable($_) } @clients), 0, 'no connection is closed at the limit of descriptors');
	unlike($server->log_text, qr/Too\smany\sopen\sfiles/x,
		'the descriptors are enough');
	my $served = 0;
	while (my $client = shift @clients) {
		$served++ if (echo_once($client, 'x') // q{}) eq 'x';
		close $client;
	}
	is($served, CLIENTS, 'all are served in turn');
	is($server->stop, 0, 'exit status');
	return;
}

sub max_per_source {
	my $server = Prefork->start('-w', 1, '-p', 0, '-b', '0.0.0.0',
		'--max-per-source', 2);
	my @here   = map { tcp('127.0.0.1', $server->port) } 1 .. 2;

	is(echo_once($_, 'x'), 'x', '--max-per-source 2: a connection') for @here;
	my $surplus = tcp('127.0.0.1', $server->port);
	ok(readable($surplus, 10), 'one more is closed');
	is(length(read_until_eof($surplus)), 0, 'without a word');
	ok($server->wait_log(qr/refused\s127[.]0[.]0[.]1:.*max-per-source/x),
		'the log tells');
	my $there =
	    tcp('127.0.0.1', $server->port, LocalHost => '127.0.0.2');
	is(echo_once($there, 'x'), 'x', 'another source is not concerned');
	is(echo_once($_, 'y'), 'y', 'connected clients of the source are served') for @here;
	close shift @here;
	ok(
		wait_for(
			sub {
				my $again = tcp('127.0.0.1', $server->port);
				return (echo_once($again, 'z') // q{}) eq 'z';
			}
		),
		'one leaves: another may come'
	);
	close $_ for @here, $there, $surplus;
	is($server->stop, 0, 'exit status');
	return;
}

# How many of so many more clients are served.
sub served_of {
	my ($server, $kept, $clients) = @_;
	my $n = 0;

	for (1 .. $clients) {
		my $client = tcp('127.0.0.1', $server->port);
		next if (echo_once($client, 'x') // q{}) ne 'x';
		push @{$kept}, $client;
		$n++;
	}
	return $n;
}

# The kernel spreads them over the workers, which count together.
sub max_per_source_of_all {
	my $server = Prefork->start('-w', 3, '-p', 0, '-b', '127.0.0.1', '--max-per-source', 5);
	my @kept;

	is(served_of($server, \@kept, 30), 5, '--max-per-source 5 is for all of 3 workers');
	for my $round (1 .. 3) {
		my %worker = $server->workers;
		my $from   = $server->log_size;
		kill 'KILL', $worker{ $round % 3 };
		$server->wait_log(qr/killed\sby\ssignal/x, 20, $from);
		is((grep { (echo_once($_, 'y') // q{}) eq 'y' } @kept), 5, 'a worker is killed: all go on');
		is(served_of($server, \@kept, 12), 0, 'the source has no place more after the kill');
	}
	close pop @kept for 1 .. 3;
	ok(wait_for(sub { served_of($server, \@kept, 1); return @kept == 5 }), 'three leave: three may come');
	is(served_of($server, \@kept, 12), 0, 'the source has three places more and no fourth one');
	my $from = $server->log_size;
	$server->signal('HUP');
	$server->wait_log(qr/reloaded/x, 20, $from);
	is(served_of($server, \@kept, 12), 0, 'the source has no place more after a reload');
	close $_ for splice @kept;
	ok(wait_for(sub { served_of($server, \@kept, 1); return @kept == 5 }), 'all leave: five may come');
	is(served_of($server, \@kept, 12), 0, 'the source has five places and no sixth one');
	close $_ for @kept;
	is($server->stop, 0, 'exit status');
	return;
}

# An address of this machine's but loopback, by the route to elsewhere.
sub own_address {
	socket my $socket, PF_INET, SOCK_DGRAM, 0 or return;
	connect $socket, pack_sockaddr_in(9, inet_aton('192.0.2.1')) or return;
	my (undef, $address) = unpack_sockaddr_in(getsockname $socket);

	return inet_ntoa($address);
}

# Unless told otherwise, a source has a quarter of -n, but for loopback.
sub quarter {
	my $server  = Prefork->start('-w', 1, '-p', 0, '-b', '0.0.0.0', '-n', 8);
	my @local   = map { tcp('127.0.0.1', $server->port) } 1 .. 3;
	my $address = own_address();

	is(echo_once($_, 'x'), 'x', '-n 8: loopback has more than 2') for @local;
    SKIP: {
		skip 'this machine has no address but loopback', 4 if !defined $address;
		my @remote = map { tcp($address, $server->port) } 1 .. 2;
		is(echo_once($_, 'x'), 'x', "2 of $address") for @remote;
		my $surplus = tcp($address, $server->port);
		ok(readable($surplus, 10), 'one more is closed');
		is(length(read_until_eof($surplus)), 0, 'without a word');
	}
	is($server->stop, 0, 'exit status');
	return;
}

sub idle_timeout {
	my $server = Prefork->start('-w', 1, '-p', 0, '-4', '-i', 0.8);
	my $active = $server->tcp_socket;
	my $idle   = $server->tcp_socket;
	my $start  = now();
	my $lost   = 0;

	is(echo_once($_, 'x'), 'x', '-i: a connection') for $active, $idle;
	# Twice the time-out, with traffic on one of the two.
	while (now() < $start + 2) {
		$lost++ if (echo_once($active, 'x') // q{}) ne 'x';
		pause(0.05);
		last if $lost;
	}
	is($lost, 0, 'a connection with traffic stays open');
	ok(readable($idle), 'a connection without traffic is closed');
	is((read_until_eof($idle))[1], 'eof', 'an idle connection ends with FIN, not a reset');
	is((read_until_eof($active))[1], 'eof', 'the other connection is closed when its traffic ends');
	cmp_ok(now() - $start, '<', 5, 'in time');
	close $_ for $active, $idle;
	is($server->stop, 0, 'exit status');
	return;
}

# Reloads that come more often than the timeout do not keep a connection open.
sub idle_over_reloads {
	my $server = Prefork->start('-w', 1, '-p', 0, '-4', '-i', 2);
	my $idle   = $server->tcp_socket;
	my $start  = now();
	my $count  = 0;

	is(echo_once($idle, 'x'), 'x', '-i and reloads: a connection');
	until (readable($idle) || now() > $start + 30) {
		my $from = $server->log_size;
		$server->signal('HUP');
		$server->wait_log(qr/\]\sreloaded:/x, undef, $from) or last;
		$count++;
		pause(0.1);
	}
	is((read_until_eof($idle, 1))[1], 'eof', "it is closed amid $count reloads");
	close $idle;
	is($server->stop, 0, 'exit status');
	return;
}

# The memory of many connections goes back to the system when most have left.
sub many_leave {
	return skip_descriptors() if POSIX::sysconf(POSIX::_SC_OPEN_MAX()) < 1_600;
	my $server   = Prefork->start(qw(-w 1 -p 0 -4 -b 127.0.0.1));
	my ($worker) = current_workers($server);
	my $before   = shared_memory($worker);
	my @clients  = map { $server->tcp_socket } 1 .. 1_500;

	is(echo_once($clients[-1], 'x'), 'x', 'many connections: the last one');
	my $more = shared_memory($worker) - $before;
	cmp_ok($more, '>', 256, 'they take memory');
	splice @clients, 1;
	ok(wait_for(sub { shared_memory($worker) - $before < $more / 2 }),
		'most of it goes when they have left')
	    or diag(shared_memory($worker) . " KiB of $before + $more");
	is(echo_once($clients[0], 'y'), 'y', 'the first one is served');
	is($server->stop, 0, 'exit status');
	return;
}

sub skip_descriptors {
	SKIP: { skip 'RLIMIT_NOFILE allows too few connections', 1 }
	return;
}

# KiB that are resident and shared, which the records of connections are.
sub shared_memory {
	my ($pid) = @_;

	open my $file, '<', "/proc/$pid/status" or die "status: $!\n";
	my ($kib) = join(q{}, <$file>) =~ /^RssShmem:\s+(\d+)/mx;
	return $kib;
}

# Thousands of connects that say nothing, end in every way, and leave nothing.
sub come_and_go {
	my $server  = Prefork->start('-w', 2, '-p', 0, '-4');
	my @pids    = ($server->pid, current_workers($server));
	my $address = pack_sockaddr_in($server->port, inet_aton('127.0.0.1'));
	my %before  = map { $_ => { fds($_) } } @pids;
	my @open;

	for my $n (1 .. SILENT) {
		socket my $socket, PF_INET, SOCK_STREAM, 0 or die "socket: $!\n";
		connect $socket, $address or die "connect $n: $!\n";
		leave($socket, $n);
		push @open, $socket;
		shift @open if @open > 50;
		pause(0) if $n % 100 == 0;
	}
	@open = ();
	for my $pid (@pids) {
		ok(
			wait_for(
				sub {
					my %now = fds($pid);
					return keys %now == keys %{ $before{$pid} };
				}
			),
			"$pid has as many descriptors as before"
		) or diag(explain({ fds($pid) }), explain($before{$pid}));
	}
	is_deeply([ $server->pid, current_workers($server) ],
		\@pids, 'the same processes');
	is(echo_once($server->tcp_socket, $_), $_, "connection $_") for 1 .. 4;
	is($server->stop, 0, 'exit status');
	return;
}

# One of four ways to go.
sub leave {
	my ($socket, $n) = @_;

	if ($n % 4 == 1) {
		setsockopt $socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
	} elsif ($n % 4 == 2) {
		send $socket, '!', MSG_OOB;
	} elsif ($n % 4 == 3) {
		send $socket, 'x' x 1_000, 0;
		setsockopt $socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
	}
	return;
}

#!/usr/bin/perl

# TCP echo: RFC 862, half-close, back-pressure, --once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Temp ();
use IO::Select;
use Prefork;
use Prefork::Sockets;
use Socket qw(MSG_DONTWAIT MSG_NOSIGNAL MSG_OOB SHUT_WR SOL_SOCKET SO_RCVBUF
    SO_SNDBUF);
use Test::More;

use constant KIB => 1024;
use constant MIB => 1024 * KIB;

# The memory that a peer that does not read may cost, and malloc(3)'s overhead.
use constant WRITE_LIMIT => 64 * KIB;
use constant PEERS       => 50;
use constant ACCEPTED    => 100;
use constant SLACK       => 1.5;

my $server = Prefork->start(qw(-w 2 -p 0));
my @families = grep { $server->addresses('tcp', $_) } 4, 6;

subtest 'all that comes goes back unchanged' => sub {
	for my $family (@families) {
		my $client = $server->tcp_socket($family);
		for my $size (1, 2, 1447 .. 1449, 16_384, 65_535 .. 65_537, 131_073, MIB) {
			my $data = random_bytes($size);
			ok(echo_once($client, $data) eq $data, "$size bytes over IPv$family");
		}
	}
};

subtest 'both directions at once' => sub {
	my $data = random_bytes(20 * MIB);

	ok(echo_once($server->tcp_socket, $data, 60) eq $data, '20 MiB');
};

subtest 'pipelined' => sub {
	my $client = $server->tcp_socket;
	my @words = map { random_bytes(1 + int rand 300) } 1 .. 500;
	my $same = 0;

	syswrite $client, $_ for @words;
	for my $word (@words) {
		$same += $word eq receive_exactly($client, length $word);
	}
	is($same, @words, 'answers, in order');
};

subtest 'half-close' => sub {
	my $data   = random_bytes(200 * KIB);
	my $client = small_socket($server, SO_RCVBUF, 4 * KIB, SO_SNDBUF, 256 * KIB);

	is(syswrite($client, $data), length $data, 'sent without reading');
	shutdown $client, SHUT_WR;
	my ($got, $end) = read_until_eof($client);
	ok($got eq $data, 'owed bytes come after the end');
	is($end, 'eof', 'then the server ends, too');

	$client = $server->tcp_socket;
	shutdown $client, SHUT_WR;
	is_deeply([ read_until_eof($client) ], [ q{}, 'eof' ], 'nothing sent, nothing owed');
};

subtest 'out-of-band data is data' => sub {
	my $client = $server->tcp_socket;

	syswrite $client, 'abc';
	send $client, 'd', MSG_OOB;
	syswrite $client, 'ef';
	is(receive_exactly($client, 6), 'abcdef', 'in its place');
	send $client, 'gh', MSG_OOB;
	shutdown $client, SHUT_WR;
	is_deeply([ read_until_eof($client) ], [ 'gh', 'eof' ], 'at the end');
};

subtest 'no descriptor is left' => sub {
	my %workers = $server->workers;
	my $count = sub { my %fds = map { fds($_) } @_; return scalar keys %fds };
	my $open = sub {
		my $n = 0;
		$n += $count->($_) for values %workers;
		return $n;
	};
	my $data = random_bytes(200 * KIB);

	ok(wait_for(sub { !connections() }), 'nobody is connected');
	my $before = $open->();
	for my $i (1 .. 50) {
		my $client = $server->tcp_socket;
		send $client, $data, MSG_DONTWAIT | MSG_NOSIGNAL;
		receive_exactly($client, 1) if $i % 2;
		reset_connection($client);
	}
	ok(wait_for(sub { $open->() <= $before }), 'after resets in mid-echo');
	$server->tcp_socket->close for 1 .. 500;
	ok(wait_for(sub { $open->() <= $before }), 'after connects that say nothing');
	my @silent = map { $server->tcp_socket } 1 .. 20;
	ok(wait_for(sub { $open->() == $before + @silent }), 'silent connections stay');
	is(echo_once($silent[0], 'abc'), 'abc', 'a silent connection is served when it sends');
	reset_connection($_) for @silent;
	ok(wait_for(sub { $open->() <= $before }), 'after silent connections');
	is_deeply({ $server->workers }, \%workers, 'the workers are the same');
};
is($server->stop, 0, 'exit status');

subtest 'a peer that does not read is not read from' => sub {
	my $picky = Prefork->start({ env => asan_env('quarantine_size_mb=0',
				'thread_local_quarantine_size_kb=0') },
		qw(-w 1 -p 0 --receive-buffer 256k --send-buffer 16k));
	my (undef, $worker) = $picky->workers;
	my $data  = random_bytes(MIB);
	my $other = $picky->tcp_socket;

	ok(echo_once($other, $data) eq $data, 'echo before');
	my $before = memory($worker);
	# Twice, so that the second round shows leftovers of the first.
	for my $round (1, 2) {
		my %peers = map { $_ => { socket => $_, sent => 0 } }
		    map { small_socket($picky, SO_RCVBUF, 4 * KIB, SO_SNDBUF, 256 * KIB) }
		    1 .. PEERS;
		is(fill(\%peers, $data), 0, 'peers that could send all');
		my $more = memory($worker) - $before;
		note sprintf '%d bytes a peer', $more / PEERS;
		cmp_ok($more, '<', PEERS * WRITE_LIMIT * SLACK, 'memory of the worker');
		ok(echo_once($other, $data) eq $data, 'another one is served');
		ok(echo_once($picky->tcp_socket, $data) eq $data, 'a new connection is served beside the peers that do not read');

		my $ticks = cpu_ticks($worker);
		is(IO::Select->new($other)->can_read(0.3), undef, 'for a while, nothing');
		cmp_ok(cpu_ticks($worker) - $ticks, '<', 10, 'the worker is idle then');
		is((grep { reads_all($_, $data) } values %peers), PEERS,
			'peers that read in the end and get all');
	}
};

subtest 'once' => sub {
	my $single = Prefork->start(qw(-w 2 -p 0 -1));
	my $both =
	    Prefork->start('-w', 2, '-b', '127.0.0.1:0,once', '-b', '127.0.0.2:0');

	check_once($single, '127.0.0.1', '-1');
	check_once($both,   '127.0.0.1', ',once');
	my $persistent = tcp('127.0.0.2', $both->port);
	is(echo_once($persistent, $_), $_, 'without it: echo') for 'abc', 'def';
};
# One that finds nobody makes a socket and a file for nothing.
subtest 'no accept too many' => sub {
	my $trace  = File::Temp->new;
	my @strace = ('strace', '-f', '-qq', '-e', 'trace=accept4', '-o', "$trace");

	plan skip_all => 'strace is not installed' if !have('strace');
	my ($code, undef, $errors) = run_cmd(@strace, 'true');
	plan skip_all => "strace is not permitted: $errors" if $code;
	my $traced = Prefork->start({ wrapper => \@strace, env => asan_env('detect_leaks=0') },
		qw(-w 1 -p 0 -b 127.0.0.1));
	my @clients = map { $traced->tcp_socket } 1 .. ACCEPTED;
	is(scalar(grep { echo_once($_, 'abc') eq 'abc' } @clients), ACCEPTED, 'all are served');
	# At once: a slower stop looks whether somebody waits.
	$traced->signal('INT');
	is($traced->wait_exit, 0, 'it ends');
	seek $trace, 0, 0;
	my @results = join(q{}, <$trace>) =~ /accept4.*=\s(\d+|-1\s\w+)/gx;
	is(scalar(grep { /^\d/x } @results), ACCEPTED, 'each was accepted');
	# One of descriptor -1 asks whether a sandbox denies the call.  The kernel
	# counts a connection after it has queued it, so that one may find nobody.
	my @vain = grep { !/^\d|EBADF/x } @results;
	is_deeply([ grep { !/EAGAIN/x } @vain ], [], 'no other error');
	cmp_ok(scalar(@vain), '<', ACCEPTED / 4, 'less than a quarter of the accepts found no connection');
};
done_testing();

sub check_once {
	my ($once, $host, $name) = @_;
	my $port = $once->port;

	my $client = tcp($host, $port);
	syswrite $client, 'Hello World!';
	is_deeply([ read_until_eof($client) ], [ 'Hello World!', 'eof' ], "$name: echo, end");

	# Bytes after the first read must not cause a reset.
	my $data = random_bytes(200 * KIB);
	my $same = 0;
	for (1 .. 20) {
		$client = tcp($host, $port,
			Sockopts => [ [ SOL_SOCKET, SO_SNDBUF, 256 * KIB ] ]);
		syswrite $client, $data;
		my ($got, $end) = read_until_eof($client);
		$same++ if $end eq 'eof' && length $got && length $got <= 64 * KIB
		    && $got eq substr $data, 0, length $got;
	}
	is($same, 20, "$name: of more than one read the first, then the end");

	$client = tcp($host, $port);
	shutdown $client, SHUT_WR;
	is_deeply([ read_until_eof($client) ], [ q{}, 'eof' ], "$name: nothing sent");
	return;
}

sub small_socket {
	my ($to, %options) = @_;
	my ($first) = $to->addresses('tcp', 4);

	return tcp(@{$first}[ 1, 2 ],
		Sockopts => [ map { [ SOL_SOCKET, $_, $options{$_} ] } keys %options ])
	    // die "tcp: $@\n";
}

sub receive_exactly {
	my ($socket, $count) = @_;
	my $got = q{};

	while (length $got < $count) {
		IO::Select->new($socket)->can_read(10) or last;
		sysread($socket, $got, $count - length $got, length $got) or last;
	}
	return $got;
}

# Lets every peer send until nothing more goes; the number of those that could
# send all.
sub fill {
	my ($peers, $data) = @_;
	my $select = IO::Select->new(map { $_->{socket} } values %{$peers});

	while (my @ready = $select->can_write(0.3)) {
		for my $socket (@ready) {
			my $peer  = $peers->{$socket};
			my $piece = substr $data, $peer->{sent}, 256 * KIB;
			$select->remove($socket) if $piece eq q{};
			$peer->{sent} +=
			    send($socket, $piece, MSG_DONTWAIT | MSG_NOSIGNAL) // 0;
		}
	}
	return scalar grep { $_->{sent} == length $data } values %{$peers};
}

# A peer that has sent the beginning of $data ends, and reads.
sub reads_all {
	my ($peer, $data) = @_;

	shutdown $peer->{socket}, SHUT_WR;
	my ($got, $end) = read_until_eof($peer->{socket});
	return $end eq 'eof' && $got eq substr $data, 0, $peer->{sent};
}

# The connections that the server has.
sub connections {
	my ($code, $output) = run_cmd('ss', qw(-Htn state established sport =),
		':' . $server->port);

	return scalar split /\n/, $output;
}

# Bytes that are resident and not from a file.
sub memory {
	my ($pid) = @_;

	open my $file, '<', "/proc/$pid/status" or die "status: $!\n";
	my ($kib) = join(q{}, <$file>) =~ /^RssAnon:\s+(\d+)/m;
	return $kib * KIB;
}

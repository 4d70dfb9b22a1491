#!/usr/bin/perl

# Processes and their sockets: a master that opens none, workers with their own,
# one port for all, and the log and the process titles that say so.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Temp ();
use Prefork;
use Prefork::Life qw(write_file);
use Prefork::Sockets;
use Socket qw(IPPROTO_IPV6 IPV6_V6ONLY SOL_SOCKET SO_REUSEADDR SO_REUSEPORT);
use Test::More;

use constant WORKERS => 4;

subtest 'log lines and process titles' => sub {
	my $server = Prefork->start('-w', WORKERS, '-p', 0, '-b', '127.0.0.1');
	my ($master, $port, %workers) =
	    ($server->pid, $server->port, $server->workers);
	my @expected =
	    "[master ($master)] ready: 4 workers on tcp 127.0.0.1:$port, udp 127.0.0.1:$port";

	is($master, $server->spawned, 'the master is the started process');
	is_deeply([ sort keys %workers ], [ 0 .. WORKERS - 1 ], 'slots 0 to 3');
	is_deeply([ sort { $a <=> $b } values %workers ],
		[ workers_of($master) ], 'the workers are its own');
	is(title($master), "prefork-echo: master 127.0.0.1:$port", 'title of the master');
	for my $slot (sort keys %workers) {
		my $pid = $workers{$slot};
		is(title($pid), "prefork-echo: worker $slot", "title of worker $slot");
		push @expected, "[master ($master)] started worker $slot ($pid)";
	}
	push @expected,
	    map { "[worker-0 ($workers{0})] serving on $_ 127.0.0.1:$port with 4 workers" }
	    qw(tcp udp);
	# Of the sandbox, with words of this kernel and build, and without CAP_NET_ADMIN
	# of the buffers.
	my @lines = grep { !/\]\s(?:workers\sare\s(?:not\s)?confined|udp:\sgot\sa)/x } split /\n/, $server->log_text;
	is_deeply([ sort @lines ],
		[ sort @expected ], 'the log has these lines and no others');
	is($server->stop, 0, 'exit status');
};

# The title takes the place of the arguments: it is shorter than the first of them,
# as long, or longer.
subtest 'process titles, with all kinds of arguments' => sub {
	my $dir  = File::Temp->newdir;
	my $file = "$dir/conf";
	write_file($file, 'bind 127.0.0.1', 'port 0', 'workers 1');
	for my $name ('prefork-echo', '/12345678/prefork-echo', '/' . 'x' x 200 . '/prefork-echo') {
		my @as     = ('/bin/bash', '-c', 'exec -a "$0" "$@"', $name);
		my $server = Prefork->start({ wrapper => \@as }, '-c', $file);
		my ($master, $worker) = ($server->pid, { $server->workers }->{0});
		my $port = $server->port;

		is(title($master), "prefork-echo: master 127.0.0.1:$port ($file)", length($name) . ': master');
		is(title($worker), 'prefork-echo: worker 0', length($name) . ': worker');
		is($server->stop, 0, 'exit status');
	}
};

subtest 'the log of an echo, with -v' => sub {
	my $server = Prefork->start(qw(-v -w 1 -p 0 -b 127.0.0.1));
	my ($name) = map { "[worker-0 ($_)] " } { $server->workers }->{0};
	my $client = $server->tcp_socket;
	my $peer   = "('127.0.0.1', " . $client->sockport . ')';
	my $binary = "a'b\\\r\n\t\0\x1b\xff";
	my $long   = 'x' x 65;

	is(echo_once($client, $_), $_, 'echo') for 'Hello World!', $binary, $long;
	$client->close;
	ok($server->wait_log(qr/\]\sdisconnected\sfrom\s/x), 'disconnected');
	my @expected = ("connected from $peer");
	for my $shown (q{b'Hello World!'}, q{b"a'b\\\\\\r\\n\\t\\x00\\x1b\\xff"},
		q{b'} . 'x' x 64 . q{'... (65 bytes)})
	{
		push @expected, "recv: $shown", "sent: $shown";
	}
	push @expected, "disconnected from $peer";
	my ($text) = $server->log_text =~ /^(\S+\s\S+\sconnected\sfrom.*)/msx;
	is_deeply([ split /\n/, $text ],
		[ map { $name . $_ } @expected ], 'as Python writes them');
};

my @listeners = ([ 'tcp', 4 ], [ 'udp', 4 ], [ 'tcp', 6 ], [ 'udp', 6 ]);

subtest 'every worker has sockets of its own' => sub {
	my $server  = Prefork->start('-w', WORKERS, '-p', 0);
	my %workers = $server->workers;
	my $port    = $server->port;
	my @here    = grep { $server->addresses(@{$_}) } @listeners;

	is_deeply([ grep { $_->[2] != $port } $server->addresses ],
		[], 'one port for all');
	SKIP: {
		skip 'ss is not installed', 1 if !have('ss');
		my @lines = map { ss($_, $port) } qw(-t -u);
		is(scalar @lines, WORKERS * @here, 'sockets, as ss counts them');
		my %inodes = map { /\bino:(\d+)/ ? ($1 => 1) : () } @lines;
		my %seen;
		for my $slot (sort keys %workers) {
			my %fds = fds($workers{$slot});
			my @own = grep { $inodes{$_} } map { /^socket:\[(\d+)/ } values %fds;
			is(scalar @own, @here, "sockets of worker $slot, by /proc");
			$seen{$_}++ for @own;
		}
		is_deeply([ grep { $_ != 1 } values %seen ], [], 'each is of one worker');
		is(keys %seen, WORKERS * @here, 'each is of a worker');
	}
	SKIP: {
		my %sockets = map { $_ => [ sockets_of($workers{$_}) ] } keys %workers;
		skip "pidfd_getfd: $!", 1 if !@{ $sockets{0} };
		check_sockets($_, $sockets{$_}, $port, @here) for sort keys %sockets;
	}
};

subtest 'the master opens no Internet socket' => sub {
	my $trace = File::Temp->new;
	my @strace = ('strace', '-f', '-qq', '-e', 'signal=none', '-o', "$trace", '-e',
		'trace=socket,bind,listen,accept,accept4');

	plan skip_all => 'strace is not installed' if !have('strace');
	my ($code, undef, $errors) = run_cmd(@strace, 'true');
	plan skip_all => "strace is not permitted: $errors" if $code;

	my $server = Prefork->start({ wrapper => \@strace,
		env => asan_env('detect_leaks=0') }, '-w', WORKERS, '-p', 0);
	my $master = $server->pid;
	my %workers = $server->workers;
	is(echo_once($server->tcp_socket, 'abc'), 'abc', 'echo');
	my $old = $workers{0};
	kill 'KILL', $old;
	ok($server->wait_log(qr/^\[worker-0\s\((?!$old\))\d+\)\]\sserving\s/mx),
		'a worker is restarted');
	$server->signal('HUP');
	ok($server->wait_log(qr/\]\sreloaded:\s/x), 'a reload');
	is(echo_once($server->tcp_socket, 'abc'), 'abc', 'echo');
	is($server->stop, 0, 'exit status');

	my %calls;
	while (my $line = <$trace>) {
		push @{ $calls{$1} }, $line if $line =~ /^(\d+)\s+\w+\(/;
	}
	my $inet = qr/socket\(AF_INET|sa_family=AF_INET|listen\(|accept4?\(/;
	# It listens on its control socket, the one thing that it binds.
	my @bound = grep { /\bbind\(/ } @{ $calls{$master} };
	my ($own) = map { /\bbind\((\d+),\s\{sa_family=AF_UNIX/ } @bound;
	is(@bound, 1, 'the master binds one socket');
	ok($own, 'an AF_UNIX one') or diag(@bound);
	is_deeply([ grep { /$inet/ && !/\b(?:listen|accept4)\($own,/ } @{ $calls{$master} } ],
		[], 'the master binds no Internet socket');
	for my $slot (sort keys %workers) {
		my %names = map { /^\d+\s+(\w+)\(/ ? ($1 => 1) : () }
		    grep { /$inet/ } @{ $calls{ $workers{$slot} } };
		is_deeply([ sort grep { !/accept/ } keys %names ],
			[qw(bind listen socket)], "worker $slot does");
	}
	ok((grep { /accept4?\(/ } map { @{$_} } values %calls), 'somebody accepts');
};
done_testing();

# As ps(1) shows it.
sub title {
	my ($pid) = @_;

	open my $file, '<', "/proc/$pid/cmdline" or return;
	return join(q{}, <$file>) =~ s/\0+\z//r;
}

sub check_sockets {
	my ($slot, $sockets, $port, @expected) = @_;
	my @bound = grep { $_->{state} ne 'connected' } @{$sockets};
	my $key = sub { my ($s) = @_; return "$s->{kind} $s->{family} $s->{port}" };

	is_deeply([ sort map { $key->($_) } @bound ],
		[ sort map { "$_->[0] $_->[1] $port" } @expected ],
		"worker $slot has one of each kind and family");
	for my $socket (@bound) {
		my ($handle, $what) = ($socket->{handle}, "$slot $socket->{kind}$socket->{family}");
		is(option_of($handle, SOL_SOCKET, SO_REUSEPORT), 1, "$what: SO_REUSEPORT");
		is(option_of($handle, SOL_SOCKET, SO_REUSEADDR), 0, "$what: no SO_REUSEADDR")
		    if $socket->{kind} eq 'udp';
		is(option_of($handle, IPPROTO_IPV6, IPV6_V6ONLY), 1, "$what: IPV6_V6ONLY")
		    if $socket->{family} == 6;
	}
	return;
}

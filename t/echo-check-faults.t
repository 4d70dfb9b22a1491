#!/usr/bin/perl

# echo-check against servers that go wrong: each fault is named by its kind,
# counted once, and nothing else is. And against tools that echo: no loss.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Temp ();
use IO::Socket::IP;
use Prefork;
use Prefork::Check;
use Prefork::Faults;
use Prefork::Life qw(slurp);
use Prefork::Sockets qw(have);
use Prefork::Tools qw(spawn_process);
use Test::More;

use constant SIZE => Prefork::Faults::SIZE;
# For answers that never come only, however slow the machine is.
use constant PATIENCE => 1;

my %modes = (persistent => [], connect => ['-c'], once => ['-1']);

# A server's fault at every tenth message, the third first: the kind of loss,
# the code of the fault, and options of the checker.
my @tcp = (
	[ 'corrupts a byte', 'mismatch', sub { $_[0]->write(corrupt($_[1], 40)); end($_[0]) } ],
	[ 'corrupts the head', 'mismatch', sub { $_[0]->write(corrupt($_[1], 5)); end($_[0]) } ],
	[ 'answers other bytes', 'mismatch', sub { $_[0]->write('x' x SIZE); end($_[0]) } ],
	[ 'answers twice', 'duplicate', sub { $_[0]->write($_[1] x 2); end($_[0]) } ],
	[ 'ends in mid-message', 'short', sub { $_[0]->write(substr $_[1], 0, 30); $_[0]->end } ],
	[ 'ends without an answer', 'short', sub { $_[0]->end } ],
	[ 'resets', 'reset', sub { $_[0]->reset } ],
	[ 'resets in mid-message', 'reset', sub { $_[0]->write(substr $_[1], 0, 30); $_[0]->reset } ],
	[ 'stalls', 'timeout', sub { }, '-t', PATIENCE ],
	[ 'stalls in mid-message', 'timeout', sub { $_[0]->write(substr $_[1], 0, 30) }, '-t', PATIENCE ],
);

for my $case (@tcp) {
	my ($name, $kind, $do, @options) = @{$case};

	subtest "TCP, $name" => sub {
		finds_all($kind, map { [
			$_,
			Prefork::Faults->tcp(every_tenth($do), once => $_ eq 'once'),
			@{ $modes{$_} }, qw(-n 2), @options
		] } sort keys %modes);
	};
}

subtest 'TCP, answers and goes on' => sub {
	my $more = every_tenth(sub { $_[0]->write("$_[1]x"); end($_[0]) });

	for my $mode (qw(connect once)) {
		my $server = Prefork::Faults->tcp($more, once => $mode eq 'once');
		my ($code, $result) = check(@{ $modes{$mode} }, qw(-n 2 -d 0.2 -p), $server->port);
		is($code, 1, "$mode: exit status");
		is_deeply(found($result), { mismatch => $server->faults }, "$mode: named");
		is($result->{echoed}, $result->{sent}, "$mode: all is echoed");
	}
};

subtest 'TCP, does not end with --once' => sub {
	my $server = Prefork::Faults->tcp(sub { 0 });
	my ($code, $result) = check(qw(-1 -n 2 -d 0.2 -t 0.3 -p), $server->port);

	is($code, 1, 'exit status');
	is_deeply([ keys %{ found($result) } ], ['timeout'], 'named');
	is($result->{echoed}, 0, 'no answer is whole');
	adds_up($result, 'once');
};

subtest 'TCP, ends a persistent connection' => sub {
	my $server = Prefork::Faults->tcp(sub { 0 }, once => 1);
	my ($code, $result) = check(qw(-n 2 -d 0.2 -p), $server->port);

	is($code, 1, 'exit status');
	# The next message may already be there when it ends.
	is_deeply([ grep { !/^(?:short|reset)$/ } keys %{ found($result) } ], [], 'named');
	adds_up($result, 'persistent');
};

# It has brought all that the flow was to send: no fault of the server's, and no
# message is missing.
subtest 'TCP, ends a persistent connection that is done' => sub {
	my @held;
	my $server = Prefork::Faults->tcp(
		sub {
			my ($connection, $message, $count) = @_;
			if ($count == 1) {
				@held = ($connection, $message);
				return 1;
			}
			$held[0]->write($held[1]);
			$held[0]->end;
			return -1;
		}
	);
	my $run = start(qw(-n 1 -d 60 -p), $server->port);
	ok(wait_for(sub { $server->faults == 1 }), 'a message is on the way');
	kill 'INT', $run->{pid};
	ok(wait_for(sub { !has_pending($run->{pid}) }), 'the last, by SIGINT');
	print { tcp('127.0.0.1', $server->port) } 'x' x SIZE;
	my ($code, $result) = finish($run);

	is($code, 0, 'exit status');
	is_deeply([ $result->{echoed}, found($result) ], [ 1, {} ], 'nothing is lost');
	adds_up($result, 'persistent');
};

# Bytes that are written after the end are not taken any more, which breaks the
# connection: that is the same loss.
subtest 'TCP, ends and resets with much on the way' => sub {
	my @ended;
	my $server = Prefork::Faults->tcp(
		sub {
			push @ended, $_[0];
			$_[0]->half_end;
			return 1;
		},
		idle => sub { $_->end for splice @ended }
	);
	my ($code, $result) = check(qw(-n 1 -d 0.2 -z 1M --pipeline 8 -p), $server->port);

	is($code, 1, 'exit status');
	is($result->{echoed}, 0, 'nothing is echoed');
	adds_up($result, 'persistent');
};

subtest 'TCP, answers out of order' => sub {
	finds_all('reordered', [ 'pipelined', reordering('tcp'), qw(-n 1 --pipeline 4) ]);
};

subtest 'TCP, refuses later' => sub {
	for my $mode (qw(connect persistent)) {
		my $server = Prefork::Faults->tcp(
			sub {
				my ($connection, undef, $count) = @_;
				return 0 if $count != 10;
				$connection->refuse;
				$connection->end;
				return 1;
			}
		);
		my ($code, $result) = check(@{ $modes{$mode} }, qw(-n 1 -d 0.3 -p), $server->port);
		my $found = found($result);
		is($code, 1, "$mode: exit status");
		is($result->{echoed}, 9, "$mode: echoed before");
		cmp_ok(delete $found->{refused}, '>', 0, "$mode: named");
		is_deeply($found, { short => 1 }, "$mode: and the one that was cut off");
	}
};

my @udp = (
	[ 'drops', 'timeout', sub { }, '-t', PATIENCE ],
	[ 'corrupts a byte', 'mismatch', sub { $_[0]->write(corrupt($_[1], 40)) } ],
	[ 'corrupts the head', 'mismatch', sub { $_[0]->write(corrupt($_[1], 5)) } ],
	[ 'answers other bytes', 'mismatch', sub { $_[0]->write('x' x 100) } ],
	[ 'answers too much', 'mismatch', sub { $_[0]->write("$_[1]x") } ],
	[ 'truncates', 'short', sub { $_[0]->write(substr $_[1], 0, SIZE - 1) } ],
	[ 'truncates to the head', 'short', sub { $_[0]->write(substr $_[1], 0, 16) } ],
	[ 'truncates the head', 'short', sub { $_[0]->write(substr $_[1], 0, 7) } ],
	[ 'answers nothing but a datagram', 'short', sub { $_[0]->write(q{}) } ],
	[ 'answers twice', 'duplicate', sub { $_[0]->write($_[1]) for 1, 2 } ],
);

for my $case (@udp) {
	my ($name, $kind, $do, @options) = @{$case};

	subtest "UDP, $name" => sub {
		finds_all($kind, map {
			my ($mode, @more) = @{$_};
			[ $mode, Prefork::Faults->udp(every_tenth($do)), @more, '-u', @options ]
		} [ 'one by one', qw(-n 2) ],
		  [ 'pipelined', qw(-n 1 --pipeline 8) ],
		  [ 'open loop', qw(-n 2 -r 200) ]);
	};
}

# Messages that are due during the wait for a lost one are sent all the same.
subtest 'UDP, drops one of many' => sub {
	my $server = Prefork::Faults->udp(sub { $_[2] == 3 });
	my ($code, $result) = check(qw(-u -n 1 -r 300 -d 2 -t 6 -p), $server->port);

	is($code, 1, 'exit status');
	is_deeply(found($result), { timeout => 1 }, 'the one is lost');
	cmp_ok($result->{latency_ms}{slowest}, '<', 3000, 'no other waits for it');
	adds_up($result, 'open loop');
};

subtest 'UDP, answers without a request' => sub {
	my $server = Prefork::Faults->udp(every_tenth(
		sub { $_[0]->write('x' x SIZE); $_[0]->write($_[1]) }));
	my ($code, $result) = check(qw(-u -n 2 -d 0.3 -p), $server->port);

	is($code, 1, 'exit status');
	is($result->{echoed}, $result->{sent}, 'all is echoed');
	is_deeply([ keys %{ found($result) } ], ['mismatch'], 'named');
	is($result->{mismatch}, $server->faults, 'each');
};

subtest 'UDP, answers out of order' => sub {
	finds_all('reordered', map { [ "pipelined @{$_}", reordering('udp'), @{$_}, qw(-u -n 1 --pipeline 4) ] }
		[], ['--strict']);
};

# The answer to the third message comes with that to the fourth, which is sent
# when the third has been given up; or after a hundred more, and with a second one.
subtest 'UDP, answers too late' => sub {
	my $late = sub {
		my ($with) = @_;
		my $held;

		return Prefork::Faults->udp(
			sub {
				my ($datagram, $message, $count) = @_;
				$held = $message if $count == 3;
				$datagram->write($held) if $count == $with;
				return $count == 3 ? 1 : 0;
			}
		);
	};
	my @options = (qw(-u -n 1 -t), PATIENCE, '-d', PATIENCE + 1.5);

	finds_all(
		'late',
		[ 'at once', $late->(4), @options ],
		[ 'much later', $late->(104), @options ],
		[ 'strict', $late->(4), '--strict', @options ]
	);
};

subtest 'UDP, refuses later' => sub {
	my $server = Prefork::Faults->udp(
		sub {
			my ($datagram, $message, $count) = @_;
			return 0 if $count != 10;
			$datagram->write($message);
			$datagram->refuse;
			return 1;
		}
	);
	my ($code, $result) = check(qw(-u -n 1 -d 0.5 -t 0.3 -p), $server->port);
	my $found = found($result);

	is($code, 1, 'exit status');
	is($result->{echoed}, 10, 'echoed before');
	cmp_ok(delete $found->{refused}, '>', 0, 'named');
	# It may have been in the queue of the socket that was closed.
	cmp_ok($found->{timeout} // 0, '<=', 1, 'one is lost without a word');
	delete $found->{timeout};
	is_deeply($found, {}, 'no other kind');
	adds_up($result, 'refused');
};

subtest 'nobody answers' => sub {
	my $udp = IO::Socket::IP->new(LocalHost => '127.0.0.1', Type => SOCK_DGRAM);
	my ($code, $result) = check(qw(-u -n 2 -d 0.2 -t 0.3 -p), $udp->sockport);

	is($code, 1, 'exit status');
	is($result->{echoed}, 0, 'nothing is echoed');
	is_deeply([ keys %{ found($result) } ], ['timeout'], 'named');
	adds_up($result, 'UDP');
};

subtest 'socat' => sub {
	plan skip_all => 'socat is not installed' if !have('socat');
	for my $what ('PIPE', 'EXEC:cat') {
		my ($port, $guard) = echo_tool(qr/listening\son\s.*:(\d+)$/mx,
			qw(socat -d -d), 'TCP-LISTEN:0,bind=127.0.0.1,fork,backlog=64', $what);
		loses_nothing("TCP $what, $_->[0]", $port, @{ $_->[1] })
		    for [ 'persistent', [] ], [ 'connect', ['-c'] ], [ 'open loop', [qw(-r 100)] ];
	}
	my ($port, $guard) = echo_tool(qr/receiving\son\s.*:(\d+)$/mx,
		qw(socat -d -d), 'UDP-RECVFROM:0,bind=127.0.0.1,fork', 'PIPE');
	SKIP: {
		skip 'socat does not tell its UDP port', 1 if !$port;
		loses_nothing('UDP', $port, qw(-u -n 1));
	}
};

subtest 'nc' => sub {
	my $help = have('nc') ? join q{}, run_cmd('nc', '-h') : q{};
	plan skip_all => "OpenBSD's nc is not installed" if $help !~ /OpenBSD/;

	my $dir = File::Temp->newdir;
	my ($port, $guard) = echo_tool(qr/\s(\d+)$/mx, 'sh', '-c',
		"mkfifo $dir/f && nc -lnv 127.0.0.1 0 <>$dir/f | cat >$dir/f");
	SKIP: {
		skip 'nc does not tell its port', 1 if !$port;
		loses_nothing('TCP', $port, qw(-n 1));
	}
};
done_testing();

# Whether a signal has not come to the process yet.
sub has_pending {
	my ($pid) = @_;

	return slurp("/proc/$pid/status") =~ /^(?:Sig|Shd)Pnd:\s+0*[^0\s]/m;
}

sub corrupt {
	my ($message, $at) = @_;

	return $message ^ ("\0" x $at . "\1");
}

# Where a connection is for one message it ends after the answer.
sub end { my ($connection) = @_; $connection->end if $connection->{server}{once} }

# A server that answers a message after the one that follows it.
sub reordering {
	my ($protocol) = @_;
	my @held;
	my $release = sub { $_->[0]->write($_->[1]) for splice @held };

	return Prefork::Faults->$protocol(
		sub {
			my ($to, $message, $count) = @_;
			if (@held) {
				$to->write($message);
				$release->();
				return 1;
			}
			return 0 if $count % 10 != 3;
			@held = [ $to, $message ];
			return -1;
		},
		idle => $release
	);
}

sub every_tenth {
	my ($do) = @_;

	return sub {
		my (@arguments) = @_;
		return 0 if $arguments[2] % 10 != 3;
		$do->(@arguments);
		return 1;
	};
}

# finds_all($kind, [$name, $server, @options], ...), all at a time.
sub finds_all {
	my ($kind, @cases) = @_;
	my @runs = map {
		my (undef, $server, @options) = @{$_};
		start('-d', 0.3, @options, '-p', $server->port);
	} @cases;

	for my $n (0 .. $#cases) {
		my ($name, $server, @options) = @{ $cases[$n] };
		my $fails = $kind !~ /^(?:late|duplicate|reordered)$/ || !grep({ $_ eq '-u' } @options)
		    || grep { $_ eq '--strict' } @options;
		finds($server, $name, $kind, $runs[$n], $fails ? 1 : 0);
	}
	return;
}

# That the server's faults and nothing else are found, as the given kind.
sub finds {
	my ($server, $name, $kind, $run, $status) = @_;
	my ($code, $result, $errors) = finish($run);

	is($errors, q{}, "$name: nothing on standard error");
	ok($result, "$name: there is a result") or return;
	my $faults = $server->faults;
	cmp_ok($faults, '>', 0, "$name: there were faults");
	is($code, $status, "$name: exit status");
	# A second answer may come when all are there and nobody listens.
	$faults = $result->{$kind}
	    if $kind eq 'duplicate' && $faults - $result->{$kind} == 1;
	is_deeply(found($result), { $kind => $faults }, "$name: $kind");
	is($result->{unsent}, 0, "$name: all was sent");
	ordered($result, $name);
	adds_up($result, $name);
	return;
}

sub loses_nothing {
	my ($name, $port, @options) = @_;
	my ($code, $result, $errors) = check(qw(-n 4 -d 0.3), @options, '-p', $port);

	is_deeply([ $code, $result ? found($result) : $errors ], [ 0, {} ],
		"$name: nothing is lost");
	adds_up($result, $name) if $result;
	return;
}

# echo_tool($pattern, @command): its port, as it prints it on standard error,
# and the object that ends it.
sub echo_tool {
	my ($pattern, @command) = @_;
	my $log = File::Temp->new;
	my $pid = spawn_process({ stderr => $log }, '/usr/bin/env', @command);
	my $guard = bless { pid => $pid }, 'Guard';
	my $text = q{};

	wait_for(
		sub {
			seek $log, 0, 0;
			$text = join q{}, readline $log;
			return $text =~ $pattern || !alive($pid);
		}
	);
	return ($text =~ $pattern ? $1 : undef, $guard);
}

sub Guard::DESTROY {
	my ($self) = @_;

	local ($?, $!);
	kill 'KILL', -$self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

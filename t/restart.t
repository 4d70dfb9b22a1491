#!/usr/bin/perl

# A worker that dies is replaced: at once, with growing delays when it keeps
# dying, and not for ever. One that dies before the service was ever ready ends
# the master.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::IP;
use Prefork;
use Prefork::Life;
use Test::More;

use constant DELAY => qr/;\srestarting\sin\s(\d+)\sms$/mx;

one_death();
ways_to_die();
standing_still();
again_and_again();
for_ever();
never_ready();
killed_while_booting();
done_testing();

# Sends the signal to the slot's worker and waits for the next one; the new
# worker's pid and the line that told how the old one died.
sub replace {
	my ($server, $slot, $signal) = @_;
	my $old    = { $server->workers }->{$slot};
	my $offset = $server->log_size;

	kill $signal, $old;
	for my $line (qr/started\sworker\s$slot\s\(/x,
		qr/worker\s$slot\s\($old\)\s.*\n/x)
	{
		$server->wait_log(qr/^\[master\s\(\d+\)\]\s$line/mx, undef,
			$offset) or die "worker $slot was not replaced\n";
	}
	my ($line) = substr($server->log_text, $offset) =~
	    /^(\[master\s.*\sworker\s$slot\s\($old\)\s.*)$/mx;
	return ({ $server->workers }->{$slot}, $line // q{});
}

sub one_death {
	my $server = Prefork->start('-v', '-w', 2, '-p', 0, '-4');
	my ($kept)   = connect_to($server, 1);
	my ($victim, $old) = connect_to($server, 0);
	my %before = fds($old);
	my ($pid, $line) = replace($server, 0, 'KILL');

	like($line, qr/killed\sby\ssignal\s9\s\(SIGKILL\);\srestarting$/x,
		'SIGKILL: the log says so, and restarts at once');
	is(echo_once($kept, 'still here'), 'still here',
		"another worker's connection lives on");
	is(echo_once($victim, 'me too'), 'me too',
		'a connection of the killed worker lives on');
	my ($fresh, $served_by) = connect_to($server, 0);
	is(echo_once($fresh, 'new'), 'new', 'the slot answers again');
	is($served_by, $pid, 'by its new worker');
	my %after = fds($pid);
	is(scalar keys %after, 1 + keys %before,
		'the new worker has the descriptors of the old one, and one connection more');
	is_deeply([ current_workers($server) ],
		[ sort { $a <=> $b } values %{ { $server->workers } } ],
		'two workers as before');
	is($server->stop, 0, 'exit status');
	return;
}

sub ways_to_die {
	for my $case (
		[ ABRT => qr/killed\sby\ssignal\s6\s\(SIGABRT\)/x ],
		[ TRAP => qr/killed\sby\ssignal\s5\s\(SIGTRAP\)/x ],
		[ INT  => qr/exited[ ]with\sstatus\s0/x ],
	    )
	{
		my ($signal, $how) = @{$case};
		my $server = Prefork->start('-w', 1, '-p', 0, '-4');
		my (undef, $line) = replace($server, 0, $signal);
		like($line, $how, "SIG$signal: the log says how it died");
		is(echo_once($server->tcp_socket, 'x'), 'x', "SIG$signal: the service goes on");
	}
	return;
}

# Not dead, but as good as that.
sub standing_still {
	my $server = Prefork->start('-v', '-w', 2, '-p', 0, '-4',
		'--worker-timeout', 1);
	my ($kept) = connect_to($server, 1);
	my ($held, $pid) = connect_to($server, 0);

	kill 'STOP', $pid;
	ok($server->wait_log(qr/worker\s0\s\($pid\)\skilled\sby\ssignal/x),
		'a worker that stands still is killed');
	my ($socket, $successor) = connect_to($server, 0);
	cmp_ok($successor, '!=', $pid, 'a successor serves in the place of the killed worker');
	is(echo_once($_, 'x'), 'x', 'a connected client is served')
	    for $kept, $held, $socket;
	is($server->stop, 0, 'exit status');
	return;
}

# One slot of two: its delays grow, the other serves, and then it recovers.
sub again_and_again {
	my $server = Prefork->start('-w', 2, '-p', 0, '-4', '--keeper', 'off');

	replace($server, 0, 'KILL') for 1 .. 6;
	my @delays = $server->log_text =~ /${\DELAY}/g;
	cmp_ok(scalar @delays, '>=', 3, 'the third death in a row has a delay');
	is_deeply(\@delays, [ sort { $a <=> $b } @delays ], 'delays grow')
	    or diag("@delays");
	cmp_ok($delays[-1], '>=', 2 * $delays[0], 'fast');
	ok(settled_workers($server, 2), 'two workers in the end');
	is(echo_once($server->udp_socket, $_), $_, "datagram $_") for 1 .. 4;
	is($server->stop, 0, 'exit status');
	return;
}

# The only slot: the master gives up.
sub for_ever {
	my $server = Prefork->start('-w', 1, '-p', 0, '-4', '--keeper', 'off');
	my $offset = 1;
	my $deaths = 0;

	while ($offset = $server->wait_log(
			qr/\]\sstarted\sworker\s0\s\(\d+\)/x, 20, $offset))
	{
		kill 'KILL', { $server->workers }->{0};
		last if ++$deaths > 30;
	}
	is($server->wait_exit, 69, 'crash loop: exit 69');
	my @delays = $server->log_text =~ /${\DELAY}/g;
	is_deeply(\@delays, [ sort { $a <=> $b } @delays ], 'delays grow')
	    or diag("@delays");
	is(count($server->log_text, qr/workers[ ]keep\sdying/x), 1, 'it says so once');
	return;
}

sub never_ready {
	my $listener = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1);
	my $port     = $listener->sockport;
	my %cases    = (
		"127.0.0.1:$port" => [ 75, qr/127[.]0[.]0[.]1:$port.*\sin\suse/x ],
		'192.0.2.1:0' => [ 75, qr/192[.]0[.]2[.]1.*no\ssuch\saddress/x ],
	);

	for my $bind (sort keys %cases) {
		my ($status, $why) = @{ $cases{$bind} };
		my $server = Prefork->spawn('-w', 4, '-b', $bind);
		is($server->wait_exit, $status, "$bind: exit $status");
		my @lines = split /\n/, $server->log_text;
		is(scalar(grep { /$why/ } @lines), 1, 'the cause, once')
		    or diag($server->log_text);
		is(count($server->log_text, qr/started\sworker/x),
			1, 'one worker has tried, for all');
		is(scalar $server->workers_alive, 0, 'none is left');
	}
	return;
}

# As a bad library or the kernel's memory killer would.
sub killed_while_booting {
	my @strace = (qw(/usr/bin/env strace -f -qq -o /dev/null -e trace=listen));
	my ($code) = run_cmd(@strace, 'true');

	SKIP: {
		skip 'strace does not work here', 3 if $code != 0;
		my $server = Prefork->spawn(
			{
				wrapper =>
				    [ @strace, qw(-e inject=listen:signal=SIGKILL) ],
				env => { ASAN_OPTIONS => 'detect_leaks=0' },
			},
			# The master listens on that socket alone.
			'-w', 2, '-p', 0, '-4', '--control', 'off'
		);
		is($server->wait_exit, 70, 'killed while booting: exit 70');
		is(count($server->log_text, qr/SIGKILL/x), 1, 'the cause, once')
		    or diag($server->log_text);
		is(scalar $server->workers_alive, 0, 'none is left');
	}
	return;
}

#!/usr/bin/perl

# prefork-ctl connections: the peers, since when they are connected, with how
# many bytes; also after a reload and a worker's death, and while a worker
# stands still.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Prefork;
use Prefork::Control;
use Prefork::Life;
use Prefork::Tools qw(fds);
use Test::More;

use constant MANY => 200;

shows();
goes_on();
stands_still();
at_once();
done_testing();

sub ask_ctl {
	my ($server, @options) = @_;

	return ctl('-s', control_socket($server), 'connections', @options);
}

# The rows of --json.
sub rows {
	my ($server, @options) = @_;
	my ($code, $output) = ask_ctl($server, '--json', @options);

	return $code == 0 ? @{ JSON::PP::decode_json($output)->{connections} } : ();
}

sub shows {
	my $server = Prefork->start(qw(-w 2 -p 0 -4));

	is_deeply([ rows($server) ], [], 'no row without a client');
	is((ask_ctl($server))[0], 0, 'no row: exit status 0');
	my $one = $server->tcp_socket;
	my $two = $server->tcp_socket;
	is(echo_once($one, 'x' x 1000), 'x' x 1000, 'one client');
	is(echo_once($two, 'hello'), 'hello', 'another');
	# The last acknowledgement may come late.
	ok(wait_for(sub { 1000 == ((rows($server))[0] // {})->{sent_bytes} }), 'the client with most bytes is in the first row');
	my @rows = rows($server);
	is("$rows[0]{peer} $rows[1]{peer}",
		join(q{ }, map { '127.0.0.1:' . $_->sockport } $one, $two), 'a row has the address and port of its client');
	is("$rows[0]{received_bytes} $rows[1]{received_bytes}", '1000 5', 'a row has the bytes received from its client');
	like((ask_ctl($server))[1],
		qr/\APEER\s.*\n127[.]0[.]0[.]1:\d+\s+[01]\s+[\d.]+s\s+[\d.]+s\s+1000\s+1000\n/x, 'as text');
	is_deeply([ map { "$_->{source} $_->{connections} $_->{received_bytes}" }
			rows($server, qw(--by source)) ], ['127.0.0.1 2 1005'], '--by source');
	my $sum = 0;
	$sum += $_->{connections} for rows($server, qw(--by slot));
	is($sum, 2, '--by slot');
	is_deeply([ map { $_->{peer} } rows($server, qw(--top 1)) ], [ $rows[0]{peer} ], '--top');
	close $one;
	ok(wait_for(sub { 1 == rows($server) }), 'a connection that has ended has no row');
	is($server->stop, 0, 'exit status');
	return;
}

# Time and bytes go on through a hand-over and a death.
sub goes_on {
	my $server = Prefork->start(qw(-w 1 -p 0 -4));
	my $socket = $server->tcp_socket;

	is(echo_once($socket, 'hello'), 'hello', 'a client');
	ok(wait_for(sub { ((rows($server))[0] // {})->{since_seconds} > 1 }), 'a second later');
	is((ctl('-s', control_socket($server), 'reload'))[0], 0, 'a reload');
	wait_for(sub { !@{ status($server)->{leaving} } });
	my ($row) = rows($server);
	cmp_ok($row->{since_seconds}, '>', 1, 'a row has the time since the connect after a reload');
	is($row->{received_bytes}, 5, 'a row has the bytes received before a reload');
	my ($worker) = current_workers($server);
	kill 'KILL', $worker;
	ok(wait_for(sub { @{ status($server)->{deaths} } && rows($server) }), 'a death');
	($row) = rows($server);
	cmp_ok($row->{since_seconds}, '>', 1, 'a row has the time since the connect after a death');
	is($row->{received_bytes}, 5, 'a row has the bytes received before a death');
	cmp_ok($row->{idle_seconds}, '>', 1, 'a death of the worker does not end the idle time');
	is($server->stop, 0, 'exit status');
	return;
}

sub stands_still {
	my $server = Prefork->start(qw(-w 2 -p 0 -4 --worker-timeout 0));
	my @sockets = map { $server->tcp_socket } 1 .. 20;
	is(echo_once($_, 'x'), 'x', 'a client') for @sockets;
	my %workers = $server->workers;
	my ($there) = map { $_->{connections} } grep { $_->{slot} == 1 } rows($server, qw(--by slot));

	kill 'STOP', $workers{0};
	my ($code, $output, $errors) = ask_ctl($server, qw(--by slot));
	is($code, 1, 'a worker that stands still: exit 1');
	is($errors, "prefork-ctl: worker 0 ($workers{0}) does not answer\n", 'standard error names the worker that does not answer');
	like($output, qr/^1\s+$there\s/mx, 'the table has the rows of the workers that answer') if $there;
	is(JSON::PP::decode_json((ask_ctl($server, '--json'))[1])->{complete}, JSON::PP::false,
		'the JSON is not complete');
	# It dies in the middle of the next one.
	my $socket = connect_control($server);
	syswrite $socket, "1 connections\n";
	kill 'KILL', $workers{0};
	like(read_until_eof($socket), qr/\AOK\n.*^!\sworker\s0\s/msx, 'the answer names a worker that dies before it answers');
	ok(wait_for(sub { @sockets == rows($server) }, 20), 'its successor lists them all');
	is($server->stop, 0, 'exit status');
	return;
}

# Many ask at once, and some leave: each gets a whole answer.
sub at_once {
	my $server = Prefork->start(qw(-w 2 -p 0 -4));
	my $client = $server->tcp_socket;
	is(echo_once($client, 'x'), 'x', 'a client');
	my %before = fds($server->pid);

	for (1 .. MANY) {
		my $socket = connect_control($server);
		syswrite $socket, "1 connections\n";
	}
	my @askers = map { connect_control($server) } 1 .. 20;
	syswrite $_, "1 connections\n" for @askers;
	# A worker that gets no processor for a second is named instead.
	my $row = qr/[01]\s127[.]0[.]0[.]1:\d+\s[\d.]+\s[\d.]+\s1\s\d\n/x;
	my $late = qr/!\sworker\s[01]\s[(]\d+[)]\sdoes\snot\sanswer\n/x;
	my @bad = grep { !/\AOK\n(?:$row|$late){1,2}\z/ }
	    map { scalar read_until_eof($_) } @askers;
	is_deeply(\@bad, [], 'many at once');
	undef @askers;
	ok(wait_for(sub { my %now = fds($server->pid); keys %now == keys %before }),
		'as many descriptors as before');
	is(echo_once($client, 'y'), 'y', 'it serves');
	is($server->stop, 0, 'exit status');
	return;
}

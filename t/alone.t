#!/usr/bin/perl

# A worker stands still, clients wait for it, and no sibling can serve them: it
# gets a successor long before it is known to hang, and its connections live on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Test::More;

my $replaced = qr/has\sstood\sstill\sfor\s\d+\sms,\sclients\swait,.*;\sstarting\sits\ssuccessor$/mx;

subtest 'the only worker, for a while' => sub {
	my ($server, $old, $pid) = with_client(1, 8);

	kill 'STOP', $pid;
	is(echo_once($server->tcp_socket, 'new'), 'new', 'a new client is served');
	is(echo_once($server->udp_socket, 'new'), 'new', 'a datagram is answered while the only worker is stopped');
	ok($server->wait_log(qr/worker\s0\s\($pid\)\s$replaced/x), 'the log says that a successor replaces the stopped worker');
	kill 'CONT', $pid;
	is(echo_once($old, 'old'), 'old', 'a connection goes on');
	ok($server->wait_log(qr/worker\s0\s\($pid\)\shas\sended/x), 'the stopped worker ends after it handed its connection over');
	is($server->stop, 0, 'exit status');
};

subtest 'the only worker, for ever' => sub {
	my ($server, $old, $pid) = with_client(1, 2);

	kill 'STOP', $pid;
	is(echo_once($server->tcp_socket, 'new'), 'new', 'a new client is served');
	ok($server->wait_log(qr/worker\s0\s\($pid\)\s$replaced/x), 'by a successor');
	is(echo_once($old, 'old'), 'old', 'a connection goes on');
	ok($server->wait_log(qr/worker\s0\s\($pid\)\shangs:/x), 'once its worker is aborted');
	is(echo_once($server->tcp_socket, 'x'), 'x', 'all is well');
	is($server->stop, 0, 'exit status');
};

subtest 'the worker that helps stands still, too' => sub {
	my ($server, $old) = with_client(2, 8);
	my %worker = $server->workers;

	kill 'STOP', values %worker;
	my @new = map { $server->tcp_socket } 1 .. 40;
	is(scalar(grep { (echo_once($_, 'new') // q{}) eq 'new' } @new), 40, 'new clients are served');
	ok($server->wait_log($replaced), 'by a successor');
	kill 'CONT', values %worker;
	is(echo_once($old, 'old'), 'old', 'a connection goes on');
	is($server->stop, 0, 'exit status');
};

subtest 'without a limit' => sub {
	my ($server, $old, $pid) = with_client(1, 0);

	kill 'STOP', $pid;
	my $new = $server->tcp_socket;
	# A quarter of no limit is none, and not 0.
	ok(!$server->wait_log($replaced, 2), 'without a worker timeout no successor replaces a stopped worker');
	kill 'CONT', $pid;
	is(echo_once($_, 'x'), 'x', 'a client is served after the worker was continued') for $new, $old;
	is($server->stop, 0, 'exit status');
};
done_testing();

# A server, a connection, and the pid of its first worker.
sub with_client {
	my ($workers, $limit) = @_;
	my $server = Prefork->start('-w', $workers, '-p', 0, '-4', '--worker-timeout', $limit);
	my $old    = $server->tcp_socket;

	is(echo_once($old, 'first'), 'first', 'a connection');
	return ($server, $old, { $server->workers }->{0});
}

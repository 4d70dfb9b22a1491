#!/usr/bin/perl

# Out of descriptors: a master that has too few says so, and leaves nobody
# behind; a worker that cannot take the one in a message obeys
# all the same, and does not think that the master has died.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Life;
use Prefork::Sockets qw(asan_env have);
use Test::More;

plan skip_all => 'prlimit is not installed' if !have('prlimit');

master($_) for 6 .. 16;
worker();
done_testing();

sub master {
	my ($limit) = @_;
	my $server = Prefork->spawn(
		{
			wrapper => [ '/usr/bin/env', 'prlimit', "--nofile=$limit:$limit" ],
			env     => asan_env('detect_leaks=0'),
		},
		'-w', 2, '-b', '127.0.0.1:0'
	);

	$server->wait_log(qr/\](?:\sready:|\scannot\sstart)|:\s(?:Too\smany|no\sdescriptor)/x);
	my $log = $server->log_text;
	if ($log =~ /\]\sready:/) {
		is(echo_once($server->tcp_socket, 'x'), 'x', "$limit descriptors will do");
		is($server->stop, 0, 'exit status');
		return;
	}
	is($server->wait_exit, 71, "$limit descriptors are too few: exit 71");
	$log = $server->log_text;
	is(count($log, qr/Too\smany\sopen\sfiles|no\sdescriptor\sis\sfree/x), 1, 'one line says that descriptors have run out')
	    or diag($log);
	unlike($log, qr/garbage|sent|died/, 'no line calls a process faulty');
	is(scalar $server->workers_alive, 0, 'no worker is left');
	return;
}

sub worker {
	my $server = Prefork->start('-v', '-w', 1, '-p', 0, '-4');
	my ($socket, $pid) = connect_to($server, 0);
	my %fds = fds($pid);
	# Its lowest free number is not to be had.
	my ($free) = grep { !$fds{$_} } 0 .. 1 + keys %fds;
	my ($code) = run_cmd('/usr/bin/env', 'prlimit', "--nofile=$free:", '--pid', $pid);
	is($code, 0, 'a worker runs out of descriptors');
	my $from = $server->log_size;

	$server->signal('HUP');
	ok($server->wait_log(qr/\]\sreloaded:/x, undef, $from), 'reloaded');
	ok($server->wait_log(qr/worker\s0\s\($pid\)\shas\sended/x, undef, $from),
		'it leaves, because its listeners make room');
	is(echo_once($socket, 'x'), 'x', 'the connection goes on at the successor');
	close $socket;
	unlike($server->log_text, qr/master\shas\sdied|garbage/x,
		'the master lives, and talks sense');
	is($server->stop, 0, 'exit status');
	return;
}

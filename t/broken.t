#!/usr/bin/perl

# A listener that somebody shuts down, by ss -K or by shutdown(2) on a duplicate,
# is broken for good in every process that has it. It is opened anew: new
# clients are served again, and connections go on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Sockets qw(have sockets_of);
use Prefork::Tools   qw(is_root);
use Test::More;

use constant CLIENTS   => 30;
use constant CONNECTED => 5;

subtest 'TCP, both workers' => sub {
	my $server = Prefork->start('-w', 2, '-p', 0, '-b', '127.0.0.1');
	mends($server, 'tcp', 0, 1);
	mends($server, 'tcp', 1);
	my $from = $server->log_size;
	$server->signal('HUP');
	ok($server->wait_log(qr/reloaded/, 20, $from), 'a reload afterwards');
	serves($server, 'tcp', 'by its new listener');
	is($server->stop, 0, 'it stops');
};

subtest 'UDP, both workers' => sub {
	my $server = Prefork->start('-w', 2, '-p', 0, '-b', '127.0.0.1');
	mends($server, 'udp', 0, 1);
	is($server->stop, 0, 'it stops');
};

subtest 'the only worker' => sub {
	my $server = Prefork->start('-w', 1, '-p', 0, '-b', '127.0.0.1');
	mends($server, 'tcp', 0);
	mends($server, 'udp', 0);
	is($server->stop, 0, 'it stops');
};

subtest 'a worker that is killed with it' => sub {
	my $server = Prefork->start('-w', 2, '-p', 0, '-b', '127.0.0.1');
	my $client = $server->tcp_socket;
	my $from   = $server->log_size;
	is(echo_once($client, 'x'), 'x', 'connected');
	my %worker = $server->workers;
	kill 'STOP', $worker{1};
	shut_down($server, 'tcp', 1);
	kill 'KILL', $worker{1};
	opened_anew($server, $from, 1);
	serves($server, 'tcp', 'by its successor');
	is(echo_once($client, 'y'), 'y', 'the connection goes on');
	is($server->stop, 0, 'it stops');
};

subtest 'a worker that is not wanted' => sub {
	my $server = Prefork->start('-w', 2, '-p', 0, '-b', '127.0.0.1');
	my $from   = $server->log_size;
	$server->signal('TTOU');
	ok($server->wait_log(qr/serves for slot 1/, 20, $from), 'adopted');
	shut_down_in($server->pid, 'tcp');
	ok($server->wait_log(qr/closed the listeners of removed slots/, 20, $from), 'closed');
	opened_anew($server, $from, 0);
	serves($server, 'tcp', 'by the one that stays');
	is($server->stop, 0, 'it stops');
};

subtest 'ss -K' => sub {
	plan(skip_all => 'ss -K needs root') if !is_root();
	plan(skip_all => 'ss is not installed') if !have('ss');
	my $server = Prefork->start('-w', 2, '-p', 0, '-b', '127.0.0.1');
	my $from   = $server->log_size;
	my $port   = $server->port;
	my $client = $server->tcp_socket;
	is(echo_once($client, 'x'), 'x', 'connected');
	my ($code, $out) = run_cmd('ss', '-HKltn', "sport = :$port");
	SKIP: {
		# Of a group it may end one socket only.
		skip 'the kernel ends no sockets by ss -K', 4 if $code != 0 || $out !~ /\S/;
		ok($server->wait_log(qr/was shut down from outside/, 20, $from), 'noticed');
		ok($server->wait_log(qr/worker \d [(]\d+[)] has ended/, 20, $from), 'replaced');
		serves($server, 'tcp', 'afterwards');
		is(echo_once($client, 'y'), 'y', 'the connection goes on');
	}
	is($server->stop, 0, 'it stops');
};

done_testing();

# The slots' listeners are shut down, and come back.
sub mends {
	my ($server, $protocol, @slots) = @_;
	my @clients = map { $server->tcp_socket } 1 .. CONNECTED;
	my $from    = $server->log_size;

	is(scalar(grep { echo_once($_, 'x') eq 'x' } @clients), CONNECTED, 'connected');
	shut_down($server, $protocol, $_) for @slots;
	opened_anew($server, $from, @slots);
	serves($server, $protocol, 'by new listeners');
	is(scalar(grep { (echo_once($_, 'y') // q{}) eq 'y' } @clients),
		CONNECTED, 'all connections go on');
	return;
}

sub opened_anew {
	my ($server, $from, @slots) = @_;

	for my $slot (@slots) {
		ok(
			$server->wait_log(
				qr/worker $slot .* was shut down from outside.*worker-$slot .* serving on/s,
				20, $from
			),
			"slot $slot opens it anew"
		);
		# It may be stopped, and killed after the master has noticed.
		ok($server->wait_log(qr/worker $slot [(]\d+[)] (?:has ended|killed by signal 9)/, 20, $from),
			"slot $slot: its old worker ends");
	}
	return;
}

sub serves {
	my ($server, $protocol, $when) = @_;
	my @open = map { $protocol eq 'tcp' ? $server->tcp_socket : $server->udp_socket } 1 .. CLIENTS;
	my @bad  = grep { (echo_once($open[$_], "n$_") // q{}) ne "n$_" } 0 .. $#open;

	return is_deeply(\@bad, [], "everybody is served $when");
}

sub shut_down {
	my ($server, $protocol, $slot) = @_;
	my %worker = $server->workers;

	return shut_down_in($worker{$slot}, $protocol);
}

# Shuts down all listeners of the process, by duplicates of them.
sub shut_down_in {
	my ($pid, $protocol) = @_;
	my $state   = $protocol eq 'tcp' ? 'listening' : 'open';
	my @sockets = grep { $_->{kind} eq $protocol && $_->{state} eq $state } sockets_of($pid);

	ok(scalar @sockets, 'listeners to shut down');
	for my $socket (@sockets) {
		# A UDP socket is shut down, but it says ENOTCONN.
		die "shutdown: $!\n" if !shutdown($socket->{handle}, 2) && !$!{ENOTCONN};
	}
	return;
}

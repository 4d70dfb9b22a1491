#!/usr/bin/perl

# prefork-ctl kill ADDR:PORT: ends the connection of one peer while others are
# served, also after a reload and while a worker stands still.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Check;
use Prefork::Control;
use Prefork::Life;
use Test::More;

ends_one();
under_load();
is_refused();
stands_still();
done_testing();

sub order {
	my ($server, @words) = @_;

	return ctl('-s', control_socket($server), 'kill', @words);
}

sub name_of {
	my ($socket) = @_;

	return $socket->sockhost =~ /:/ ? '[' . $socket->sockhost . ']:' . $socket->sockport
	    : $socket->sockhost . q{:} . $socket->sockport;
}

sub closed_by_drain {
	my ($server) = @_;

	my $sum = 0;
	$sum += $_ for (ctl('-s', control_socket($server), 'metrics'))[1] =~
	    /^prefork_connections_closed_total[{][^}]*cause="drain"[^}]*[}]\s(\d+)/gmx;
	return $sum;
}

sub is_killed {
	my ($server, $socket, $note) = @_;
	my $name = name_of($socket);

	my ($code, $output, $errors) = order($server, $name);
	is("$code $errors", '0 ', $note);
	like($output, qr/\Aclosed\s1\sconnection\sof\s\Q$name\E,\sin\sslot\s[01]\n\z/x, 'the answer names the peer and the slot');
	is(sysread($socket, my $buffer, 1), undef, 'the peer gets a reset');
	return;
}

sub ends_one {
	my $server = Prefork->start(qw(-w 2 -p 0));
	my @sockets = map { $server->tcp_socket } 1 .. 8;

	is(echo_once($_, 'x'), 'x', 'a client') for @sockets;
	my $before = closed_by_drain($server);
	is_killed($server, $sockets[3], 'one is ended');
	is(closed_by_drain($server), $before + 1, 'the ended connection is counted as closed by the drain');
	like((ctl('-s', control_socket($server), 'dump'))[1], qr/\sclosed\sdescriptor\s\d+:\s.*prefork-ctl\skill/x,
		'the recorder does not blame the drain alone');
	is(echo_once($sockets[$_], 'y'), 'y', 'the others go on') for grep { $_ != 3 } 0 .. 7;
	my ($code, $output, $errors) = order($server, name_of($sockets[4]) =~ s/\d+\z/1/r);
	is("$code $output", '1 ', 'a peer without a connection: exit status 1');
	like($errors, qr/\Aprefork-ctl:\sno\sworker\shas\sa\sconnection\sof\s127/x, 'the error names the peer without a connection');
	is((ctl('-s', control_socket($server), 'reload'))[0], 0, 'a reload');
	wait_for(sub { !@{ status($server)->{leaving} } });
	is_killed($server, $sockets[5], 'a connection is ended after a reload');
	is(echo_once($sockets[6], 'z'), 'z', 'the others go on');
	is($server->stop, 0, 'exit status');
	return;
}

# A peer whose echo is under way, and hundreds of others, none of which notices.
sub under_load {
	my $server = Prefork->start(qw(-w 2 -p 0));
	my $check  = Prefork::Check::start(qw(--duration 3 --connections 20), '-p', $server->port, '127.0.0.1');
	my $victim = $server->tcp_socket;

	$victim->blocking(0);
	ok(wait_for(sub { !defined syswrite $victim, 'x' x 65_536 }), 'a peer that does not read fills its connection');
	$victim->blocking(1);
	my ($code, $output, $errors) = order($server, name_of($victim));
	is("$code $errors", '0 ', 'the connection of a peer that does not read is ended');
	my ($text, $n);
	while ($n = sysread $victim, $text, 65_536) { }
	is($n, undef, 'by a reset');
	my ($status, $result) = Prefork::Check::finish($check);
	is($status, 0, 'the others have lost nothing') or diag(explain($result));
	is($server->stop, 0, 'exit status');
	return;
}

sub is_refused {
	my $server = Prefork->start(qw(-w 1 -p 0));

	for my $bad ('127.0.0.1', ':80', '127.0.0.1:0', '127.0.0.1:99999', 'localhost:80', '[::1:80', '::1', 'x' x 60) {
		my ($code, $output, $errors) = order($server, $bad);
		is("$code $output", '64 ', "'$bad' is refused");
		like($errors, qr/kill\stakes\sADDR:PORT/x, 'with the form');
	}
	is((order($server))[0], 64, 'no address is refused');
	is((order($server, '127.0.0.1:80', '127.0.0.1:81'))[0], 64, 'two addresses are refused');
	is($server->stop, 0, 'exit status');
	return;
}

sub stands_still {
	my $server = Prefork->start(qw(-w 1 -p 0 --worker-timeout 0));
	my $socket = $server->tcp_socket;
	is(echo_once($socket, 'x'), 'x', 'a client');
	my ($pid) = { $server->workers }->{0};

	kill 'STOP', $pid;
	my ($code, $output, $errors) = order($server, name_of($socket));
	is("$code $output", '1 ', 'a worker that stands still: exit 1');
	like($errors, qr/\Aprefork-ctl:\sno\sanswer\syet\sof\sworker\s0\s[(]$pid[)]/x, 'the error names the worker that stands still');
	kill 'CONT', $pid;
	is(sysread($socket, my $buffer, 1), undef, 'the worker carries the order out after it was continued');
	# One that dies in the middle of an order.
	$socket = $server->tcp_socket;
	is(echo_once($socket, 'x'), 'x', 'another client');
	kill 'STOP', $pid;
	my $asker = connect_control($server);
	syswrite $asker, '1 kill ' . name_of($socket) . "\n";
	kill 'KILL', $pid;
	like(read_until_eof($asker), qr/\A(?:OK\nclosed\s1|ERR\s75\sworker\s0\s.*\stry\sagain)/x, 'the answer reports the connection closed, or the worker dead');
	is($server->stop, 0, 'exit status');
	return;
}

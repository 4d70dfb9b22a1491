#!/usr/bin/perl

# Datagrams that are dropped: the log tells how many, why, and the remedy, not
# once for each of them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use List::Util qw(sum0);
use Prefork;
use Prefork::Sockets;
use Socket qw(AF_INET IPPROTO_RAW SOCK_RAW inet_aton pack_sockaddr_in);
use Test::More;

use constant {
	BURST  => 300,
	SIZE   => 900,
	# The address of a link on which no neighbour answers, and the common
	# prefix of its sources; and a source that no route leads to.
	HERE   => '10.77.0.1',
	SILENT => '10.77.9',
	NOWHERE => '192.0.2.1',
};

if (@ARGV) {
	forge(@ARGV);
	exit 0;
}

subtest 'the receive buffer is full' => sub {
	my $server = Prefork->start(qw(-w 1 -p 0 -b 127.0.0.1 --receive-buffer 8k));
	my $client = $server->udp_socket;
	my $lost   = overrun($server, $client);
	my $told   = qr/\sudp\s127[.]0[.]0[.]1:\d+:\sdropped\s(\d+)\sdatagrams\sbefore\sbeing\sread,
	    .*receive\sbuffer\s\(8192\sbytes\).*net[.]core[.]rmem_max/x;

	cmp_ok($lost, '>', 0, "$lost of a burst are lost");
	ok($server->wait_log($told), 'the log has the loss, the buffer and the sysctl');
	$lost += overrun($server, $client) for 1 .. 2;
	# The first report comes after a second, the next one after a minute.
	my $from = $server->log_size;
	ok(!$server->wait_log($told, 2.5, $from), 'it tells of others not as soon again');
	my @before = $server->log_text =~ /$told/g;
	is($server->stop, 0, 'exit status');
	my @all = $server->log_text =~ /$told/g;
	is(scalar @before, 1, 'once');
	is(scalar @all, 2, 'the others at the end');
	is(sum0(@all), $lost, 'all are counted');
};

subtest 'the next worker counts from there on' => sub {
	my $server = Prefork->start(qw(-w 1 -p 0 -b 127.0.0.1 --receive-buffer 8k));
	my $client = $server->udp_socket;
	my $from;

	overrun($server, $client);
	ok($server->wait_log(qr/dropped\s\d+\sdatagrams/x), 'the first');
	$from = $server->log_size;
	$server->signal('HUP');
	ok($server->wait_log(qr/\]\sreloaded:/x, undef, $from), 'reloaded');
	is(echo_once($client, 'abc'), 'abc', 'the successor answers');
	is($server->stop, 0, 'exit status');
	unlike(substr($server->log_text, $from), qr/dropped\s\d/, 'no line after the reload reports drops');
};

subtest 'answers that cannot be sent' => sub {
	my @own = ('unshare', '-n', 'sh', '-c',
		'ip link set lo up && ip link add v0 type veth peer name v1 && ip link set v0 up &&'
		    . ' ip link set v1 up && ip addr add ' . HERE . '/16 dev v0 && exec "$@"', 'sh');
	my ($code, undef, $errors) = run_cmd('/usr/bin/env', @own, 'true');

	plan skip_all => "no network of our own: $errors" if $code;
	my $server = Prefork->start({ wrapper => [ '/usr/bin/env', @own ] },
		qw(-w 1 -p 0 --send-buffer 8k -b), HERE);
	my @forge = ('/usr/bin/env', 'nsenter', '-n', '-t', $server->pid, $^X, $0, $server->port);

	($code, undef, $errors) = run_cmd(@forge, NOWHERE, 3);
	is($code, 0, 'sent from where no route leads to') or diag($errors);
	ok($server->wait_log(qr/\sudp\s\S+:\scould\snot\ssend\s3\sdatagrams,\sthe\slast\sto\s192[.]0[.]2[.]1:\d+:
	    \sNetwork\sis\sunreachable;/x), 'the log has the number of unsent datagrams, and the cause');
	run_cmd(@forge, map { (SILENT . ".$_", 10) } 1 .. 20);
	is($server->stop, 0, 'exit status');
	like($server->log_text, qr/\sudp\s\S+:\sdropped\s\d+\sdatagrams\sto\sbe\ssent,
	    .*send\sbuffer\s\(8192\sbytes\).*net[.]core[.]wmem_max/x,
		'neighbours that do not answer fill the send buffer');
};
done_testing();

# A burst that finds the worker stopped, and a datagram after it, by which the
# worker notices the drops. How many got no answer.
sub overrun {
	my ($server, $client) = @_;
	my %worker   = $server->workers;
	my $answered = 0;

	kill 'STOP', $worker{0};
	send $client, sprintf('%*d', SIZE, $_), 0 for 1 .. BURST;
	kill 'CONT', $worker{0};
	# With the first answer the queue has been read.
	while (IO::Select->new($client)->can_read(20)) {
		recv $client, my $data, 65_535, 0;
		last if $data eq 'the last';
		send $client, 'the last', 0 if !$answered++;
	}
	return BURST - $answered;
}

# Sends datagrams to the server from sources that are not ours: each source and
# how many.
sub forge {
	my ($port, %from) = @_;

	socket my $raw, AF_INET, SOCK_RAW, IPPROTO_RAW or die "socket: $!\n";
	for my $source (sort keys %from) {
		my $udp = pack 'nnnna*', 40_000, $port, 8 + SIZE, 0, 'f' x SIZE;
		my $ip  = pack 'CCnnnCCna4a4', 0x45, 0, 20 + length $udp, 0, 0, 64, 17, 0,
		    inet_aton($source), inet_aton(HERE);
		for (1 .. $from{$source}) {
			send $raw, $ip . $udp, 0, pack_sockaddr_in(0, inet_aton(HERE))
			    or die "send: $!\n";
		}
	}
	return;
}

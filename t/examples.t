#!/usr/bin/perl

# The servers in contrib/examples: they answer, bad input too, they make a
# client that does not read wait, and they are reloaded and stopped as any
# server of the library.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Errno qw(EAGAIN);
use IO::Select;
use List::Util qw(sum0);
use Prefork;
use Prefork::Sockets;
use Socket qw(MSG_DONTWAIT MSG_NOSIGNAL SHUT_WR SOL_SOCKET SO_RCVBUF SO_SNDBUF);
use Test::More;

# Each is a tutorial; some are whole servers.
use constant MAX_LINES => 150;
use constant SERVER    => 400;
use constant MIB       => 1_048_576;
# RFC 868: from 1900 to 1970.
use constant EPOCH => 2_208_988_800;

chdir $Prefork::ROOT or die "chdir: $!\n";

for my $path (glob 'contrib/examples/*.[ch]') {
	open my $file, '<', $path or die "$path: $!\n";
	my @lines = <$file>;
	cmp_ok(scalar @lines, '<=', $path =~ /cache|dns|proxy/ ? SERVER : MAX_LINES, "$path is short");
}
cmp_ok(code_lines('contrib/examples/chat.c'), '<=', code_lines('contrib/bench/peers/chat_libevent.c'),
	'chat is no longer than on libevent');
subtest 'kv'           => \&kv;
subtest 'kv, flooded'  => \&kv_flooded;
subtest 'kv, full'     => \&kv_full;
subtest 'kv, reloaded' => \&kv_reloaded;
subtest 'discard'      => \&discard;
subtest 'daytime'      => \&daytime;
subtest 'udptime'      => \&udptime;
done_testing();

# Without comments and empty lines.
sub code_lines {
	my ($path) = @_;

	open my $file, '<', $path or die "$path: $!\n";
	my $text = join q{}, <$file>;
	$text =~ s{/[*].*?[*]/}{}gsx;
	return scalar grep { /\S/ } split /\n/, $text;
}

sub example {
	my ($name, @arguments) = @_;

	return Prefork->start({ program => "$Prefork::O/examples/$name" }, @arguments);
}

sub reload {
	my ($server) = @_;
	my $from = $server->log_size;

	$server->signal('HUP');
	ok($server->wait_log(qr/\]\sreloaded:/, undef, $from), 'it is reloaded');
	return;
}

# Stops it, unless that has begun, and looks whether the log is all right.
sub ends {
	my ($server, $stopping) = @_;

	is($stopping ? $server->wait_exit : $server->stop, 0, 'it stops');
	unlike($server->log_text, qr/cannot|could\snot|killed|aborted|exit(?:ed)?\s(?:status|code)/,
		'nothing went wrong');
	return;
}

# Sends text and our end; returns the answer until the server's end.
sub talk {
	my ($server, $text) = @_;
	my $socket = $server->tcp_socket;

	print {$socket} $text;
	$socket->flush;
	shutdown $socket, SHUT_WR;
	return join q{|}, read_until_eof($socket);
}

sub kv {
	my $server = example('kv', '-p', 0, '-4');
	my $long = 'x' x 300;
	my $max  = 'x' x 249;
	my @talks = (
		[ 'set, get'   => "SET a 1\nGET a\n", "a=1\na=1\n" ],
		[ 'blanks'     => "SET a b c =d\n", "a=b c =d\n" ],
		[ 'another'    => "SET a 2\nSET b 3\nGET a\nGET b\n", "a=2\nb=3\na=2\nb=3\n" ],
		[ 'delete'     => "DEL a\nGET a\nDEL a\nGET b\n", "NONE\nNONE\nNONE\nb=3\n" ],
		[ 'not there'  => "GET c\n", "NONE\n" ],
		[ 'bad lines'  => "\nGET\nGET \nSET a\nFOO a\nSET a=b c\nGET b\n", ("ERROR\n" x 6) . "b=3\n" ],
		[ 'garbage'    => join(q{}, map { chr } 11 .. 255) . "\n\0\0 \0\n", "ERROR\nERROR\n" ],
		[ 'no newline' => "GET b\nGET b", "b=3\n" ],
		[ 'nothing'    => q{}, q{} ],
		[ 'as long as may be' => "SET l $max\nGET l\n", "l=$max\nl=$max\n" ],
		[ 'longer'     => "GET b\nSET l x$max\nGET b\n", "b=3\nTOO LONG\n" ],
		[ 'far longer' => $long x 1000, "TOO LONG\n" ],
	);

	is(talk($server, $_->[1]), "$_->[2]|eof", $_->[0]) for @talks;
	my @sockets = map { $server->tcp_socket } 1 .. 10;
	print { $sockets[$_] } "SET k$_ $_\n" for 0 .. 9;
	$_->flush for @sockets;
	is(join(q{}, map { scalar readline $_ } @sockets),
		join(q{}, map { "k$_=$_\n" } 0 .. 9), 'ten at a time');
	$_->close for @sockets;
	reset_connection($server->tcp_socket) for 1 .. 3;
	is(talk($server, "GET k9\n"), "k9=9\n|eof", 'after resets');
	my $idle = $server->tcp_socket;
	$server->signal('TERM');
	is(join(q{|}, read_until_eof($idle)), '|eof', 'an idle client gets the end');
	$idle->close;
	ends($server, 1);
	return;
}

# A client that does not read the answers has to wait, at little cost.
sub kv_flooded {
	my $server = example('kv', '-p', 0, '-4');
	my %worker = $server->workers;
	my $socket = $server->tcp_socket;
	my $value  = 'x' x 200;
	my $text   = "GET a\n" x 1000;
	my $sent   = 0;

	setsockopt $socket, SOL_SOCKET, $_, 65_536 for SO_RCVBUF, SO_SNDBUF;
	is(talk($server, "SET a $value\n"), "a=$value\n|eof", 'set');
	while ($sent < 16 * MIB && IO::Select->new($socket)->can_write(1)) {
		my $at = $sent % length $text;
		my $n = send $socket, substr($text, $at), MSG_DONTWAIT | MSG_NOSIGNAL;
		die "send: $!\n" if !defined $n && $! != EAGAIN;
		$sent += $n // 0;
	}
	cmp_ok($sent, '<', 16 * MIB, "after $sent bytes it takes no more");
	is(talk($server, "GET b\n"), "NONE\n|eof", 'others are served');
	shutdown $socket, SHUT_WR;
	my ($got, $end) = read_until_eof($socket, 60);
	ok($got eq "a=$value\n" x int($sent / 6), 'all answers come');
	is($end, 'eof', 'the connection ends after all answers');
	SKIP: {
		skip 'with ASan memory is another', 1 if $Prefork::O =~ /-asan$/;
		cmp_ok(peak_memory($worker{0}), '<', 16 * MIB, 'little memory is used');
	}
	ends($server);
	return;
}

sub peak_memory {
	my ($pid) = @_;

	open my $file, '<', "/proc/$pid/status" or return;
	my ($kib) = map { /^VmHWM:\s+(\d+)/ } <$file>;
	return 1024 * $kib;
}

# Its memory has a bound.
sub kv_full {
	my $server = example('kv', '-p', 0, '-4');
	my $value  = 'x' x 240;
	my @answers = split /\n/, talk($server, join q{}, map { "SET k$_ $value\n" } 1 .. 6000);

	is($answers[0], "k1=$value", 'the first fits in');
	is($answers[5999], 'ERROR', 'the last does not');
	my ($full) = grep { $answers[$_ - 1] eq 'ERROR' } 1 .. 6000;
	cmp_ok($full, '>', 3000, "number $full is the first that does not");
	is(talk($server, "DEL k1\nDEL k2\nSET k$full 1\n"), "NONE\nNONE\nk$full=1\n|eof", 'an item fits in after others were deleted');
	ends($server);
	return;
}

sub kv_reloaded {
	my $server = example('kv', '-p', 0, '-4');
	my $socket = $server->tcp_socket;

	print {$socket} "SET a 1\n";
	$socket->flush;
	is(scalar readline $socket, "a=1\n", 'before');
	reload($server);
	print {$socket} "GET a\n";
	$socket->flush;
	is(scalar readline $socket, "a=1\n", 'a connected client notices nothing');
	is(talk($server, "GET a\nSET a 2\n"), "NONE\na=2\n|eof", 'a new client begins with nothing');
	$socket->close;
	reload($server);
	ends($server);
	return;
}

sub discard {
	my $address = own_address();
	my $server = example('discard', '-b', "$address:5009", '-b', "$address:5013,daytime");

	for my $i (1 .. 3) {
		my $socket = tcp($address, 5009);
		my $data   = random_bytes(MIB);
		print {$socket} $data;
		$socket->flush;
		reload($server) if $i == 2;
		print {$socket} $data;
		$socket->flush;
		shutdown $socket, SHUT_WR;
		is_deeply([ read_until_eof($socket) ], [ q{}, 'eof' ], 'TCP: nothing comes back');
	}
	reset_connection(tcp($address, 5009));
	my ($silent, $asking) = (udp($address, 5009), udp($address, 5013));
	for my $data (q{}, 'x', 'x' x 60_000) {
		is(send($silent, $data, 0), length $data, 'UDP: ' . length $data);
	}
	like(echo_once($asking, q{}), qr/\r\n\z/, 'after which it still serves');
	ok(!defined recv($silent, my $answer, 10, MSG_DONTWAIT) && $! == EAGAIN,
		'nothing came back');
	ends($server);
	return;
}

sub daytime {
	my $address = own_address();
	my $server = example('discard', '-b', "$address:5009", '-b', "$address:5013,daytime");
	my $time = qr/\A\w+,\s\w+\s\d\d,\s\d{4}\s\d\d:\d\d:\d\d-\S+\r\n\z/;

	for my $round (1 .. 2) {
		my @sockets = map { tcp($address, 5013) } 1 .. 20;
		for my $socket (@sockets) {
			my ($text, $end) = read_until_eof($socket);
			like($text, $time, 'TCP');
			is($end, 'eof', 'TCP: the connection ends after the time');
		}
		# Neither bytes sent to it nor a client that leaves at once is
		# in the way.
		my $socket = tcp($address, 5013);
		send $socket, 'x' x 100_000, MSG_NOSIGNAL | MSG_DONTWAIT;
		like(scalar read_until_eof($socket), $time, 'TCP, with data');
		reset_connection(tcp($address, 5013));
		for my $data (q{}, "\n", random_bytes(1000)) {
			like(echo_once(udp($address, 5013), $data), $time, 'UDP');
		}
		reload($server) if $round == 1;
	}
	no_loop($address, 5013);
	ends($server);
	return;
}

# A service's port gets no answer: it might answer that.
sub no_loop {
	my ($address, $port) = @_;

	SKIP: {
		skip 'a low port needs root', 2 if !is_root();
		my $service = udp($address, $port, LocalAddr => own_address(1), LocalPort => 13)
		    or skip "no low port: $@", 2;
		is(send($service, 'x', 0), 1, 'from a low port');
		# Both come to the same queue or to another: ask often.
		echo_once(udp($address, $port), q{}) for 1 .. 20;
		ok(!defined recv($service, my $answer, 100, MSG_DONTWAIT) && $! == EAGAIN,
			'no answer to a service');
	}
	return;
}

sub udptime {
	# Bound to any: the answer comes from the address that was asked.
	my $server = example('udptime', '-b', '0.0.0.0:0');
	my $port   = $server->port;
	my $count  = 0;
	my $from   = $server->log_size;

	for my $i (1 .. 100) {
		my $socket = udp(own_address($i % 4), $port);
		my $before = time;
		my $answer = echo_once($socket, 'x' x ($i % 3));
		my ($now)  = unpack 'N', $answer // q{};
		$count++ if length $answer == 4 && $now >= $before + EPOCH && $now <= time() + EPOCH;
		$server->signal('HUP') if $i == 50;
	}
	is($count, 100, 'the time, a hundred times');
	ok($server->wait_log(qr/\]\sreloaded:/, undef, $from), 'it was reloaded meanwhile');
	no_loop(own_address(), $port);
	ends($server);
	is(sum0($server->log_text =~ /\]\sslot\s\d+:\s(\d+)\sanswered,\s0\sfailed$/gm),
		is_root() ? 120 : 100, 'the log has the number of answers');
	return;
}

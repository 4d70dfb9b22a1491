#!/usr/bin/perl

# contrib/examples/proxy: bytes and ends in both directions, fallback and health
# checks, the PROXY protocol from bytes and with HAProxy on both sides, a reload.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Temp;
use IO::Socket::IP;
use Prefork;
use Prefork::Life qw(write_file);
use Prefork::Peer;
use Prefork::Sockets;
use Socket qw(SHUT_WR SOCK_STREAM);
use Test::More;

use constant MIB       => 1_048_576;
use constant SIGNATURE => "\r\n\r\n\0\r\nQUIT\n";
use constant { LOCAL => 0x20, PROXY => 0x21, TCP4 => 0x11, TCP6 => 0x21 };

subtest 'bytes and ends' => \&forwards;
subtest 'curl'           => \&curl;
subtest 'fallback'       => \&falls_back;
subtest 'spread'         => \&spreads;
subtest 'PROXY in'       => \&header_in;
subtest 'PROXY out'      => \&header_out;
subtest 'HAProxy'        => \&haproxy;
subtest 'reload, stop'   => \&reloaded;
subtest 'options'        => \&options;
done_testing();

sub proxy {
	my (@arguments) = @_;

	return Prefork->start({ program => "$Prefork::O/examples/proxy" }, qw(-p 0 -4 -w 1), @arguments);
}

sub upstream {
	my (@peers) = @_;

	return map { ('--upstream', '127.0.0.1:' . (ref $_ ? $_->port : $_)) } @peers;
}

# A port where nobody listens: it was free a moment ago.
sub free_port {
	my $socket = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 0, Type => SOCK_STREAM) or die "bind: $@\n";
	return $socket->sockport;
}

# A server that sends its name, then all bytes that come, until the end.
sub named {
	my ($name, %more) = @_;

	return Prefork::Peer->scripted(
		sub {
			my ($socket) = @_;
			syswrite $socket, $name;
			while (sysread $socket, my $bytes, 65_536) {
				syswrite $socket, $bytes;
			}
		},
		Listen => 50,
		%more
	);
}

sub talk {
	my ($server, $bytes) = @_;
	my $socket = $server->tcp_socket;

	syswrite $socket, $bytes;
	shutdown $socket, SHUT_WR;
	return join q{|}, read_until_eof($socket, 20);
}

sub forwards {
	my $echo   = Prefork->start(qw(-p 0 -4 -w 1));
	my $server = proxy(upstream($echo));
	my $bytes  = random_bytes(4 * MIB);
	my $socket = $server->tcp_socket;

	ok(echo_once($socket, $bytes, 60) eq $bytes, '4 MiB there and back');
	is(echo_once($socket, 'abc'), 'abc', 'three bytes there and back');
	is(talk($server, 'until the end'), 'until the end|eof', 'a half-close passes, and the rest comes');
	is(talk($server, q{}), '|eof', 'nothing but the end');
	my @sockets = map { $server->tcp_socket } 1 .. 50;
	is(join(q{ }, map { echo_once($sockets[$_], "x$_") } 0 .. 49), join(q{ }, map { "x$_" } 0 .. 49), '50 at a time');
	reset_connection($_) for splice @sockets, 0, 25;
	reset_connection($server->tcp_socket) for 1 .. 10;
	is(echo_once($sockets[0], 'yes'), 'yes', 'resets of others do no harm');
	close $_ for @sockets, $socket;
	is($server->stop, 0, 'exit status');
	is($echo->stop,   0, 'exit status of the upstream');
	return;
}

sub curl {
	my ($has) = run_cmd('curl', '--version');
	$has eq '0' or plan skip_all => 'curl is missing: it is in curl';
	my $body = 'hello ' x 10_000;
	my $http = Prefork::Peer->scripted(sub {
		my ($socket) = @_;
		while (my $line = <$socket>) {
			last if $line eq "\r\n";
		}
		print {$socket} "HTTP/1.0 200 OK\r\nContent-Length: ", length $body, "\r\n\r\n$body";
		$socket->flush;
	});
	my $server = proxy(upstream($http));
	my ($code, $out, $errors) = run_cmd(qw(curl -sS -m 20), 'http://127.0.0.1:' . $server->port . '/');

	is("$code $errors", '0 ', 'curl is content');
	ok($out eq $body, 'the body');
	is($server->stop, 0, 'exit status');
	return;
}

sub falls_back {
	my $port   = free_port();
	my $second = named('second ');
	my $server = proxy('--check-interval', 1, upstream($port, $second));

	is(talk($server, 'a'), 'second a|eof', 'the second one, while the first is down');
	like($server->log_text, qr/upstream\s127.0.0.1:$port\sis\sdown:\s.*refused/, 'the log has the upstream that is down, and the cause');
	my $first = named('first ', LocalPort => $port, ReuseAddr => 1);
	ok($server->wait_log(qr/upstream\s127.0.0.1:$port\sis\sup/), 'the check finds the first one');
	is(talk($server, 'b'), 'first b|eof', 'the first upstream is used again');
	undef $first;
	is(talk($server, 'c'), 'second c|eof', 'the second upstream is used when the first is down again');
	undef $second;
	my $socket = $server->tcp_socket;
	my ($got) = read_until_eof($socket);
	is($got, q{}, 'all upstreams are down: the client gets no byte');
	is($server->stop, 0, 'exit status');
	return;
}

sub spreads {
	my @named  = map { named("$_ ") } qw(a b c);
	my $server = proxy('--spread', upstream(@named));
	my %count;

	$count{ talk($server, q{}) }++ for 1 .. 30;
	is_deeply(\%count, { map { ("$_ |eof" => 10) } qw(a b c) }, 'each gets the same part');
	is($server->stop, 0, 'exit status');
	return;
}

sub header {
	my ($command, $family, $rest) = @_;

	return pack 'a12CCn/a', SIGNATURE, $command, $family, $rest;
}

sub header_in {
	my $echo   = Prefork->start(qw(-p 0 -4 -w 1));
	my $server = proxy('--proxy-in', upstream($echo));
	my $four   = pack 'C4C4nn', 192, 0, 2, 1, 192, 0, 2, 2, 1000, 2000;
	my %good   = (
		'IPv4'     => header(PROXY, TCP4, $four),
		'IPv6'     => header(PROXY, TCP6, "\x20\1" x 16 . pack 'nn', 1, 2),
		'LOCAL'    => header(LOCAL, 0,    q{}),
		'a socket' => header(PROXY, 0x31, 'x' x 216),
		'more behind the addresses' => header(PROXY, TCP4, $four . 'x' x 1000),
	);
	for my $name (sort keys %good) {
		is(talk($server, "$good{$name}abc"), 'abc|eof', $name);
		my $socket = $server->tcp_socket;
		syswrite $socket, $_ for split //, substr($good{$name}, 0, 40);
		syswrite $socket, substr($good{$name}, 40) if length $good{$name} > 40;
		is(echo_once($socket, 'abc'), 'abc', "$name, in pieces");
	}
	my %bad = (
		'no header'     => 'GET / HTTP/1.0' . "\r\n" x 2,
		'version 1'     => "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
		'another command' => header(0x22, TCP4, $four),
		'cut short'     => header(PROXY, TCP4, substr $four, 1),
		'no addresses'  => header(PROXY, TCP4, q{}),
		'too long'      => header(PROXY, TCP4, 'x' x 3000),
	);
	for my $name (sort keys %bad) {
		my ($got) = split /[|]/, talk($server, "$bad{$name}abc");
		ok(!length($got // q{}) || $got !~ /abc/, "$name is not forwarded");
	}
	is(talk($server, substr $good{IPv4}, 0, 20), '|eof', 'an end within it');
	is($server->stop, 0, 'exit status');
	return;
}

# A server that sends the first bytes back as hexadecimal digits.
sub telling {
	my ($len) = @_;

	return Prefork::Peer->scripted(sub {
		my ($socket) = @_;
		my $got = q{};
		while (length $got < $len) {
			sysread $socket, $got, $len - length $got, length $got or return;
		}
		syswrite $socket, unpack 'H*', $got;
	});
}

sub header_out {
	my $first  = telling(31);
	my $server = proxy('--proxy-out', upstream($first));
	my $socket = $server->tcp_socket;

	syswrite $socket, 'abc';
	is(join(q{|}, read_until_eof($socket)),
		unpack('H*', header(PROXY, TCP4, pack 'C8nn', 127, 0, 0, 1, 127, 0, 0, 1, $socket->sockport, $server->port) . 'abc') . '|eof',
		'the addresses of the connection');
	is($server->stop, 0, 'exit status');

	my $from = header(PROXY, TCP6, "\x20\1\x0d\xb8" . "\0" x 11 . "\1" . "\x20\1\x0d\xb8" . "\0" x 11 . "\2" . pack 'nn', 7, 8);
	my $second = telling(55);
	$server = proxy('--proxy-in', '--proxy-out', upstream($second));
	is(talk($server, "${from}abc"), unpack('H*', "${from}abc") . '|eof', 'those of a header');
	is($server->stop, 0, 'exit status');
	return;
}

# curl, HAProxy with send-proxy-v2, this proxy, HAProxy with accept-proxy: the last
# one answers with the address of curl's connection.
sub haproxy {
	for my $tool (qw(curl haproxy)) {
		my ($has) = run_cmd('/bin/sh', '-c', "command -v $tool");
		$has eq '0' or plan skip_all => "$tool is missing: it is in $tool";
	}
	my $dir = File::Temp->newdir;
	my ($front, $back) = (free_port(), free_port());
	my $server = proxy('--proxy-in', '--proxy-out', upstream($back));
	write_file("$dir/cfg", 'defaults', ' mode http', ' timeout connect 9s', ' timeout client 9s', ' timeout server 9s',
		'listen front', " bind 127.0.0.1:$front", ' server x 127.0.0.1:' . $server->port . ' send-proxy-v2',
		'frontend back', " bind 127.0.0.1:$back accept-proxy",
		' http-request return status 200 content-type text/plain lf-string "%[src]:%[src_port]"');
	my $haproxy = Prefork::Peer->program({ host => '127.0.0.1', port => $back }, '/usr/sbin/haproxy', '-f', "$dir/cfg", '-db');
	ok($haproxy, 'HAProxy serves') or return;
	my ($code, $out) = run_cmd(qw(curl -sS -m 20 -w), '|%{local_ip}:%{local_port}', "http://127.0.0.1:$front/");
	my ($seen, $own) = split /[|]/, $out;
	is($seen, $own, 'the last one sees the address of the first client');
	is($server->stop, 0, 'exit status');
	return;
}

sub reloaded {
	my $echo   = Prefork->start(qw(-p 0 -4 -w 1));
	my $server = proxy(upstream($echo), qw(--sandbox auto));
	my $socket = $server->tcp_socket;

	is(echo_once($socket, 'before'), 'before', 'before');
	my $from = $server->log_size;
	$server->signal('HUP');
	ok($server->wait_log(qr/\]\sreloaded:/, undef, $from), 'it is reloaded');
	is(echo_once($socket, 'after'), 'after', 'an old connection goes on');
	is(talk($server, 'new'), 'new|eof', 'a new connection is served after the reload');
	$server->signal('TERM');
	ok($server->wait_log(qr/\]\sstopping/), 'it stops');
	is(echo_once($socket, 'still'), 'still', 'a connection goes on until its end');
	close $socket;
	is($server->wait_exit, 0, 'exit status');
	is($echo->stop,        0, 'exit status of the upstream');
	return;
}

sub options {
	my %wrong = (
		'--upstream HOST:PORT is missing' => [],
		'needs a host and a port'         => [qw(--upstream localhost)],
		'at most 16'                      => [ map { ('--upstream', "h:$_") } 1 .. 17 ],
		'1 to 86400'                      => [qw(--upstream h:1 --check-interval 0)],
	);
	for my $reason (sort keys %wrong) {
		my ($code, undef, $errors) = run_cmd("$Prefork::O/examples/proxy", '-t', @{ $wrong{$reason} });
		is($code, 64, $reason);
		like($errors, qr/\Q$reason\E/, 'the error has the cause');
	}
	my ($code, $out) = run_cmd("$Prefork::O/examples/proxy", qw(-T --upstream a.example:1 --upstream), '[::1]:2');
	like($out, qr/^upstream\sa[.]example:1\nupstream\s\[::1\]:2$/m, 'both are in the dump');
	return;
}

#!/usr/bin/perl

# prefork-exporter: what it serves of two services, how it reports one that is
# dead, stuck or missing, and that idle peers, slow readers, floods and garbage
# delay no scrape.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::INET;
use JSON::PP ();
use Prefork;
use Prefork::Control;
use Prefork::Life;
use Prefork::Sockets qw(have);
use Socket qw(SOL_SOCKET SO_RCVBUF);
use Test::More;

use constant IDLE  => 10;
use constant FLOOD => 300;

my $program = Prefork::program('prefork-exporter');
plan skip_all => 'prefork-exporter is not built: libmicrohttpd is missing'
    if !-x $program;

options();
my $web = Prefork->start(qw(-w 2 -p 0 -4 --name web));
my $api = Prefork->start(qw(-w 1 -p 0 -4 --name api));
my ($exporter, $port) = exporter('127.0.0.1:0', map { control_socket($_) } $web, $api);
my %before = fds($exporter->pid);

metrics();
json();
page();
refusals();
idle_peers();
slow_readers();
ok(wait_for(sub { my %now = fds($exporter->pid); keys %now == keys %before }, 20),
	'as many descriptors as before');
stuck();
finds();
killed();
missing();
draining();
is($exporter->stop, 0, 'exit status');
done_testing();

sub exporter {
	my @arguments = @_;
	my $e = Prefork->spawn({ program => $program }, '-l', @arguments);

	ok($e->wait_log(qr/\]\sready$/mx), 'an exporter is ready') or die $e->log_text;
	my ($p) = $e->log_text =~ m{serving[ ]on[ ]http://127[.]0[.]0[.]1:(\d+)/$}mx;
	return ($e, $p);
}

sub connected {
	my ($p) = @_;

	return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $p // $port)
	    // die "connect: $@\n";
}

# get($path, $headers, $port): the status, the head and the body.
sub get {
	my ($path, $headers, $p) = @_;
	my $socket = connected($p);

	$socket->syswrite("GET $path HTTP/1.1\r\nHost: x\r\n" . ($headers // q{}) . "\r\n");
	my ($head, $body) = split /\r\n\r\n/, scalar(read_until_eof($socket)), 2;
	my ($status) = ($head // q{}) =~ m{\AHTTP/1[.]1\s(\d+)\s}x;
	return ($status // 0, $head, $body // q{});
}

sub options {
	for my $case (
		[ [qw(--port 1)] => 64, qr/port/ ],
		[ [qw(-l :99999)] => 64, qr/99999/ ],
		[ [qw(-l 1.2.3.4.5)] => 64, qr/not\san\sIPv4\saddress/ ],
		[ [ '-l', q{} ] => 64, qr/host\sis\smissing/ ],
		[ [qw(--channel 99)] => 64, qr/\A\N*--channel\s99:\sBad\sfile\sdescriptor\n\z/ ],
		[ [ 'x' x 200 ] => 64, qr/no\spath\sof\sa\ssocket/x ],
		[ [ q{} ] => 64, qr/no\sbyte/x ],
		[ [qw(-l 192.0.2.1:0)] => 69, qr/no\ssuch\saddress/x ],
	) {
		my ($arguments, $wanted, $why) = @{$case};
		my ($code, $output, $errors) = run_cmd($program, @{$arguments});
		is($code, $wanted, "'@{$arguments}' is refused");
		like($errors, $why, 'standard error has the cause');
	}
	my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1');
	my ($code, $output, $errors) = run_cmd($program, '-l', '127.0.0.1:' . $taken->sockport);
	is($code, 69, 'a port in use ends it');
	like($errors, qr/in\suse;\s-l\stakes\sanother/x, 'the error names the option that takes another port');
	return;
}

# The lines of each family, in the order in which they come.
sub families {
	my ($text) = @_;
	my (%lines, @order);

	for (split /\n/, $text) {
		my ($name) = /^(?:\#\s\w+\s)?([a-z_]+)/x or next;
		$name =~ s/_(?:bucket|sum|count|total)$//x;
		push @order, $name if !@order || $order[-1] ne $name;
		push @{ $lines{$name} }, $_;
	}
	return (\%lines, @order);
}

sub metrics {
	my ($status, $head, $text) = get('/metrics');
	is($status, 200, '/metrics');
	like($head, qr{^Content-Type:\stext/plain;\sversion=0[.]0[.]4}mx, 'as text');
	my ($lines, @order) = families($text);
	my %seen;
	is_deeply([ grep { $seen{$_}++ } @order ], [], 'the samples of a family stand together');
	is(scalar(grep { /^\#\sHELP/x } @{ $lines->{prefork_workers} }), 1, 'a family is described once');
	like($text, qr/^prefork_workers[{]service="web"[}]\s2$/mx, 'the number of workers of the service "web"');
	like($text, qr/^prefork_workers[{]service="api"[}]\s1$/mx, 'the number of workers of the service "api"');
	like($text, qr/^prefork_exporter_services\s2$/mx, 'the number of services');
	SKIP: {
		skip 'promtool is not installed', 1 if !have('promtool');
		my ($code, $output, $errors) = run_cmd({ stdin => $text }, qw(promtool check metrics));
		is($output . $errors, q{}, 'promtool has nothing to say');
	}
	($status, $head, $text) = get('/metrics',
		"Accept: application/openmetrics-text;version=1.0.0;q=0.75,text/plain;q=0.5,*/*;q=0.1\r\n");
	like($head, qr{^Content-Type:\sapplication/openmetrics-text}mx, 'OpenMetrics where it is preferred');
	like($text, qr/\n\#\sEOF\n\z/x, 'OpenMetrics ends with # EOF');
	is(() = $text =~ /^\#\sEOF$/gmx, 1, 'OpenMetrics has one # EOF');
	($status, $head) = get('/metrics', "Accept: text/plain, application/openmetrics-text;q=0.5\r\n");
	like($head, qr{^Content-Type:\stext/plain}mx, 'text where that is preferred');
	return;
}

sub json {
	my ($status, undef, $text) = get('/status.json');
	is($status, 200, '/status.json');
	my $services = JSON::PP::decode_json($text)->{services};
	is_deeply([ sort map { $_->{status}{name} } @{$services} ], [qw(api web)], '/status.json has both services');
	ok($services->[0]{up}, '/status.json: a service is up');
	($status, undef, $text) = get('/doctor.json');
	is(ref JSON::PP::decode_json($text)->{services}[0]{doctor}, 'ARRAY', '/doctor.json');
	for my $path ('/livez', '/readyz') {
		my ($code, undef, $answer) = get($path);
		is("$code $answer", "200 ok\n", $path);
	}
	return;
}

sub page {
	my ($status, $head, $text) = get(q{/});
	my ($nonce) = $head =~ /^Content-Security-Policy:.*script-src\s'nonce-(\w+)'/mx;

	is($status, 200, 'the page');
	is(() = $text =~ /<(?:script|style)\snonce="$nonce">/gx, 2, 'its script and style may run');
	unlike($text, qr/@@|https?:|<script\s[^>]*src/x, 'the page loads nothing from elsewhere');
	my ($second) = (get(q{/}))[1] =~ /nonce-(\w+)/;
	cmp_ok($second, 'ne', $nonce, 'the next one has another nonce');
	return;
}

sub refusals {
	my @cases = (
		[ "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" => 405 ],
		[ "DELETE / HTTP/1.1\r\nHost: x\r\n\r\n" => 405 ],
		[ "GET /metrics/ HTTP/1.1\r\nHost: x\r\n\r\n" => 404 ],
		[ "GET /../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n" => 404 ],
		[ "GET /metrics HTTP/1.1\r\n\r\n" => 400 ],
		[ "GET / HTTP/1.1\r\nHost: x\r\nA: " . ('x' x 100_000) . "\r\n\r\n" => 4 ],
		[ "GET /" . ('x' x 100_000) . " HTTP/1.1\r\nHost: x\r\n\r\n" => 4 ],
		[ "1 stop\n\n\r\n\r\n" => undef ],
		[ "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n" => undef ],
		[ "\0" x 5_000 => undef ],
		[ "GET / HTTP/1.1\r\nHost: x\r\n" => undef ],
	);
	local $SIG{PIPE} = 'IGNORE';
	for my $case (@cases) {
		my ($request, $wanted) = @{$case};
		my $socket = connected();
		$socket->syswrite($request);
		my ($answer) = read_until_eof($socket);
		my $name = substr $request, 0, 24;
		$name =~ s/[^ -~]/./g;
		like($answer // q{}, defined $wanted ? qr{\A(?:HTTP/1[.][01]\s$wanted|\z)}x : qr{\A(?:HTTP/1[.][01]\s[45]|\z)}x,
			"refused: $name");
	}
	my ($head) = (get('/x'))[2] =~ /(\S+metrics)/;
	is($head, '/metrics', 'a wrong path is told the right ones');
	is((get('/livez'))[0], 200, 'it goes on');
	return;
}

# Still open: nothing can be read from it.
sub is_open {
	my ($socket) = @_;
	my $set = q{};

	vec($set, fileno $socket, 1) = 1;
	return !select $set, undef, undef, 0;
}

sub idle_peers {
	my @idle = map { connected() } 1 .. IDLE;
	$idle[$_]->syswrite("GET /metrics HT") for 0 .. IDLE / 2;
	is((get('/metrics'))[0], 200, 'idle peers do not delay a scrape');
	push @idle, map { connected() } 1 .. FLOOD;
	is((get('/metrics'))[0], 200, 'a flood of idle peers does not delay a scrape');
	my $text = (get('/metrics'))[2];
	my ($evicted) = $text =~ /^prefork_exporter_evicted_connections_total\s(\d+)$/mx;
	cmp_ok($evicted, '>=', FLOOD / 2, 'the metrics count the peers that were evicted');
	is(grep({ defined $_ } map { scalar wait_for(sub { !is_open($_) }, 20) || undef } @idle),
		scalar @idle, 'all idle peers are closed in the end');
	return;
}

# They ask, and take no byte of the answer.
sub slow_readers {
	my @slow;

	for (1 .. FLOOD / 3) {
		my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
		$socket->setsockopt(SOL_SOCKET, SO_RCVBUF, 1);
		$socket->syswrite("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
		push @slow, $socket;
	}
	is((get('/metrics'))[0], 200, 'slow readers do not delay a scrape');
	return;
}

sub up_of {
	my ($service) = @_;
	my ($up) = (get('/metrics'))[2] =~ /^prefork_up[{]service="$service"[}]\s(\d)$/mx;

	return $up;
}

sub stuck {
	kill 'STOP', $web->pid;
	my ($status, undef, $text) = get('/livez');
	is($status, 503, '/livez is 503 while a master does not answer');
	like($text, qr{/web[.]sock:\sit\sdoes\snot\sanswer\swithin\s3\ss$}mx, '/livez names the control socket that does not answer');
	kill 'CONT', $web->pid;
	is((get('/livez'))[0], 200, 'it answers again');
	return;
}

sub killed {
	is(up_of('api'), 1, 'a service is up');
	kill 'KILL', $api->pid;
	$api->wait_exit;
	is(up_of('api'), 0, 'prefork_up of a killed service is 0');
	is(up_of('web'), 1, 'prefork_up of the service beside a killed one is 1');
	my ($status, undef, $text) = get('/livez');
	is("$status $text", '503 ' . place() . "/api.sock: the service has died\n", '/livez names the control socket of the killed service');
	my ($service) = grep { !$_->{up} } @{ JSON::PP::decode_json((get('/status.json'))[2])->{services} };
	is($service->{error}, 'the service has died', '/status.json says that the killed service has died');
	my ($e, $p) = exporter('127.0.0.1:0');
	unlike((get('/metrics', undef, $p))[2], qr/service="api"/, 'an exporter started later leaves the killed service out');
	is($e->stop, 0, 'exit status');
	$api->kill_tree;
	return;
}

sub missing {
	my ($e, $p) = exporter('127.0.0.1:0', place() . '/none.sock', control_socket($web));
	my (undef, undef, $text) = get('/metrics', undef, $p);

	like($text, qr/^prefork_up[{]service="none"[}]\s0$/mx, 'prefork_up of a service that does not run is 0');
	like($text, qr/^prefork_up[{]service="web"[}]\s1$/mx, 'prefork_up of the service beside it is 1');
	is((get('/livez', undef, $p))[2], place() . "/none.sock: it is not running\n", '/livez names the control socket without a service');
	is($e->stop, 0, 'exit status');
	return;
}

# Without arguments it asks all; there may be others on this machine.
sub finds {
	my ($e, $p) = exporter('127.0.0.1:0');
	my (undef, undef, $text) = get('/metrics', undef, $p);

	like($text, qr/^prefork_up[{]service="$_"[}]\s1$/mx, "$_ is found") for qw(web api);
	is($e->stop, 0, 'exit status');
	return;
}

# While it drains it answers, and is not ready.
sub draining {
	my $client = $web->tcp_socket;

	$client->syswrite('x');
	$client->sysread(my $echo, 1);
	my ($e, $p) = exporter('127.0.0.1:0', control_socket($web));
	is((get('/readyz', undef, $p))[0], 200, 'a service is ready');
	kill 'STOP', $web->workers_alive;
	$web->signal('TERM');
	ok(wait_for(sub { (get('/readyz', undef, $p))[0] == 503 }, 20), '/readyz is 503 while the service drains');
	kill 'CONT', $web->workers_alive;
	$client->close;
	is($web->wait_exit, 0, 'exit status');
	is($e->stop, 0, 'exit status of the exporter');
	return;
}

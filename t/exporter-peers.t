#!/usr/bin/perl

# prefork-exporter before sockets whose peers are no service, or a strange one: each
# is named with its fault, and none disturbs the others' samples. And the addresses
# that it listens on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use IO::Socket::INET;
use IO::Socket::IP;
use IO::Socket::UNIX;
use JSON::PP ();
use POSIX    ();
use Prefork;
use Prefork::Life;
use Prefork::Sockets qw(local_addresses6);
use Test::More;

use constant TOO_LONG => 33 << 20;

my $program = Prefork::program('prefork-exporter');
plan skip_all => 'prefork-exporter is not built: libmicrohttpd is missing'
    if !-x $program;

my $dir = temp_dir();

# A socket's name, the answer to each request, and the line of /livez about it.
my @peers = (
	[ 'mute',       q{},                             'it closed the connection without an answer' ],
	[ 'zero',       "OK\nprefork_up 1\0\n",          'its answer has a zero byte' ],
	[ 'busy',       "ERR 75 another request runs\n", 'another request runs' ],
	[ 'smtp',       "220 mail.example ESMTP\r\n",    'something else than a service listens on it' ],
	[ 'endless',    "OK\n" . 'x' x TOO_LONG,         'its answer is too long' ],
	[ qq{od"d\x01}, "ERR 70\n",                      q{} ],
	[ 'cut',        "OK\n# HELP prefork_value",      undef ],
	[ 'one',        sample('twin', 1),               undef ],
	[ 'two',        sample('twin', 2),               undef ],
	[ 'quoted',     sample('a\\"b', 3),              undef ],
	[ 'long',       sample('x' x 300, 4),            undef ],
	[ 'open',       sample("broken\nname", 5),       undef ],
	[ 'many',       join(q{}, "OK\n", map { family("prefork_many_$_", $_) } 1 .. 300), undef ],
	[ 'plain',      "OK\n",                          undef ],
);

my $server = serve();
my $exporter = exporter('127.0.0.1:0', paths());
my ($port) = $exporter->log_text =~ m{http://127[.]0[.]0[.]1:(\d+)/$}mx;
health();
json();
metrics();
is($exporter->stop, 0, 'exit status');
kill 'KILL', $server;
waitpid $server, 0;
gone();
listening();
arguments();
done_testing();

sub paths { return map { "$dir/$_->[0].sock" } @peers }

sub family {
	my ($name, $value) = @_;

	return "# HELP $name A number.\n# TYPE $name gauge\n$name $value\n";
}

# Of a service that has this name for itself.
sub sample {
	my ($name, $value) = @_;

	return "OK\n# HELP prefork_up U\n# TYPE prefork_up gauge\nprefork_up{service=\"$name\"} 1\n"
	    . family('prefork_value', $value);
}

# A process that answers on all sockets; its pid.
sub serve {
	my %answer;
	my $select = IO::Select->new;

	for my $peer (@peers) {
		my $listener = IO::Socket::UNIX->new(Listen => 10, Local => "$dir/$peer->[0].sock")
		    // die "$peer->[0]: $!\n";
		$answer{ fileno $listener } = $peer->[1];
		$select->add($listener);
	}
	my $pid = fork // die "fork: $!\n";
	return $pid if $pid;
	local $SIG{PIPE} = 'IGNORE';
	while (my @ready = $select->can_read) {
		for my $listener (@ready) {
			my $socket = $listener->accept // next;
			$socket->sysread(my $request, 100);
			my $rest = $answer{ fileno $listener };
			while (length $rest) {
				my $n = $socket->syswrite($rest) // last;
				substr $rest, 0, $n, q{};
			}
		}
	}
	POSIX::_exit(1);
}

sub exporter {
	my @arguments = @_;
	my $e = Prefork->spawn({ program => $program }, '-l', @arguments);

	ok($e->wait_log(qr/\]\sready$/mx), "ready: -l $arguments[0]") or die $e->log_text;
	return $e;
}

# get($path, $port): the status and the body.
sub get {
	my ($path, $p) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $p) // die "connect: $@\n";

	$socket->syswrite("GET $path HTTP/1.1\r\nHost: x\r\n\r\n");
	my ($head, $body) = split /\r\n\r\n/, scalar(read_until_eof($socket)), 2;
	my ($status) = $head =~ m{\AHTTP/1[.]1\s(\d+)\s}x;
	return ($status, $body);
}

sub health {
	my ($status, $text) = get('/livez', $port);
	my @wanted = map { "$dir/$_->[0].sock: $_->[2]" } grep { defined $_->[2] } @peers;

	is($status, 503, 'peers that are no services are no health');
	is_deeply([ split /\n/, $text ], \@wanted, 'each is named with its fault');
	return;
}

sub json {
	my ($status, $text) = get('/status.json', $port);
	my $printable = $text;
	$printable =~ s/,\s"status":\s[^}]*[}]/}/gx;
	my $services = JSON::PP::decode_json($printable)->{services};

	is($status, 200, '/status.json');
	is_deeply([ map { $_->{error} } grep { !$_->{up} } @{$services} ],
		[ map { $_->[2] } grep { defined $_->[2] } @peers ], 'with the faults');
	my ($odd) = grep { $_->{socket} =~ /od/ } @{$services};
	is($odd->{socket}, qq{$dir/od"d?.sock}, 'a strange name is written as JSON');
	return;
}

sub metrics {
	my ($status, $text) = get('/metrics', $port);

	is($status, 200, '/metrics');
	for my $name (qw(mute zero busy smtp endless od_d_)) {
		is(() = $text =~ /^prefork_up[{]service="$name"[}]\s0$/mxg, 1, "$name is down");
	}
	is(() = $text =~ /^prefork_up[{]service="twin"[}]\s1$/mxg, 1, 'of two services of one name the first one is shown');
	like($text, qr/^prefork_value\s1$/mx, 'the samples of the first one are shown');
	unlike($text, qr/^prefork_value\s2$/mx, 'the samples of the second one are left out');
	like($exporter->log_text, qr{left[ ]out[ ]\Q$dir\E/two[.]sock:.*[ ]twin,[ ]too;[ ]give}x, 'a log line names the socket of the service that was left out');
	like($text, qr/^prefork_up[{]service="a\\"b"[}]\s1$/mx, 'quotes in the name of a service are escaped');
	like($text, qr/^prefork_value\s4$/mx, 'a service with a name that is too long is shown');
	is(() = $text =~ /^\#\sHELP\sprefork_many_/mxg, 256 - 2, '254 families of a service with more are shown');
	($status, $text) = get('/metrics', $port);
	is(() = $text =~ /service="twin"[}]\s[01]$/mxg, 1, 'of two services of one name one is shown at the next scrape, too');
	return;
}

# They are known now, and their sockets lead nowhere.
sub gone {
	my $e = exporter('127.0.0.1:0', paths());
	my ($p) = $e->log_text =~ m{http://127[.]0[.]0[.]1:(\d+)/$}mx;
	my ($status, $text) = get('/livez', $p);

	is(() = $text =~ /: the service has died$/mg, scalar @peers, 'all have died');
	is($e->stop, 0, 'exit status');
	return;
}

sub listening {
	my $socket = "$dir/none.sock";

	for my $case ('*:0', ':0', '0', 'localhost:0') {
		my $e = exporter($case, $socket);
		my %ports = map { $_ => 1 } $e->log_text =~ m{serving[ ]on[ ]http://\S+:(\d+)/$}mgx;
		is(keys %ports, 1, "all addresses of '$case' have one port") or diag($e->log_text);
		is((get('/livez', keys %ports))[0], 503, 'it answers');
		is($e->stop, 0, 'exit status');
	}
	SKIP: {
		skip 'no IPv6', 4 if !local_addresses6();
		my $e = exporter('[::1]:0', $socket);
		my ($p) = $e->log_text =~ m{http://\[::1\]:(\d+)/$}mx;
		my @peers6 = map { IO::Socket::IP->new(PeerHost => '::1', PeerPort => $p) } 1 .. 2;
		ok($_, 'a peer by IPv6') for @peers6;
		is($e->stop, 0, 'exit status');
	}
	return;
}

sub arguments {
	my ($code, $output, $errors) = run_cmd($program, ('x.sock') x 65);
	is($code, 64, '65 sockets are refused');
	like($errors, qr/65[ ]sockets[ ]are[ ]too[ ]many;[ ]it[ ]asks[ ]at[ ]most[ ]64/x, 'the error says that 64 sockets are the most');
	for my $option (qw(--help --version)) {
		($code, $output, $errors) = run_cmd('sh', '-c', '"$0" "$1" >/dev/full', $program, $option);
		is($code, 74, "$option to a full device fails");
	}
	return;
}

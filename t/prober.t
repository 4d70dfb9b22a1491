#!/usr/bin/perl

# echo-check --serve: messages to targets that answer, refuse, stay silent or
# do not exist are counted as such, by target, protocol and family.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::INET;
use Prefork;
use Prefork::Life;
use Prefork::Sockets qw(have sockets_of);
use Prefork::Tools   qw(pause spawn_process);
use Socket qw(SOCK_DGRAM);
use Test::More;

use constant PROGRAM => Prefork::program('echo-check');

my $dir    = temp_dir();
my $server = Prefork->start(qw(-w 1 -p 0 -4));
my $port   = $server->port;
my $silent = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Type => SOCK_DGRAM, Proto => 'udp');
my $closed = closed_port();
my ($pid, $http) = prober("127.0.0.1:$port", "127.0.0.1:$port/udp", "127.0.0.1:$closed",
	"127.0.0.1:$closed/udp", '127.0.0.1:' . $silent->sockport . '/udp', 'no.such.host.invalid');

bad_usage();
counts();
requests();
kill 'TERM', $pid;
waitpid $pid, 0;
is($? >> 8, 0, 'exit status');
is($server->stop, 0, 'exit status of the server');
stopped_at_any_moment();
done_testing();

# A probe may be ending already; only a sanitizer sees that it was freed twice.
sub stopped_at_any_moment {
	for my $n (1 .. 8) {
		my ($one) = prober("127.0.0.1:$closed", ("127.0.0.1:$closed/udp") x 3);
		pause($n * 0.007);
		kill 'TERM', $one;
		waitpid $one, 0;
		is($?, 0, "stopped, $n: exit status");
	}
	return;
}

sub closed_port {
	my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1);

	return $socket->sockport;
}

sub prober {
	my @targets = @_;
	my $address;

	open my $log, '>', "$dir/log" or die "log: $!\n";
	my $child = spawn_process({ stderr => $log }, PROGRAM, qw(--serve 127.0.0.1:0 --interval 0.05 -t 0.5),
		map { ('--target', $_) } @targets);
	ok(wait_for(sub { ($address) = slurp("$dir/log") =~ m{http://127[.]0[.]0[.]1:(\d+)/metrics$}mx },
		20), 'a prober serves') or die slurp("$dir/log");
	return ($child, $address);
}

sub request {
	my ($text) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $http) // die "connect: $@\n";

	$socket->syswrite($text);
	return scalar read_until_eof($socket);
}

sub samples {
	my $text = request("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
	my %sample = $text =~ /^(prefork_probe_\S+)\s(\S+)$/gmx;

	return ($text, \%sample);
}

sub bad_usage {
	for my $case (
		[ [qw(--target x)] => qr/--target\sis\sfor\s--serve/x ],
		[ [qw(--serve :0)] => qr/needs\sa\s--target/x ],
		[ [qw(--serve x --target y --json)] => qr/no\sreport/x ],
		[ [qw(--serve x --target y/sctp)] => qr{only\s/udp\sor\s/tcp}x ],
		[ [qw(--serve x --target y:0)] => qr/1\sto\s65535/x ],
		[ [qw(--serve x --target y --interval 0)] => qr/0[.]01\sor\smore/x ],
		[ [qw(--serve x --target y z)] => qr/in\sthe\splace\sof\sHOST/x ],
	) {
		my ($arguments, $why) = @{$case};
		my ($code, $output, $errors) = run_cmd(PROGRAM, @{$arguments});
		is($code, 2, "@{$arguments}");
		like($errors, $why, "@{$arguments}: the error has the cause");
	}
	return;
}

sub counts {
	my %want = (
		qq(rtt_seconds_count{target="127.0.0.1:$port",protocol="tcp",family="ipv4"})      => 'TCP is answered',
		qq(rtt_seconds_count{target="127.0.0.1:$port",protocol="udp",family="ipv4"})      => 'UDP is answered',
		qq(lost_total{target="127.0.0.1:$closed",protocol="udp",family="ipv4",cause="refused"}) => 'UDP is refused',
		qq(lost_total{target="127.0.0.1:$closed",protocol="tcp",family="unknown",cause="refused"}) => 'TCP is refused',
		qq(lost_total{target="127.0.0.1:${\$silent->sockport}",protocol="udp",family="ipv4",cause="timeout"}) => 'a silent one',
		q(lost_total{target="no.such.host.invalid:8888",protocol="tcp",family="unknown",cause="other"}) => 'a name without an address',
	);
	my ($text, $sample);

	wait_for(sub {
		($text, $sample) = samples();
		return !grep { !$sample->{"prefork_probe_$_"} } keys %want;
	}, 30);
	for my $name (sort keys %want) {
		cmp_ok($sample->{"prefork_probe_$name"} // 0, '>', 0, $want{$name}) or diag($text);
	}
	is($sample->{qq(prefork_probe_lost_total{target="127.0.0.1:$port",protocol="tcp",family="ipv4",cause="$_"})},
		0, "no probe is lost by $_") for qw(refused timeout mismatch);
	my ($body) = $text =~ /\r\n\r\n(.*)\z/sx;
	SKIP: {
		skip 'promtool is not installed', 1 if !have('promtool');
		my ($code, $output, $errors) = run_cmd({ input => $body }, qw(promtool check metrics));
		is($output . $errors, q{}, 'promtool has nothing to say');
	}
	return;
}

sub requests {
	local $SIG{PIPE} = 'IGNORE';
	my @idle = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $http) } 1 .. 10;

	like(request("POST /metrics HTTP/1.1\r\n\r\n"), qr{\AHTTP/1[.]1\s405\s}x, 'only GET');
	like(request("GET / HTTP/1.1\r\n\r\n"), qr{\AHTTP/1[.]1\s404\s}x, 'only one path');
	like(request("\0" x 5_000), qr{\A(?:HTTP/1[.]1\s431\s|\z)}x, 'no endless request');
	is(request("GET /metrics HTTP/1.1\r\n"), q{}, 'half a request is cut off');
	is(scalar(grep { read_until_eof($_) eq q{} } @idle), 10, 'so are idle peers');
	like((samples())[0], qr{\AHTTP/1[.]1\s200\sOK\r\n}x, 'it goes on');
	return;
}

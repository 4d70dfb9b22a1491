#!/usr/bin/perl

# contrib/examples/dns: dig's view of a zone, and a client in Perl for the bytes that
# dig does not send: garbage, pieces, pipelines; reloads with a good zone and with
# wrong ones; killed workers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use Prefork;
use Prefork::Life qw(kill_worker temp_dir write_file);
use Socket        qw(MSG_DONTWAIT);
use Test::More;

use constant { A => 1, TXT => 16, OPT => 41 };
use constant { FORMERR => 1, NXDOMAIN => 3, NOTIMP => 4 };
use constant UDP_EDNS => 1232;
use constant EX_USAGE => 64;
use constant TIMEOUT  => 20;

my $dir  = temp_dir();
my $path = "$dir/zone";
my @zone = split /\n/, <<'END';
$ORIGIN example.org.
$TTL 3600
@	IN SOA ns1 hostmaster (
		1 ; serial
		7200 900 1209600 300 )
	NS ns1
	NS ns2.example.net.
	MX 10 mail
	TXT "v=spf1 mx; -all" "second \"string\""
ns1	A 192.0.2.1
	AAAA 2001:db8::1
mail 60 IN A 192.0.2.2
www	CNAME Web
web	A 192.0.2.10
	A 192.0.2.11
loop	CNAME loop
away	CNAME www.example.net.
gone	CNAME nowhere
*.wild	A 192.0.2.99
a.b.c	TXT deep
sub	NS ns.sub
	NS ns1
ns.sub	A 192.0.2.77
$ORIGIN below
host	A 192.0.2.88
$ORIGIN example.org.
END
push @zone, map { sprintf 'big TXT "%s%03d"', 'x' x 200, $_ } 1 .. 100;
push @zone, map { "many A 192.0.2.$_" } 1 .. 60;

subtest 'dig'           => \&dug;
subtest 'wrong queries' => \&wrong;
subtest 'batch'         => \&batched;
subtest 'truncation'    => \&truncated;
subtest 'TCP'           => \&streams;
subtest 'reload'        => \&reloaded;
subtest 'wrong zones'   => \&wrong_zones;
subtest 'killed'        => \&killed;
done_testing();

sub dns {
	my (@arguments) = @_;

	write_file($path, @zone);
	return Prefork->start({ program => "$Prefork::O/examples/dns" }, qw(-p 0 -4 -w 2), '--zone', $path, @arguments);
}

# Answers as dig prints them: status, flags, and the sections' records without TTL
# and class.
sub dig {
	my ($server, @words) = @_;
	my ($code, $out) = run_cmd(qw(dig @127.0.0.1 -p), $server->port,
		qw(+noall +comments +answer +authority +additional +norec +tries=1 +timeout=20), @words);

	return "dig ended with $code" if $code ne '0';
	my ($status) = $out =~ /status:\s(\w+)/;
	my ($flags)  = $out =~ /flags:\sqr\s?([\w\s]*);/;
	my @records  = map { join q{ }, grep { defined } (split)[ 0, 3 .. 9 ] } grep { /^[^;]/ } split /\n/, $out;
	return join q{|}, $status, $flags, sort @records;
}

sub dug {
	my ($has) = run_cmd('dig', '-v');
	$has eq '0' or plan skip_all => 'dig is missing: it is in bind9-dnsutils';
	my $server = dns();
	my $soa = 'example.org. SOA ns1.example.org. hostmaster.example.org. 1 7200 900 1209600';
	my @asked = (
		[ 'example.org SOA'      => "NOERROR|aa|$soa" ],
		[ 'EXAMPLE.org NS'       => 'NOERROR|aa|EXAMPLE.org. NS ns1.example.org.|EXAMPLE.org. NS ns2.example.net.' ],
		[ 'example.org MX'       => 'NOERROR|aa|example.org. MX 10 mail.example.org.' ],
		[ 'example.org TXT'      => 'NOERROR|aa|example.org. TXT "v=spf1 mx; -all" "second \"string\""' ],
		[ 'ns1.example.org AAAA' => 'NOERROR|aa|ns1.example.org. AAAA 2001:db8::1' ],
		[ 'www.example.org A'    => 'NOERROR|aa|Web.example.org. A 192.0.2.10|Web.example.org. A 192.0.2.11|'
			    . 'www.example.org. CNAME Web.example.org.' ],
		[ 'www.example.org CNAME' => 'NOERROR|aa|www.example.org. CNAME Web.example.org.' ],
		[ 'www.example.org MX'   => "NOERROR|aa|$soa|www.example.org. CNAME Web.example.org." ],
		[ 'away.example.org A'   => 'NOERROR|aa|away.example.org. CNAME www.example.net.' ],
		[ 'gone.example.org A'   => "NXDOMAIN|aa|$soa|gone.example.org. CNAME nowhere.example.org." ],
		[ 'nope.example.org A'   => "NXDOMAIN|aa|$soa" ],
		[ 'web.example.org MX'   => "NOERROR|aa|$soa" ],
		[ 'host.below.example.org A' => 'NOERROR|aa|host.below.example.org. A 192.0.2.88' ],
		[ 'b.c.example.org A'    => "NOERROR|aa|$soa" ],
		[ 'x.y.wild.example.org A' => 'NOERROR|aa|x.y.wild.example.org. A 192.0.2.99' ],
		[ 'x.wild.example.org TXT' => "NOERROR|aa|$soa" ],
		[ 'y.sub.example.org A'  => 'NOERROR||ns.sub.example.org. A 192.0.2.77|ns1.example.org. A 192.0.2.1|'
			    . 'ns1.example.org. AAAA 2001:db8::1|sub.example.org. NS ns.sub.example.org.|sub.example.org. NS ns1.example.org.' ],
		[ 'example.net A'        => 'REFUSED|' ],
		[ 'xexample.org A'       => 'REFUSED|' ],
		[ 'org A'                => 'REFUSED|' ],
		[ '. NS'                 => 'REFUSED|' ],
		[ '-c CH version.bind TXT' => 'REFUSED|' ],
		[ '+edns=1 +noednsneg example.org A' => 'BADVERS|' ],
		[ '+opcode=NOTIFY example.org SOA' => 'NOTIMP|' ],
	);
	for my $asked (@asked) {
		my ($question, $answer) = @{$asked};
		for my $way ('+notcp', '+tcp', '+notcp +noedns') {
			next if $question =~ /edns/ && $way =~ /edns/;
			is(dig($server, split q{ }, "$way $question"), $answer, "$question $way");
		}
	}
	like(dig($server, qw(example.org ANY)), qr/^NOERROR[|]aa[|][^|]+$/, 'one type for ANY');
	like(dig($server, qw(loop.example.org A)), qr/^NOERROR[|]aa[|](?:loop.example.org.\sCNAME\sloop.example.org.[|]?)+$/,
		'a loop of aliases ends');
	my ($code, $out) = run_cmd(qw(dig @127.0.0.1 -p), $server->port, qw(axfr example.org));
	like($out, qr/Transfer\sfailed/, 'no transfer of the zone');
	($code, $out) = run_cmd(qw(dig @127.0.0.1 +noall +answer -p), $server->port, qw(mail.example.org));
	like($out, qr/^mail.example.org.\s+60\s/, 'a TTL of its own');
	($code, $out) = run_cmd(qw(dig @127.0.0.1 +noall +authority -p), $server->port, qw(nope.example.org));
	like($out, qr/^example.org.\s+300\s/, 'the TTL of a negative answer');
	is($server->stop, 0, 'exit status');
	return;
}

# A query, with further fields by name.
sub query {
	my ($name, $type, %o) = @_;
	my $opt = defined $o{edns} ? pack 'CnnNn', 0, OPT, $o{edns}, 0, 0 : q{};

	return pack('n6', $o{id} // 7, $o{flags} // 0, $o{questions} // 1, 0, 0, $opt eq q{} ? 0 : 1)
	    . join(q{}, map { pack 'C/a', $_ } split /[.]/, $name) . pack('Cnn', 0, $type, 1) . $opt;
}

# The header of an answer as a hash.
sub header {
	my ($answer) = @_;

	return { code => -1, tc => -1, counts => 'none' } if length($answer // q{}) < 12;
	my ($id, $flags, @counts) = unpack 'n6', $answer;
	return { id => $id, code => $flags & 15, tc => $flags >> 9 & 1, counts => "@counts", length => length $answer };
}

sub ask {
	my ($socket, $query) = @_;

	return header(echo_once($socket, $query));
}

# Garbage gets no answer or FORMERR, and does no harm.
sub wrong {
	my $server = dns();
	my $socket = $server->udp_socket;
	my $good   = query('web.example.org', A, edns => 4096);

	is(ask($socket, $good)->{counts}, '1 2 0 1', 'a good query');
	my $head    = pack 'n6', 7, 0, 1, 0, 0, 0;
	my %formerr = (
		'no question'      => query('web.example.org', A, questions => 0),
		'two questions'    => query('web.example.org', A, questions => 2),
		'bytes behind it'  => query('web.example.org', A) . 'x',
		'a pointer'        => "$head\xc0\x0c" . pack('nn', A, 1),
		'a pointer to 0'   => "$head\xc0\x00" . pack('nn', A, 1),
		'a long label'     => "$head\x40" . 'x' x 64 . pack('Cnn', 0, A, 1),
		'a long name'      => query(join(q{.}, ('x' x 63) x 4), A),
		'two OPT records'  => pack('n6', 7, 0, 1, 0, 0, 2) . substr($good, 12) . substr($good, -11),
		'OPT with a name'  => pack('n6', 7, 0, 1, 0, 0, 1) . substr($good, 12, -11) . "\1x" . substr($good, -11),
		'an OPT cut short' => substr($good, 0, -1),
		'only a header'    => $head,
	);
	is(ask($socket, $formerr{$_})->{code}, FORMERR, $_) for sort keys %formerr;
	is(ask($socket, query('web.example.org', A, flags => 0x2800))->{code}, NOTIMP, 'UPDATE');
	# Answers would go round in circles.
	send $socket, $_, 0 for q{}, 'x', substr($good, 0, 11), query('web.example.org', A, flags => 0x8000);
	is(ask($socket, query('web.example.org', A, id => 99))->{id}, 99, 'no answer to answers and pieces of a header');
	srand 7;
	for my $i (1 .. 3000) {
		my $bad = $good;
		substr $bad, rand length $bad, 1, chr rand 256 for 0 .. rand 4;
		$bad = substr $bad, 0, rand length $bad if $i % 4 == 0;
		send $socket, $bad, 0;
		recv $socket, my $answer, 65_535, MSG_DONTWAIT;
	}
	is(ask($server->udp_socket, $good)->{counts}, '1 2 0 1', 'after 3,000 mutants');
	unlike($server->log_text, qr/killed|crashed|aborted/, 'no worker died');
	is($server->stop, 0, 'exit status');
	return;
}

# Answers to queries that come in one batch are kept apart, though each is written to
# the same buffer.
sub batched {
	my $server = dns(qw(-w 1));
	my %worker = $server->workers;
	my $socket = $server->udp_socket;
	my @names  = qw(ns1 mail web nope many);
	my $alone  = join q{ }, map { unpack 'x2H*', echo_once($socket, query("$names[ $_ % 5 ].example.org", A)) } 0 .. 4;
	my @got;

	kill 'STOP', $worker{0};
	send $socket, query("$names[ $_ % 5 ].example.org", A, id => $_), 0 for 0 .. 99;
	kill 'CONT', $worker{0};
	while (@got < 100) {
		my $select = IO::Select->new($socket);
		$select->can_read(TIMEOUT) or last;
		recv $socket, my $answer, 65_535, 0;
		push @got, $answer;
	}
	is(join(q{ }, map { unpack 'n', $_ } @got), join(q{ }, 0 .. 99), '100 queries, in order');
	is(join(q{ }, map { unpack 'x2H*', $_ } @got), join(q{ }, ($alone) x 20), 'each answer is that of its query');
	is($server->stop, 0, 'exit status');
	return;
}

sub truncated {
	my $server = dns();
	my $socket = $server->udp_socket;
	my $form   = sub { return join q{ }, @{ $_[0] }{qw(code tc counts)} };

	is($form->(ask($socket, query('many.example.org', A))), '0 1 1 0 0 0', '60 records in 512 bytes');
	is($form->(ask($socket, query('many.example.org', A, edns => 100))), '0 1 1 0 0 1', 'a size below 512');
	is($form->(ask($socket, query('many.example.org', A, edns => 1232))), '0 0 1 60 0 1', 'in 1,232');
	my $big = ask($socket, query('big.example.org', TXT, edns => 65_535));
	is($form->($big), '0 1 1 0 0 1', '100 strings in any datagram');
	cmp_ok($big->{length}, '<=', UDP_EDNS, 'not more than fits into a packet');
	my $tcp = header(tcp_ask($server->tcp_socket, query('big.example.org', TXT)));
	is($form->($tcp), '0 0 1 100 0 0', '100 strings by TCP');
	is($server->stop, 0, 'exit status');
	return;
}

sub read_message {
	my ($socket) = @_;
	my $got = q{};

	while (length $got < 2 || length $got < 2 + unpack 'n', $got) {
		my $want = length $got < 2 ? 2 - length $got : 2 + unpack('n', $got) - length $got;
		sysread $socket, $got, $want, length $got or return;
	}
	return substr $got, 2;
}

sub tcp_ask {
	my ($socket, $query) = @_;

	syswrite $socket, pack 'n/a', $query;
	return read_message($socket);
}

sub streams {
	my $server = dns();
	my $socket = $server->tcp_socket;
	my $query  = pack 'n/a', query('web.example.org', A);

	syswrite $socket, $_ for split //, $query;
	is(header(read_message($socket))->{counts}, '1 2 0 0', 'byte by byte');
	syswrite $socket, join q{}, map { pack 'n/a', query('web.example.org', A, id => $_) } 1 .. 500;
	is(join(q{ }, map { header(read_message($socket))->{id} } 1 .. 500), join(q{ }, 1 .. 500), '500 at once, in order');
	for my $bad ("\0\0", "\0\5abcde", pack('n/a', query('web.example.org', A, flags => 0x8000))) {
		my $other = $server->tcp_socket;
		syswrite $other, $bad;
		is(join(q{|}, read_until_eof($other)), '|eof', 'the end: ' . unpack 'H8', $bad);
	}
	is(header(tcp_ask($socket, 'x' x 65_535))->{code}, NOTIMP, 'the longest message');
	is($server->stop, 0, 'exit status');
	return;
}

sub reloaded {
	my $server = dns();
	my ($udp, $tcp) = ($server->udp_socket, $server->tcp_socket);
	my $one = query('new.example.org', A);

	is(header(tcp_ask($tcp, $one))->{code}, NXDOMAIN, 'no such name');
	write_file($path, @zone, 'new A 192.0.2.200');
	my $from = $server->log_size;
	$server->signal('HUP');
	ok($server->wait_log(qr/\]\sreloaded:/, undef, $from), 'it is reloaded');
	# The last worker that leaves may not have been told yet.
	ok(wait_for(sub { ask($udp, $one)->{counts} eq '1 1 0 0' }, TIMEOUT), 'a new name, by UDP');
	ok(wait_for(sub { header(tcp_ask($tcp, $one))->{counts} eq '1 1 0 0' }, TIMEOUT), 'a new name, on a connection from before the reload');
	for my $bad ('web A 192.0.2', 'x.example.net. A 192.0.2.1') {
		write_file($path, @zone, $bad);
		$from = $server->log_size;
		$server->signal('HUP');
		ok($server->wait_log(qr/\Q$path\E:\d+:\s/, undef, $from), "refused: $bad");
		is(ask($udp, $one)->{counts}, '1 1 0 0', 'the old zone is served');
	}
	is($server->stop, 0, 'exit status');
	return;
}

# Each is refused by its line, with this reason.
sub wrong_zones {
	my $soa   = '@ 60 IN SOA a b 1 2 3 4 5';
	my %wrong = (
		'first A 192.0.2.1'       => qr/a zone has one SOA record, as its first/,
		"$soa\n$soa"              => qr/a zone has one SOA record, as its first/,
		"$soa\n\$ORIGIN"          => qr/not a name/,
		"$soa\n\$TTL soon"        => qr/'soon': not a number of seconds/,
		"$soa\n\$INCLUDE x"       => qr/'\$INCLUDE': neither/,
		"$soa\nx FOO bar"         => qr/'FOO': not a type of record/,
		"$soa\nx"                 => qr/not a type of record/,
		"$soa\nx A"               => qr/too few values/,
		"$soa\nx A 1.2.3.400"     => qr/'1.2.3.400': no such value/,
		"$soa\nx A 1.2.3.4 5"     => qr/'5': one value too many/,
		"$soa\nx AAAA ::g"        => qr/'::g': no such value/,
		"$soa\nx MX 65536 a"      => qr/'65536': no such value/,
		"$soa\nx MX ten a"        => qr/'ten': no such value/,
		"$soa\nx NS a..b"         => qr/'a..b': no such value/,
		"$soa\nx NS " . 'x' x 64  => qr/no such value/,
		"$soa\nx TXT " . 'x' x 256 => qr/no such value/,
		"$soa\nx TXT \\065"       => qr/no such value/,
		"$soa\nx TXT \"a"         => qr/a quoted word must end in its line/,
		"$soa\nx TXT ( a"         => qr/a bracket without its other one/,
		"$soa\nx TXT a )"         => qr/a bracket without its other one/,
		"$soa\nx TXT " . 'a ' x 400 => qr/too many words/,
		"$soa\nx.. A 1.2.3.4"     => qr/'x..': no name/,
		"$soa\nx.com. A 1.2.3.4"  => qr/its name is outside of the zone/,
		"$soa\nxexample.org. A 1.2.3.4" => qr/its name is outside of the zone/,
		"$soa\nx A 1.2.3.4\nx CNAME y" => qr/a name with a CNAME record has no other ones/,
		"$soa\nx CNAME y\nx A 1.2.3.4" => qr/a name with a CNAME record has no other ones/,
		"$soa\n*.x NS y"          => qr/a wildcard is not delegated/,
		'; nothing'               => qr/there is no SOA record/,
	);
	for my $text (sort keys %wrong) {
		my $line = 2 + ($text =~ tr/\n()//);
		write_file($path, '$ORIGIN example.org.', $text);
		refused($text, qr/:$line:.*$wrong{$text}/, '--zone', $path);
	}
	my %whole = ('no newline' => $soa, 'a zero byte' => "$soa\n\0\n", 'an empty file' => q{});
	for my $name (sort keys %whole) {
		open my $file, '>', $path or die "$path: $!\n";
		print {$file} $whole{$name};
		close $file or die "$path: $!\n";
		refused($name, qr/empty, not ended by a newline, or no text/, '--zone', $path);
	}
	refused('a directory', qr/not a file to read/,    '--zone', $dir);
	refused('no file',     qr/not a file to read/,    '--zone', "$dir/none");
	refused('no option',   qr/--zone FILE is missing/);
	return;
}

sub refused {
	my ($name, $reason, @arguments) = @_;
	my ($code, undef, $errors) = run_cmd("$Prefork::O/examples/dns", '-t', @arguments);

	is($code, EX_USAGE, substr $name, -30);
	like($errors, $reason, 'the error has the cause');
	return;
}

# A connection outlives its worker, also with half of a query.
sub killed {
	my $server = dns();
	my $socket = $server->tcp_socket;
	my $right  = 0;

	for my $i (1 .. 30) {
		my $query = pack 'n/a', query('web.example.org', A, id => $i);
		my $half = $i % length $query;
		syswrite $socket, substr $query, 0, $half;
		kill_worker($server, $i % 2) if $i % 5 == 0;
		syswrite $socket, substr $query, $half;
		my $got = header(read_message($socket));
		$right++ if ($got->{id} // 0) == $i && $got->{counts} eq '1 2 0 0';
	}
	is($right, 30, 'each query has its answer');
	is($server->stop, 0, 'exit status');
	return;
}

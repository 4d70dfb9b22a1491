#!/usr/bin/perl

# The addresses served: families, names, and the one port 0.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Sockets;
use Test::More;

# Arguments, then the addresses served, as --dump-config prints them. "both
# HOST:PORT" is short for TCP and UDP.
my @forms = (
	[ [], 'both 127.0.0.1:8888', 'both [::1]:8888' ],
	[ [qw(-p 7777)], 'both 127.0.0.1:7777', 'both [::1]:7777' ],
	[ [qw(-4)], 'both 127.0.0.1:8888' ],
	[ [qw(-6)], 'both [::1]:8888' ],
	[ [qw(-b 192.0.2.1)], 'both 192.0.2.1:8888' ],
	[ [qw(-b 192.0.2.1 -p 7777)], 'both 192.0.2.1:7777' ],
	[ [qw(-b 192.0.2.1:6666 -p 7777)], 'both 192.0.2.1:6666' ],
	[ [qw(-b ::1)], 'both [::1]:8888' ],
	[ [qw(-b [::1])], 'both [::1]:8888' ],
	[ [qw(-b [::1]:6666)], 'both [::1]:6666' ],
	[ [qw(-b tcp:192.0.2.1:6666)], 'tcp 192.0.2.1:6666' ],
	[ [qw(-b udp:192.0.2.1:6666)], 'udp 192.0.2.1:6666' ],
	[ [qw(-b tcp:[::]:6666)], 'tcp [::]:6666' ],
	[ [qw(-b udp:::1)], 'udp [::1]:8888' ],
	[ [ '-b', '192.0.2.1,once' ], 'tcp 192.0.2.1:8888, once', 'udp 192.0.2.1:8888' ],
	[ [ '-b', 'tcp:[::1]:6666,once' ], 'tcp [::1]:6666, once' ],
	[ [ '-1', '-b', 'tcp:192.0.2.1' ], 'tcp 192.0.2.1:8888, once' ],
	[ [qw(-b localhost:6666)], 'both 127.0.0.1:6666', 'both [::1]:6666' ],
	[ [qw(-4 -b localhost:6666)], 'both 127.0.0.1:6666' ],
	[ [qw(-6 -b tcp:localhost:6666)], 'tcp [::1]:6666' ],
	[ [qw(-b 0.0.0.0 -b ::)], 'both 0.0.0.0:8888', 'both [::]:8888' ],
	(map { [ ['-b', $_], 'both 0.0.0.0:8888', 'both [::]:8888' ] } '*', '*:8888', ':8888', '8888'),
	[ [ '-b', '*', '-p', 7777 ], 'both 0.0.0.0:7777', 'both [::]:7777' ],
	[ [ '-4', '-b', '*' ],    'both 0.0.0.0:8888' ],
	[ [ '-6', '-b', ':8888' ], 'both [::]:8888' ],
	[ [ '-b', 'tcp:*:6666,once' ], 'tcp 0.0.0.0:6666, once', 'tcp [::]:6666, once' ],
	[ [ '-b', 'udp:6666' ],   'udp 0.0.0.0:6666', 'udp [::]:6666' ],
	[ [ '-b', 'udp::6666' ],  'udp 0.0.0.0:6666', 'udp [::]:6666' ],
	[ [ '-b', 'tcp:6666,once' ], 'tcp 0.0.0.0:6666, once', 'tcp [::]:6666, once' ],
	[ [qw(-b 0.0.0.0 -b 192.0.2.1)], 'both 0.0.0.0:8888', 'both 192.0.2.1:8888' ],
	[ [qw(-b tcp:192.0.2.1:1 -b udp:192.0.2.1:1)], 'both 192.0.2.1:1' ],
	[
		[ '-b', '127.0.0.1:8888,once', '-b', 'tcp:127.0.0.1:9999' ],
		'tcp 127.0.0.1:8888, once', 'udp 127.0.0.1:8888', 'tcp 127.0.0.1:9999'
	],
);

subtest 'forms' => sub {
	for my $form (@forms) {
		my ($arguments, @served) = @{$form};
		my ($code, $output, $errors) =
		    run_cmd(Prefork::program(), '-T', @{$arguments});
		my @expected = map { /^both\s(.*)/ ? ("tcp $1", "udp $1") : $_ } @served;
		is_deeply([ $output =~ /^\#\sserves\s(.*)/gm, $errors ],
			[ @expected, q{} ], "@{$arguments}" || 'by default');
	}
};

subtest 'refused' => sub {
	for my $case ([qw(-b 127.0.0.1 -b 127.0.0.1:8888)], [qw(-b ::1 -b tcp:[0::1])],
		[qw(-b localhost -b 127.0.0.1)], [qw(-p 0 -b 127.0.0.1 -b 127.0.0.1:0)],
		[qw(-4 -b ::1)], [qw(-6 -b 127.0.0.1)], [qw(-b * -b 0.0.0.0)])
	{
		my ($code, $output, $errors) = run_cmd(Prefork::program(), '-t', @{$case});
		is($code, 64, "@{$case}");
		my $why = $case->[0] =~ /^-[46]/ ? 'no IPv\d address' : 'is there twice';
		like($errors, qr/\A.*\bbind\b.*$why.*\n\z/, 'one line says why');
	}
	my %why = (
		'127.0.0.010'       => 'not an IPv4 address',
		'0x7f.1:7'          => 'not an IPv4 address',
		'tcp:127.1'         => 'not an IPv4 address',
		'65536'             => 'the port is not a number, 0 to 65535',
		':65536'            => 'the port is not a number, 0 to 65535',
		q{:}                => 'the host is missing',
		'*:'                => 'the port is not a number, 0 to 65535',
		'::ffff:192.0.2.1'  => 'write it as IPv4',
		'::80'              => 'as in [::]:80',
		'tcp:::1:8080'      => 'as in [::]:80',
		'224.0.0.1'         => 'a multicast or broadcast address',
		'tcp:239.1.2.3:7'   => 'a multicast or broadcast address',
		'udp:[ff02::1%lo]'  => 'a multicast or broadcast address',
		'ff0e::1'           => 'a multicast or broadcast address',
		'255.255.255.255'   => 'a multicast or broadcast address',
	);
	for my $bind (sort keys %why) {
		my ($code, undef, $errors) = run_cmd(Prefork::program(), '-t', '-b', $bind);
		is($code, 64, "-b $bind");
		like($errors, qr/\A.*\Q$bind\E.*\Q$why{$bind}\E.*\n\z/, 'one line says why');
	}
};

# It may come later, as a machine boots: another try may help.
subtest 'an interface that is not there' => sub {
	my ($code, undef, $errors) = run_cmd(Prefork::program(), '-t', '-b', 'fe80::1%no-such');

	is($code, 75, 'exit status');
	like($errors, qr/\A.*fe80::1%no-such.*no\sinterface\sof\sthat\sname\n\z/, 'one line says why');
};

subtest 'an interface that the kernel ignores' => sub {
	plan skip_all => 'no IPv6 here' if !local_addresses6();
	my $server = Prefork->start(qw(-w 2 -p 0 -b ::1%lo));

	is_deeply([ map { $_->[1] } $server->addresses ], [ '::1', '::1' ], 'the ready line');
	serves('::1', $server->port, '-b ::1%lo');
	is($server->stop, 0, 'exit status');
};

subtest 'every address' => sub {
	my @own = (own_address(0), local_addresses6() ? '::1' : ());
	my $server = Prefork->start(qw(-w 2 -p 0 -b *));

	serves($_, $server->port, '-b *') for '127.0.0.1', @own;
	is($server->stop, 0, 'exit status');
};

subtest 'IPv4 and IPv6 are separate' => sub {
	plan skip_all => 'no IPv6 here' if !local_addresses6();
	my $six  = Prefork->start(qw(-w 1 -b [::]:0));
	my $own  = own_address();
	my $port = $six->port;

	serves('::1', $port, '[::] alone');
	is(tcp($own, $port), undef, 'leaves IPv4 alone');
	my $four = Prefork->start('-w', 1, '-b', "$own:$port");
	serves($own, $port, 'another instance has IPv4');
	is($four->stop, 0, 'it stops');
	serves('::1', $port, 'the first goes on');
};

subtest 'localhost' => sub {
	my @six = local_addresses6() ? ('::1') : ();

	for my $case ([ '-4', '127.0.0.1' ], [ '-6', @six ], [ '-v', '127.0.0.1', @six ]) {
		my ($option, @hosts) = @{$case};
		next if !@hosts;
		my $server = Prefork->start(qw(-w 2 -p 0), $option);
		my $port   = $server->port;
		is_deeply([ $server->addresses ],
			[ map { ([ 'tcp', $_, $port ], [ 'udp', $_, $port ]) } @hosts ],
			"$option: @hosts");
		serves($_, $port, $option) for @hosts;
	}
};

subtest 'HOST:PORT' => sub {
	my ($one, $two) = map { own_address($_) } 0, 1;
	my $server = Prefork->start('-w', 2, '-p', 0, '-b', "$one:7777", '-b',
		"tcp:$two:7777", '-b', "udp:$one:7778", '-b', $two);
	my @addresses = map { [ @{$_} ] } $server->addresses;
	my $port = $addresses[-1][2];

	is_deeply(\@addresses,
		[
			[ 'tcp', $one, 7777 ], [ 'udp', $one, 7777 ],
			[ 'tcp', $two, 7777 ], [ 'udp', $one, 7778 ],
			[ 'tcp', $two, $port ], [ 'udp', $two, $port ],
		],
		'the ready line has them in order');
	for my $address (@addresses) {
		my ($kind, $host, $number) = @{$address};
		my $socket = $kind eq 'tcp' ? tcp($host, $number) : udp($host, $number);
		is(echo_once($socket, 'abc'), 'abc', "@{$address}");
	}
};

subtest 'a wildcard and an address with one port' => sub {
	for my $order ([ '0.0.0.0:0', '127.0.0.1:0,once' ],
		[ '127.0.0.1:0,once', '0.0.0.0:0' ])
	{
		my $server = Prefork->start('-w', 2, map { ('-b', $_) } @{$order});
		my $port = $server->port;
		my %ports = map { $_->[2] => 1 } $server->addresses;
		is_deeply([ keys %ports ], [$port], 'one port');
		for my $i (1 .. 4) {
			my $once = tcp('127.0.0.1', $port);
			syswrite $once, 'abc';
			is_deeply([ read_until_eof($once) ], [ 'abc', 'eof' ], 'the address wins');
			my $other = tcp('127.0.0.9', $port);
			is(echo_once($other, $_), $_, 'the wildcard has the rest') for 'abc', 'def';
			is(echo_once(udp("127.0.0.$i", $port), 'abc'), 'abc', "udp 127.0.0.$i");
		}
	}
};

subtest 'port 0 is one port' => sub {
	my @six = local_addresses6() ? qw(-b [::1]:0) : ();
	my $own = own_address();
	my $server = Prefork->start('-w', 4, '-p', 0, '-b', '127.0.0.1', '-b', $own,
		'-b', "udp:$own:7777", @six);
	my %ports = map { $_->[2] => 1 } $server->addresses;

	is_deeply([ sort { $a <=> $b } keys %ports ],
		[ sort { $a <=> $b } 7777, $server->port ], 'both ports are served, the free one and 7777');
	serves($_, $server->port, $_) for '127.0.0.1', $own, @six ? '::1' : ();

	my @others = map { Prefork->start(qw(-w 2 -p 0)) } 1 .. 5;
	%ports = map { $_->port => 1 } @others;
	is(keys %ports, @others, 'every instance has its own');
};

subtest 'no address is shared with another instance' => sub {
	my ($mine, $theirs) = map { own_address($_) } 0, 1;
	my $first = Prefork->start('-w', 1, '-b', "$theirs:7777");

	for my $hosts ([ $mine, $theirs ], [ $theirs, $mine ], [ $mine, '0.0.0.0' ]) {
		my $second = Prefork->spawn('-w', 1, map { ('-b', "$_:7777") } @{$hosts});
		$second->wait_log(qr/\](?:\sready:|\scannot\sstart:)/x);
		my ($why) = $second->log_text =~ /(cannot\sstart:.*)/;
		$second->stop if !$why;
		like($why, qr/:7777:\sin\suse\sby\sprocess\s@{[ $first->pid ]}\s/x, "@{$hosts}");
		is($second->wait_exit, 75, 'exit status');
	}
};

subtest 'names resolve to all their addresses' => sub {
	my @six = local_addresses6() ? ('::1') : ();
	my $hosts = File::Temp->new;
	my @unshare = ('unshare', is_root() ? '-m' : '-rm', 'sh', '-c',
		'mount --bind "$0" /etc/hosts && exec "$@"', "$hosts");

	# As /etc/hosts may well be: one of them is there twice.
	print {$hosts} "$_ manifold.test\n" for '127.0.0.1', '127.0.0.2', '127.0.0.1', @six;
	print {$hosts} "127.0.0.3 single.test\n";
	$hosts->flush;
	my ($code, undef, $errors) = run_cmd(@unshare, 'true');
	plan skip_all => "unshare is not possible: $errors" if $code;

	my $check = sub {
		return run_cmd(@unshare, Prefork::program(), '-T', @_);
	};
	($code, my $output, $errors) = $check->(qw(-b tcp:manifold.test:7777));
	is_deeply([ sort $output =~ /^\#\sserves\s(.*)/gm ],
		[ sort map { /:/ ? "tcp [$_]:7777" : "tcp $_:7777" } '127.0.0.1', '127.0.0.2', @six ],
		'each once');
	is("$code $errors", '0 ', 'without complaint');
	($code, $output, $errors) = $check->(qw(-4 -b udp:single.test));
	is_deeply([ $output =~ /^\#\sserves\s(.*)/gm, $errors ],
		[ 'udp 127.0.0.3:8888', q{} ], 'one family');
	($code, undef, $errors) = $check->(qw(-b missing.test));
	is($code, 68, 'a name that does not resolve');
	like($errors, qr/\A.*missing[.]test.*\n\z/, 'one line says so');

	my $server = Prefork->start({ wrapper => \@unshare }, qw(-w 2 -p 0 -b single.test));
	serves('127.0.0.3', $server->port, 'single.test');
};
done_testing();

sub serves {
	my ($host, $port, $name) = @_;
	my %open = (TCP => \&tcp, UDP => \&udp);

	for my $kind (sort keys %open) {
		my $socket = $open{$kind}->($host, $port);
		is($socket && echo_once($socket, 'abc'), 'abc', "$name: $kind $host");
	}
	return;
}

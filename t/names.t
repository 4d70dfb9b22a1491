#!/usr/bin/perl

# Names, for clients: several addresses, one family only, and a name service
# that does not answer. In namespaces of its own: /etc/hosts is the test's.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::IP;
use Prefork;
use Prefork::Life    qw(temp_dir);
use Prefork::Sockets qw(have local_addresses6);
use Prefork::Tools   qw(now);
use Socket           qw(SOCK_DGRAM);
use Test::More;

my @unshare = qw(unshare -rmn sh -c);
my $set_up  = <<'SHELL';
ip link set lo up && mount --bind "$0/hosts" /etc/hosts &&
mount --bind "$0/resolv.conf" /etc/resolv.conf && exec "$@"
SHELL

if (!$ENV{PREFORK_NAMESPACE}) {
	my $dir = temp_dir();
	write_file("$dir/hosts",
		'127.0.0.9 two.test', '127.0.0.1 two.test', '::1 dual.test',
		'127.0.0.1 dual.test', '::1 six.test', '127.0.0.1 four.test', 'fd00::1 far.test');
	write_file("$dir/resolv.conf", 'nameserver 127.0.0.53');
	plan skip_all => 'no unshare or no ip here' if !have('unshare') || !have('ip');
	my ($code, undef, $errors) = run_cmd(@unshare, $set_up, $dir, 'true');
	plan skip_all => "no namespace can be made here: $errors" if $code;
	$ENV{PREFORK_NAMESPACE} = 1;
	exit system(@unshare, $set_up, $dir, $^X, $0) >> 8;
}

plan skip_all => 'no IPv6' if !local_addresses6();
my @tcp_modes = map { [ '--api', $_ ] } qw(protocol stream poll);
my @all_modes = (@tcp_modes, ['-u']);
my $four = Prefork->start(qw(-w 1 -p 0 -b 127.0.0.1));
my $six  = Prefork->start(qw(-w 1 -p 0 -b ::1));

for my $mode (@all_modes) {
	ends("0 ", @{$mode}, '-p', $four->port, 'four.test');
	ends("0 ", @{$mode}, '-p', $six->port,  'six.test');
	ends("0 ", @{$mode}, '-p', $six->port,  '-6', 'dual.test');
	ends('2 echo-client: DNS: ',     @{$mode}, '-p', $six->port, '-4', 'far.test');
	ends('2 echo-client: REFUSED: ', @{$mode}, '-p', $six->port, 'two.test');
}
for my $mode (@all_modes, [qw(-u -q --count 3 --interval 0)]) {
	ends("0 ", @{$mode}, '-p', $four->port, $_) for qw(two.test dual.test);
	ends("0 ", @{$mode}, '-p', $six->port,  'dual.test');
}
for my $mode ([], ['-c'], ['-u'], [qw(-u --pipeline 8)], [qw(-u -r 200)]) {
	for my $case ([ $four, 'two.test' ], [ $four, 'dual.test' ], [ $six, 'dual.test' ]) {
		my ($server, $name) = @{$case};
		my ($code, $output, $why) = run_cmd(Prefork::program('echo-check'),
			qw(--json -n 4 -d 0.3), @{$mode}, '-p', $server->port, $name);
		is("$code $why", '0 ', "echo-check @{$mode} $name");
		like($output, qr/"sent":\s60,/x, 'all that was due') if "@{$mode}" =~ /-r/;
	}
	my ($code, undef, $why) = run_cmd(Prefork::program('echo-check'), qw(-q -n 4 -d 0.3),
		@{$mode}, '-p', $six->port, 'two.test');
	like("$code $why", qr/^2\secho-check:\sREFUSED:/x, "echo-check @{$mode}: all refuse");
}
for my $mode (@tcp_modes) {
	my (undef, undef, $errors) =
	    run_cmd(Prefork::program('echo-client'), @{$mode}, '-p', $six->port, 'two.test');
	like($errors, qr/127[.]0[.]0[.]$_:\d+: Connection refused/,
		"@{$mode}: every cause is told: $_")
	    for 1, 9;
	(undef, undef, $errors) = run_cmd(Prefork::program('echo-client'), @{$mode},
		'--source', '192.0.2.1', 'two.test');
	like($errors, qr/: source 192[.]0[.]2[.]1:0: /, "@{$mode}: the source is at fault");
}

# A name server that does not answer is asked for as long as --connect-timeout
# says.
my $silent = IO::Socket::IP->new(
	LocalHost => '127.0.0.53',
	LocalPort => 53,
	Type      => SOCK_DGRAM
) or die "udp: $@\n";
for my $mode (@all_modes) {
	my $start = now();
	ends('2 echo-client: TIMEOUT: ',
		@{$mode}, '--connect-timeout', 0.4, 'no-such-name.test');
	my $took = now() - $start;
	ok($took > 0.3 && $took < 5, "@{$mode}: after 0.4 s: $took");
}
done_testing();

# Its status and standard error begin so.
sub ends {
	my ($expect, @arguments) = @_;
	my ($code, undef, $text) =
	    run_cmd({ timeout => 20 }, Prefork::program('echo-client'), @arguments);

	return like("$code $text", qr/\A\Q$expect\E(?:.*\n)?\z/, "@arguments");
}

sub write_file {
	my ($path, @lines) = @_;

	open my $file, '>', $path or die "$path: $!\n";
	print {$file} "$_\n" for @lines;
	return close $file;
}

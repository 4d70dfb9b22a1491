#!/usr/bin/perl

# A start while the machine boots: an IPv6 address that is still tentative, and
# a name server that does not answer yet. Both are waited for, within bounds.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Life;
use Prefork::Sockets qw(have);
use Prefork::Tools qw(spawn_process);
use Test::More;

use constant ADDRESS => '[2001:db8::5]';
# Longer than the program waits, even on a busy machine.
use constant PATIENCE => 60;

my $dir = temp_dir();

plan skip_all => 'unshare(1), nsenter(1) or ip(8) is not installed'
    if grep { !have($_) } qw(unshare nsenter ip);

# A network of its own with a link without carrier, so that an address stays
# tentative until the other end of the link is up; and no name server.
my $resolv = write_file("$dir/resolv.conf", 'nameserver 127.0.0.9');
my $script = <<"END";
set -e
mount --bind $resolv /etc/resolv.conf
ip link set lo up
ip link add d0 type veth peer name d1
ip link set d0 up
ip addr add 2001:db8::5/64 dev d0
exec "\$\@"
END
my @boot = ('unshare', '-nm', '/bin/sh', '-c', $script, 'sh');
my ($code, undef, $errors) = run_cmd(@boot, 'true');
plan skip_all => "no network namespace here: $errors" if $code;

my $waits = qr/still\stentative.*waiting.*until\s\d\d:\d\d:\d\d/x;
my $never = Prefork->spawn({ wrapper => \@boot }, '-w', 1, '-b', ADDRESS);
my $lost  = Prefork->spawn({ wrapper => \@boot }, '-w', 1, '-b',
	'echo.example.org');

late_address();
stopped();
reloaded();
reloaded_slowly();
tested();
is($never->wait_exit(PATIENCE), 75, 'an address that stays tentative: exit 75');
is(count($never->log_text, $waits), 1, 'one line says that the tentative address is waited for');
like($never->log_text, qr/cannot\sstart:.*\Q${\ADDRESS}\E.*tentative/x,
	'the last line names the address that stayed tentative');
is($lost->wait_exit(PATIENCE), 75, 'a name server that never answers: exit 75');
is(count($lost->log_text, qr/trying\sagain\suntil\s\d\d:\d\d:\d\d$/mx),
	1, 'one line says that the name server is waited for');
done_testing();

sub carrier {
	my ($server, $state) = @_;

	return run_cmd('nsenter', '-t', $server->spawned, '-n', 'ip', 'link', 'set',
		'd1', $state);
}

sub late_address {
	my $server = Prefork->spawn({ wrapper => \@boot }, '-w', 2, '-p', 0, '-b',
		ADDRESS, '--worker-timeout', 1);

	ok($server->wait_log($waits), 'a tentative address is waited for');
	carrier($server, 'up');
	ok($server->wait_ready, 'the service is ready once the address is no longer tentative');
	unlike($server->log_text, qr/hangs/, 'the worker did not hang meanwhile');
	is($server->stop, 0, 'exit status');
	return;
}

sub stopped {
	my $server =
	    Prefork->spawn({ wrapper => \@boot }, '-w', 2, '-p', 0, '-b', ADDRESS);

	ok($server->wait_log($waits), 'it waits');
	is($server->stop, 0, 'TERM ends that');
	unlike($server->log_text, qr/killing/, 'in good order');
	return;
}

sub reloaded {
	my $file   = write_file("$dir/conf", 'workers 1', 'port 0', 'bind 127.0.0.1');
	my $server = Prefork->start({ wrapper => \@boot }, '-c', $file);

	write_file($file, 'workers 1', 'port 0', 'bind ' . ADDRESS);
	$server->signal('HUP');
	ok($server->wait_log(qr/\Q${\ADDRESS}\E.*still\stentative/x),
		'a reload does not wait for an address');
	unlike($server->log_text, $waits, 'it says so at once');
	unlike($server->log_text, qr/worker\s\d+\s\(0\)/x, 'with the pid of the worker');
	write_file($file, 'workers 1', 'port 0', 'bind echo.example.org');
	$server->signal('HUP');
	ok($server->wait_log(qr/reload\srefused:.*echo[.]example[.]org/x),
		'a reload does not wait for a name server');
	is($server->stop, 0, 'exit status');
	return;
}

# While the look-ups of a reload take their time, the master goes on.
sub reloaded_slowly {
	my $file   = write_file("$dir/conf", 'workers 2', 'port 0', 'bind 127.0.0.1');
	my $server = Prefork->start({ wrapper => \@boot }, '-c', $file, '--keeper',
		'off');
	my $silent = silent_name_server($server);
	my %worker = $server->workers;

	write_file($file, 'workers 1', 'port 0', 'bind echo.example.org');
	$server->signal('HUP');
	ok($server->wait_log(qr/reloading$/mx), 'a reload begins to look names up');
	my $at = $server->log_size;
	kill 'KILL', $worker{1};
	ok($server->wait_log(qr/started\sworker/x, undef, $at),
		'a worker that dies meanwhile is replaced');
	ok($server->wait_log(qr/reload\srefused:.*no\sname\sserver/x, undef, $at),
		'the reload is refused, with the cause');
	like($server->log_text, qr/started\sworker.*reload\srefused/xs, 'later');
	$at = $server->log_size;
	$server->signal('HUP');
	ok($server->wait_log(qr/reloading$/mx, undef, $at), 'again');
	is($server->stop, 0, 'TERM is obeyed meanwhile');
	is(count($server->log_text, qr/reload\srefused/x), 1, 'at once');
	return;
}

# One that takes questions and does not answer, until the handle is closed.
sub silent_name_server {
	my ($server) = @_;
	my $program = 'use IO::Socket::INET; '
	    . q{my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.9', }
	    . q{LocalPort => 53, Proto => 'udp') or die "$!\n"; }
	    . '$| = 1; print "up\n"; <STDIN>';
	pipe my $up, my $up_w or die "pipe: $!\n";
	pipe my $end, my $end_w or die "pipe: $!\n";
	spawn_process({ stdin => $end, stdout => $up_w }, 'nsenter', '-t',
		$server->spawned, '-n', $^X, '-e', $program);
	close $up_w;
	is(scalar <$up>, "up\n", 'a name server that does not answer');
	return $end_w;
}

sub tested {
	my ($status, undef, $text) = run_cmd(@boot, Prefork::program(), '-t', '-b',
		'echo.example.org');

	is($status, 75, '-t does not wait for a name server: exit 75');
	like($text, qr/\A[^\n]*echo[.]example[.]org[^\n]*\n\z/x, 'one line');
	return;
}

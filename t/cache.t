#!/usr/bin/perl

# contrib/examples/cache with clients that others wrote: memccapable's tests of the
# text protocol, and pymemcache while workers are killed and reloaded.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Temp;
use Prefork;
use Prefork::Life  qw(kill_worker temp_dir);
use Prefork::Tools qw(run_cmd);
use Test::More;

use constant PYTHON  => '/usr/bin/python3';
use constant KILLS   => 20;
use constant CLIENTS => 4;

# Each client increments a counter that all share and one of its own, and sets and
# gets values, until the file is there; then it prints its number of increments.
use constant PROGRAM => <<'END';
import os, sys
from pymemcache.client.base import Client
port, name, end = int(sys.argv[1]), sys.argv[2], sys.argv[3]
c = Client(('127.0.0.1', port), timeout=30)
c.set(name, '0', noreply=False)
print('ready', flush=True)
n = 0
while not os.path.exists(end):
    n += 1
    assert c.incr('all', 1) >= n
    assert c.incr(name, 1) == n
    value = (name * 7919)[:n * 613 % 30000]
    assert c.set('v' + name, value, noreply=False)
    assert c.get('v' + name).decode() == value
print(n)
END

subtest 'memccapable'               => \&capable;
subtest 'pymemcache, killed workers' => \&killed;
subtest 'a value over a reload'     => \&half;
subtest 'a file over an upgrade'    => \&kept;
done_testing();

sub cache {
	my (@options) = @_;

	return Prefork->start({ program => "$Prefork::O/examples/cache" }, qw(-p 0 -4 -w 2), @options);
}

sub capable {
	my ($has) = run_cmd('sh', '-c', 'command -v memccapable');
	$has == 0 or plan skip_all => 'memccapable is missing: it is in libmemcached-tools';
	my $server = cache();
	my ($code, $out, $errors) = run_cmd('memccapable', '-h', '127.0.0.1', '-p', $server->port, '-a');

	is($code, 0, 'all tests of the text protocol pass') or diag("$out$errors");
	is($server->stop, 0, 'exit status');
	return;
}

sub killed {
	my ($has) = run_cmd(PYTHON, '-c', 'import pymemcache');
	$has == 0 or plan skip_all => 'pymemcache is missing: it is in python3-pymemcache';
	my $server = cache();
	my $dir    = File::Temp->newdir;
	my @out    = map { start_client($server, "client$_", $dir) } 1 .. CLIENTS;

	for my $i (1 .. KILLS) {
		kill_worker($server, $i % 2);
		if ($i % 7 == 0) {
			my $from = $server->log_size;
			$server->signal('HUP');
			ok($server->wait_log(qr/\]\sreloaded:/, undef, $from), 'it is reloaded');
		}
	}
	open my $end, '>', "$dir/end" or die "end: $!\n";
	close $end;
	my @n = map { scalar readline $_ } @out;
	ok((!grep { !defined } @n), 'no client had an error');
	my $sum = 0;
	$sum += $_ // 0 for @n;
	my $socket = $server->tcp_socket;
	print {$socket} "get all\r\n";
	$socket->flush;
	my @lines = map { scalar readline $socket } 1 .. 3;
	is($lines[1], "$sum\r\n", "$sum increments, each carried out once");
	close $_ for @out;
	is($server->stop, 0, 'exit status');
	return;
}

# The command is in the block, and half of the value is not consumed yet.
sub half {
	my $server = cache();
	my %old    = $server->workers;
	my $socket = $server->tcp_socket;

	syswrite $socket, "set early 0 0 1\r\n1\r\nset key 0 0 10\r\n01234";
	is(scalar readline $socket, "STORED\r\n", 'the command before');
	my $from = $server->log_size;
	$server->signal('HUP');
	for my $pid (values %old) {
		ok($server->wait_log(qr/\($pid\)\shas\sended/, undef, $from), 'an old worker has ended');
	}
	syswrite $socket, "56789\r\nget key\r\n";
	is(join(q{}, map { scalar readline $socket } 1 .. 4), "STORED\r\nVALUE key 0 10\r\n0123456789\r\nEND\r\n",
		'the whole value');
	close $socket;
	is($server->stop, 0, 'exit status');
	return;
}

# The new program opens the file that has all items of the old one.
sub kept {
	my $dir    = temp_dir();
	my $server = cache('--file', "$dir/zone", '--control', "$dir/socket");
	my $socket = $server->tcp_socket;

	syswrite $socket, "set key 0 0 5\r\nvalue\r\n";
	is(scalar readline $socket, "STORED\r\n", 'a value');
	my $from = $server->log_size;
	$server->signal('USR2');
	ok($server->wait_log(qr/\]\supgraded:/x, undef, $from), 'an upgrade');
	syswrite $socket, "get key\r\nquit\r\n";
	is(join(q{}, readline $socket), "VALUE key 0 5\r\nvalue\r\nEND\r\n", 'keeps it');
	close $socket;
	is($server->stop, 0, 'exit status');
	return;
}

sub start_client {
	my ($server, $name, $dir) = @_;
	my $socket = $server->tcp_socket;

	print {$socket} "add all 0 0 1\r\n0\r\n";
	$socket->flush;
	readline $socket;
	open my $out, '-|', PYTHON, '-c', PROGRAM, $server->port, $name, "$dir/end" or die "python3: $!\n";
	readline $out;
	return $out;
}

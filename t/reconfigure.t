#!/usr/bin/perl

# A reload that changes the service: protocols off and on, addresses more and
# fewer, another poller, another user. Clients of addresses that stay notice
# nothing, and their UDP flows stay where they were.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Check;
use Prefork::Life;
use Test::More;

use constant BOUND => 60; # seconds: echo-check's, which is interrupted before

my $dir    = temp_dir();
my $file   = "$dir/conf";
my @common = ('workers 2', 'port 0', 'bind tcp:127.0.0.1');

write_file($file, @common, 'bind udp:127.0.0.1');
my $server = Prefork->start('-c', $file);
my $port   = $server->port;
my @load   = map { start('-d', BOUND, @{$_}, '-p', $port) }[qw(-n 4)],
    [qw(-c -n 4 -r 200)];

becomes('UDP off');
ok(wait_for(sub { !answers(udp('127.0.0.1', $port)) }), 'UDP off: datagrams are not answered');
becomes('UDP on', 'bind udp:127.0.0.1');
ok(answers(udp('127.0.0.1', $port)), 'datagrams are answered');
push @load, start('-u', '-d', BOUND, '-n', 4, '-p', $port);
becomes('an address more', 'bind udp:127.0.0.1', 'bind 127.0.0.2');
ok(answers($_->('127.0.0.2', $port)), 'the added address serves') for \&tcp, \&udp;
becomes('an address fewer', 'bind udp:127.0.0.1');
ok(wait_for(sub { !defined tcp('127.0.0.2', $port) }), 'the removed address refuses connections');
ok(wait_for(sub { !answers(udp('127.0.0.2', $port)) }), 'for datagrams too');
becomes("poller $_", 'bind udp:127.0.0.1', "poller $_") for qw(poll epoll);
becomes('more workers', 'bind udp:127.0.0.1', 'workers 4');
becomes('fewer workers', 'bind udp:127.0.0.1');
SKIP: {
	skip 'only root can drop privileges', 6 if !is_root() || !as_nobody();
	for my $user (qw(nobody daemon)) {
		becomes("user $user", 'bind udp:127.0.0.1', "user $user");
		is_deeply(users(), [ ($user) x 2 ], 'runs as it');
	}
	becomes('root again', 'bind udp:127.0.0.1');
	is_deeply(users(), [ ('root') x 2 ], 'runs as root');
}

for my $run (@load) {
	kill 'INT', $run->{pid};
	my ($code, $result, $errors) = finish($run);
	is($code, 0, 'a load has lost nothing')
	    or diag($errors, explain(found($result)));
	cmp_ok($result->{echoed}, '>', 0, 'of some');
}
is($server->stop, 0, 'exit status');
done_testing();

# Reloads with these lines besides the common ones.
sub becomes {
	my ($name, @lines) = @_;
	my $offset = $server->log_size;

	write_file($file, @common, @lines);
	$server->signal('HUP');
	ok($server->wait_log(qr/\]\sreloaded:\s\d\sworkers?$/mx, undef, $offset),
		$name);
	return;
}

sub answers {
	my ($socket) = @_;

	return defined $socket && (echo_once($socket, 'x') // q{}) eq 'x';
}

sub users {
	my %workers = $server->workers;

	return [ map { scalar getpwuid((stat "/proc/$_")[4]) } @workers{ 0, 1 } ];
}

#!/usr/bin/perl

# The listeners are with the service manager, too: FDSTORE of sd_notify(3). They
# outlive all processes of the service, and a copy of a closed one takes no client.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use IO::Socket::IP;
use POSIX ();
use Prefork;
use Prefork::Control;
use Prefork::Life;
use Prefork::Manager;
use Prefork::Tools qw(tcp now);
use Socket         qw(SOCK_STREAM SOCK_DGRAM SOL_SOCKET SO_TYPE);
use Test::More;

my $dir = temp_dir();
my $manager = manager();
plan skip_all => 'Perl has no number of recvmsg(2) here' if !$manager;

keeps();
all_killed();
master_killed();
fewer();
other_addresses();
resized();
upgraded();
stopped();
failed();
full();
strangers();
environment();
deaf();
gone();
without();
done_testing();

# A new one, with nothing in its store.
sub manager {
	my $next = ++(state_of()->{count});

	return Prefork::Manager->new("$dir/notify-$next");
}

my $state;
sub state_of { return $state //= {} }

# Two workers with a listener for TCP and one for UDP each.
sub start {
	my (@arguments) = @_;
	my $server = $manager->start(100, qw(-p 0 -4 -w 2 --name stored), @arguments);

	$manager->read_messages;
	return $server;
}

# The same, once all its listeners are in the store.
sub start_stored {
	my ($n, @arguments) = @_;
	my $server = start(@arguments);

	stored($n) or die "the listeners are not stored\n";
	return $server;
}

sub port_of {
	my ($handle) = @_;

	return (Socket::unpack_sockaddr_in(getsockname $handle))[0];
}

sub answer {
	my ($port) = @_;
	my $socket = tcp('127.0.0.1', $port) // return 'no connection';

	return echo_once($socket, 'x', 5) // 'no answer';
}

# Many new clients, so that each listener of a group gets some.
sub all_served {
	my ($port, $name) = @_;

	return is_deeply([ grep { $_ ne 'x' } map { answer($port) } 1 .. 24 ], [], $name);
}

# Reads messages until the store has so many.
sub stored {
	my ($n) = @_;

	return wait_for(sub {
		$manager->read_messages;
		return $manager->names == $n;
	}, 20);
}

sub end {
	my ($server) = @_;

	is($server->stop, 0, 'exit status');
	$manager->read_messages;
	$manager->told;
	return;
}

sub keeps {
	my $server = start_stored(4);
	my @types = map { unpack 'i', getsockopt $_, SOL_SOCKET, SO_TYPE } $manager->handles;

	is_deeply([ sort map { s/-0-[0-9a-f]+-[0-9a-f]+\z//r =~ s/-1-[0-9a-f]+-[0-9a-f]+\z//r } $manager->names ],
		[qw(prefork-0-tcp prefork-0-udp prefork-1-tcp prefork-1-udp)], 'each listener is stored');
	is_deeply([ sort @types ], [ SOCK_STREAM, SOCK_STREAM, SOCK_DGRAM, SOCK_DGRAM ], 'of each kind');
	is_deeply([ grep { $_ != $server->port } map { port_of($_) } $manager->handles ], [],
		'with the port of the service');
	is(scalar(grep { !/\AFDSTORE=1\nFDPOLL=0\nFDNAME=[^:]+\z/ } $manager->told), 0, 'by such messages');
	is((ctl('-s', control_socket($server), 'reload'))[0], 0, 'a reload');
	$manager->wait_message(qr/READY/);
	is_deeply([ $manager->told ], [], 'changes nothing of it');
	end($server);
	is_deeply([ $manager->names ], [], 'a stop empties the store');
	return;
}

# The client is in a queue while no process of the service is there.
sub all_killed {
	my $server = start_stored(4);
	my $port   = $server->port;
	my @names  = sort $manager->names;

	$manager->told;
	$server->kill_tree;
	my @waiting = map { tcp('127.0.0.1', $port) } 1 .. 8;
	is(scalar(grep { defined } @waiting), 8, 'all is killed, and clients connect');
	print {$_} 'early' for @waiting;
	$_->flush for @waiting;
	$server = start();
	is($server->port, $port, 'the next start has the port');
	like($server->log_text, qr/\]\stook[ ]over\s4\slisteners\sthat\sthe\sservice\smanager\shas[ ]kept$/mx,
		'because it has the listeners');
	like($server->log_text, qr/\]\sserving\son\stcp\s127[.]0[.]0[.]1:$port[ ]with\s2\sworkers$/mx, 'the log has the address and the number of workers');
	is_deeply([ map { IO::Select->new($_)->can_read(10) && sysread $_, my $got, 5; $got } @waiting ],
		[ ('early') x 8 ], 'the clients are served');
	all_served($port, 'new ones, too');
	$manager->read_messages;
	is_deeply([ sort $manager->names ], \@names, 'the store has the same listeners');
	is_deeply([ $manager->told ], [], 'the start sends the store no message');
	end($server);
	return;
}

# Then the workers bring the same sockets.
sub master_killed {
	my $server = start_stored(4);
	my $port   = $server->port;
	my @names  = sort $manager->names;
	my $client = $server->tcp_socket(4);

	is(echo_once($client, 'one'), 'one', 'a client');
	$manager->told;
	$server->signal('KILL');
	$server->wait_exit;
	my $next = start();
	$manager->read_messages;
	is($next->port, $port, 'the master is killed, and the next has the port');
	is(echo_once($client, 'two'), 'two', 'the client stays');
	ok(wait_for(sub { $next->log_text =~ /\]\sreloaded|worker\s1\s\(\d+\)\shas\sended/x }, 20), 'the next master replaces the workers');
	$manager->read_messages;
	is_deeply([ sort $manager->names ], \@names, 'the store has the same') or diag($next->log_text);
	is_deeply([ $manager->told ], [], 'without a message');
	all_served($port, 'all are served');
	end($next);
	return;
}

# The next start wants fewer workers: the others' listeners are served, then closed.
sub fewer {
	my $server = start_stored(6, qw(-w 3));
	my $port   = $server->port;

	$server->kill_tree;
	$server = start(qw(-w 1));
	all_served($port, 'fewer workers: a sibling serves the listeners of others');
	ok($server->wait_log(qr/closed\sthe\slisteners\sof\sremoved\sslots;\s1\sworker/x, 30), 'the listeners of removed slots are closed');
	$manager->wait_message(qr/BARRIER/);
	is(scalar $manager->names, 2, 'the store has the listeners of one slot only');
	all_served($port, 'all are served');
	end($server);
	return;
}

sub other_addresses {
	my $server = start_stored(4);

	$server->kill_tree;
	$server = start(qw(-b tcp:127.0.0.2));
	ok(stored(2), 'another address: only its listeners are stored');
	is_deeply([ map { Socket::inet_ntoa((Socket::unpack_sockaddr_in(getsockname $_))[1]) } $manager->handles ],
		[ ('127.0.0.2') x 2 ], 'no listener of the address before is stored');
	end($server);
	return;
}

# Until the manager has closed its copy of a removed listener, no client comes to it.
sub resized {
	my $server = start_stored(4);
	my $port   = $server->port;

	$manager->told;
	$manager->deaf(1);
	is((ctl('-s', control_socket($server), qw(workers 1)))[0], 0, 'one worker less');
	ok($server->wait_log(qr/closed\sthe\slisteners\sof\sremoved\sslots/x, 30), 'its listeners are closed');
	my $end  = now() + 5;
	my $lost = grep { $_ ne 'x' } map { answer($port) } 1 .. 24;
	$lost ||= answer($port) ne 'x' while now() < $end;
	ok(!$lost, 'a slow manager still has them: all are served');
	$manager->deaf(0);
	$manager->wait_message(qr/BARRIER/);
	my @told = $manager->told;
	is(scalar(grep { /\AFDSTOREREMOVE=1\nFDNAME=prefork-1-/ } @told), 2, 'they are removed');
	is($told[-1], 'BARRIER=1', 'the last message is BARRIER=1, so that it waits for the removal');
	is((ctl('-s', control_socket($server), qw(workers 2)))[0], 0, 'one worker more');
	ok(stored(4), 'its listeners are stored');
	all_served($port, 'all are served');
	end($server);
	return;
}

# The next program knows no names, and stores all anew.
sub upgraded {
	my $server = start_stored(4);
	my $client = $server->tcp_socket(4);

	is(echo_once($client, 'one'), 'one', 'a client');
	$manager->told;
	is((ctl('-s', control_socket($server), 'upgrade'))[0], 0, 'an upgrade');
	$manager->wait_message(qr/READY/);
	ok(stored(4), 'each listener is stored again');
	my @told = $manager->told;
	like(join(q{ }, map { /\A(\w+)/ } @told), qr/\A(?:FDSTOREREMOVE\s){4}(?:BARRIER\s)?(?:FDSTORE\s?){4}\z/x,
		'empties the store, and fills it again');
	is(echo_once($client, 'two'), 'two', 'the client stays');

	end($server);
	return;
}

# At once, as without a store: the manager is asked first.
sub stopped {
	my $server = start_stored(4);
	my $port   = $server->port;
	my $pid    = fork // die "fork: $!\n";

	if ($pid == 0) {
		$manager->wait_message(qr/BARRIER/);
		POSIX::_exit(0);
	}
	# The child has copies of its own, and reads.
	$manager->deaf(1);
	@{ $manager->{store} } = ();
	is($server->stop, 0, 'a stop');
	waitpid $pid, 0;
	ok(!tcp('127.0.0.1', $port), 'new clients are refused');
	$manager = manager();
	return;
}

# A service that fails is started again, and its clients wait.
sub failed {
	my $server = start_stored(4);
	my $port   = $server->port;

	kill 'STOP', current_workers($server);
	$server->kill_tree;
	$manager->told;
	my $next = $manager->spawn(100, qw(-p 0 -4 -w 2 --name stored --user nobody-of-that-name));
	cmp_ok($next->wait_exit, q{!=}, 0, 'a start that fails');
	$manager->read_messages;
	is(scalar $manager->names, 4, 'leaves the store alone');
	$next = start();
	is($next->port, $port, 'for the next one');
	end($next);
	return;
}

sub full {
	my $server = $manager->start(3, qw(-p 0 -4 -w 2));

	ok(stored(3), 'a store for three takes three');
	ok($server->wait_log(qr/keeps\s3\sof\s4\slisteners;\sraise\sFileDescriptorStoreMax=/x, 20),
		'the log tells that one of four is not stored');
	is((ctl('-s', control_socket($server), 'reload'))[0], 0, 'a reload');
	is(count($server->log_text, qr/FileDescriptorStoreMax/), 1, 'the log tells it once, over a reload');
	end($server);
	return;
}

# Descriptors of others, and names that tell something else.
sub strangers {
	my $socket = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 5) or die "socket: $!\n";
	my %names = (
		http                               => 0,
		q{}                                => 0,
		'prefork-0-tcp-0-123456789abc-1'   => 1,
		'prefork-99999-tcp-0-1234-1'       => 0,
		'prefork-1-udp-0-123456789abd-1'   => 1,
		'prefork-0-tcp-0-1-1-' . 'x' x 100 => 0,
	);

	$manager->store($_, $socket) for sort keys %names;
	$manager->told;
	my $server = $manager->start(100, qw(-p 0 -w 1 -b tcp:127.0.0.1));
	like($server->log_text, qr/closed\s6\sdescriptors\sof\sthe\sservice\smanager\s[(]LISTEN_FDS[)]/x,
		'descriptors that are not ours are closed');
	$manager->wait_message(qr/BARRIER/);
	my %removed = map { /FDSTOREREMOVE=1\nFDNAME=(.*)/ ? ($1 => 1) : () } $manager->told;
	is_deeply([ sort keys %removed ], [ sort grep { $names{$_} } keys %names ],
		'those with a name like ours are removed');
	my ($worker) = current_workers($server);
	is(scalar(grep { (readlink($_) // q{}) eq readlink '/proc/self/fd/' . fileno $socket } map { glob "/proc/$_/fd/*" } $server->pid, $worker),
		0, 'no process has a removed descriptor open');
	all_served($server->port, 'it serves');
	end($server);
	$manager = manager();
	return;
}

# Variables that are another process's, that make no sense, or count too far.
sub environment {
	my @cases = ([ 1, 1, 'x' ], [ 'me', 'many', 'x' ], [ 'me', -1, 'x' ], [ 'me', 4, 'x' ], [ 'me', 1, undef ]);

	for my $case (@cases) {
		my ($pid, $count, $names) = @{$case};
		my $socket = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 5) or die "socket: $!\n";
		my $setup = sub {
			POSIX::dup2(fileno $socket, 3);
			$ENV{LISTEN_PID} = $pid eq 'me' ? $$ : $pid;
			$ENV{LISTEN_FDS} = $count;
			$ENV{LISTEN_FDNAMES} = $names if defined $names;
		};
		my $server = Prefork->start({ setup => $setup }, qw(-p 0 -w 1 -b tcp:127.0.0.1));
		my $closed = count($server->log_text, qr/closed\s1\sdescriptor\sof\sthe\sservice\smanager/x);
		is($closed, $pid eq 'me' && $count =~ /^[14]$/ ? 1 : 0, "LISTEN_PID $pid, LISTEN_FDS $count: its close is logged where it is ours");
		my $name = readlink '/proc/self/fd/' . fileno $socket;
		is(scalar(grep { (readlink($_) // q{}) eq $name } glob '/proc/' . $server->pid . '/fd/*'), 0, "LISTEN_PID $pid, LISTEN_FDS $count: the master has none of them open");
		is(echo_once($server->tcp_socket, 'x'), 'x', 'it serves');
		is($server->stop, 0, 'exit status');
	}
	return;
}

# One that reads nothing delays nobody for long.
sub deaf {
	$manager->deaf(1);
	my $server = $manager->start(100, qw(-p 0 -4 -w 2));

	all_served($server->port, 'a manager that does not read');
	is((ctl('-s', control_socket($server), 'reload'))[0], 0, 'a reload');
	is($server->stop, 0, 'a stop');
	$manager = manager();
	return;
}

# One that is gone does not keep a resize and an upgrade from their end.
sub gone {
	my $server = start_stored(4);

	$manager->end;
	is((ctl('-s', control_socket($server), qw(workers 1)))[0], 0, 'the manager has gone: a resize');
	ok($server->wait_log(qr/manager\skeeps\sno\slisteners\sfrom\snow\son:\sNOTIFY_SOCKET:/x, 20), 'is logged');
	is((ctl('-s', control_socket($server), 'upgrade'))[0], 0, 'an upgrade');
	all_served($server->port, 'all are served');
	is($server->stop, 0, 'exit status');
	$manager = manager();
	return;
}

sub without {
	my $server = $manager->start(0, qw(-p 0 -4 -w 1));

	$manager->read_messages;
	is_deeply([ $manager->told ], [], 'no FDSTORE in the environment, no message');
	end($server);
	return;
}

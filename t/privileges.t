#!/usr/bin/perl

# -u: user, group and supplementary groups are dropped once the sockets are
# open, low ports work under it, and a user without the right gets the reason.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Life;
use Prefork::Sockets qw(asan_env);
use Test::More;

use constant PORT_START => '/proc/sys/net/ipv4/ip_unprivileged_port_start';

my $dir     = temp_dir();
my $program = public_program($dir);
my $as      = as_nobody();

no_new_privileges();
SKIP: {
	skip 'cannot become an ordinary user here', 14 if !$as;
	refused('a low port', 77, qr/cannot\sbind\stcp\s127[.]0[.]0[.]1:7:.*CAP_NET_BIND_SERVICE/x,
		'-q', '-w', 2, '-b', '127.0.0.1:7')
	    if low_ports();
	refused('-u root', 77, qr/'root'/x, '-q', '-p', 0, '-u', 'root');
	refused('an unknown user', 67, qr/'no-such-user'/x,
		'-q', '-p', 0, '-u', 'no-such-user');
	refused('an unknown number', 67, qr/'4000000001'.*two\snumbers/x,
		'-q', '-p', 0, '-u', '4000000001');
	refused('an unknown group', 67, qr/group:\s'no-such-group'/x,
		'-q', '-p', 0, '-u', 'nobody:no-such-group');
	out_of('nproc', 1, qr/log\sprocess:\sfork\(2\):\sno\sprocess.*RLIMIT_NPROC/x);
	out_of('nofile', 9, qr/no\sdescriptor.*RLIMIT_NOFILE/x);
	oneself();
}
SKIP: {
	skip 'only root can drop privileges', 1 if !is_root();
	skip 'this root cannot become another user', 1 if !$as;
	dropped('nobody');
	dropped('nobody:daemon');
	dropped_to_numbers();
	low_port();
	holder_of_another();
	closed_directory();
}
done_testing();

# There the workers could not reach the new program, which would find their addresses
# in use.
sub closed_directory {
	my $closed = "$dir/closed";
	mkdir $closed, oct 700 or die "$closed: $!\n";
	my $server = Prefork->start(qw(-w 1 -p 0 -4 -u nobody --control), "$closed/x.sock");
	my $socket = $server->tcp_socket;
	my $why = qr/user\s\d+\scannot\senter\s\Q$closed\E,\s.*;\schmod\so[+]x\s/x;

	ok($server->wait_log(qr/the\snext\sone\scannot\stake\sits\sworkers[ ]over,.*:\s$why/x),
		'a closed directory: the start warns');
	$server->signal('USR2');
	ok($server->wait_log(qr/upgrade\srefused:\s$why/x), 'a closed directory: no upgrade');
	is(echo_once($socket, 'x'), 'x', 'its client is served');
	chmod oct 711, $closed or die "$closed: $!\n";
	$server->signal('USR2');
	ok($server->wait_log(qr/upgraded:\s/x), 'an open one: an upgrade');
	is(echo_once($socket, 'y'), 'y', 'the client is still served');
	is($server->stop, 0, 'exit status');
	return;
}

# Whether low ports need a privilege here.
sub low_ports {
	my $start = slurp(PORT_START);

	return 1 if $start eq q{} || $start > 7;
	note("$start: the lowest port that needs no privilege");
	return 0;
}

# A field of /proc/PID/status.
sub status {
	my ($pid, $field) = @_;
	my ($value) = slurp("/proc/$pid/status") =~ /^$field:\s*(.*?)\s*$/mx;

	return $value // q{};
}

sub no_new_privileges {
	my $server = Prefork->start('-w', 2, '-p', 0, '-4');

	is(status($_, 'NoNewPrivs'), 1, "no_new_privs of $_")
	    for $server->pid, current_workers($server);
	is($server->stop, 0, 'exit status');
	return;
}

sub refused {
	my ($name, $status, $why, @arguments) = @_;
	my ($code, $output, $errors) = run_cmd(@{$as}, $program, @arguments);

	is($code, $status, "an ordinary user and $name: exit $status");
	like($errors, qr/\A[^\n]*$why[^\n]*\n\z/x, 'one line that says why');
	return;
}

# Where a limit leaves too little.
sub out_of {
	my ($limit, $left, $why) = @_;
	# LeakSanitizer would clone a process, which the limit forbids.
	my $env = asan_env('detect_leaks=0');
	my ($code, undef, $errors) = run_cmd({ env => $env }, @{$as}, '/usr/bin/env', 'prlimit',
		"--$limit=$left", $program, qw(-q -w 1 -p 0 -4));

	is($code, 71, "$limit $left: exit status");
	return like($errors, $why, 'the limit is named');
}

# An ordinary user may ask for its own user.
sub oneself {
	my ($code, $uid) = run_cmd(@{$as}, '/usr/bin/env', 'id', '-u');
	chomp $uid;
	SKIP: {
		skip "user $uid has no name", 2 if !getpwuid $uid;
		my $server = Prefork->start({ program => $program, wrapper => $as },
			'-u', $uid, '-w', 1, '-p', 0, '-4');
		is(echo_once($server->tcp_socket, 'x'), 'x', '-u oneself');
		is($server->stop, 0, 'exit status');
	}
	return;
}

sub dropped {
	my ($user)  = @_;
	my ($name, $group) = split /:/, $user;
	my $uid     = getpwnam $name;
	my $gid     = $group ? getgrnam $group : (getpwnam $name)[3];
	my $server  = Prefork->start('-u', $user, '-w', 2, '-p', 0, '-4');
	my @workers = settled_workers($server, 2);

	for my $pid (@workers) {
		is(status($pid, 'Uid'), join("\t", ($uid) x 4), "-u $user: user");
		is(status($pid, 'Gid'), join("\t", ($gid) x 4), 'group');
		my @groups = split q{ }, status($pid, 'Groups');
		is_deeply([ grep { $_ != $gid && !member($name, $_) } @groups ],
			[], 'supplementary groups: its own');
		is(hex status($pid, $_), 0, $_) for qw(CapPrm CapEff);
	}
	is(status($server->pid, 'Uid'), join("\t", (0) x 4), 'the master stays root');
	is(status($_, 'NoNewPrivs'), 1, "no_new_privs of $_")
	    for $server->pid, @workers;
	is(echo_once($server->tcp_socket, 'x'), 'x', 'tcp');
	is(echo_once($server->udp_socket, 'x'), 'x', 'udp');
	is($server->stop, 0, 'exit status');
	return;
}

# As in a container without a passwd file.
sub dropped_to_numbers {
	my $server = Prefork->start(qw(-u 4000000001:4000000002 -w 1 -p 0 -4));

	for my $pid (settled_workers($server, 1)) {
		is(status($pid, 'Uid'), join("\t", (4_000_000_001) x 4), 'a number: user');
		is(status($pid, 'Gid'), join("\t", (4_000_000_002) x 4), 'group');
		is(status($pid, 'Groups'), '4000000002', 'no supplementary groups');
		is(hex status($pid, $_), 0, $_) for qw(CapPrm CapEff);
	}
	is(echo_once($server->tcp_socket, 'x'), 'x', 'tcp');
	is($server->stop, 0, 'exit status');
	return;
}

sub member {
	my ($name, $gid) = @_;
	my (undef, undef, undef, $members) = getgrgid $gid;

	return scalar grep { $_ eq $name } split q{ }, $members // q{};
}

# Port 7, or another where that is taken.
sub low_port {
	my $server;

	for my $port (7, 13, 17, 19) {
		$server = Prefork->spawn('-v', '-u', 'nobody', '-w', 2, '-b',
			"127.0.0.1:$port");
		last if $server->wait_ready;
		die $server->log_text if $server->wait_exit != 75;
		undef $server;
	}
	SKIP: {
		skip 'all those ports are in use', 5 if !$server;
		my $name = 'port ' . $server->port;
		is(echo_once($server->tcp_socket, 'x'), 'x', "-u nobody, $name: tcp");
		is(echo_once($server->udp_socket, 'x'), 'x', 'udp');
		my (undef, $old) = connect_to($server, 0);
		kill 'KILL', $old;
		ok($server->wait_log(qr/worker\s0\s\($old\)\skilled/x),
			'a worker is killed');
		my ($socket, $pid) = connect_to($server, 0);
		is(echo_once($socket, 'y'), 'y', 'its successor serves');
		unlike(status($pid, 'Uid'), qr/\b0\b/x, 'not as root');
		close $socket;

		# New sockets need root again, and a new worker begins with it.
		$server->signal('TTIN');
		ok($server->wait_log(qr/\[worker-2\s.*serving\son\s.*udp/x),
			'a third worker has sockets of its own');
		$server->signal('HUP');
		ok($server->wait_log(qr/reloaded:\s\d\sworkers$/mx), 'a reload');
		is(echo_once($server->tcp_socket, $_), $_, "connection $_")
		    for 1 .. 4;
		is($server->stop, 0, 'exit status');
	}
	return;
}

# Where the holder is another user's, the message still has the known part.
sub holder_of_another {
	my $first = Prefork->start('-w', 1, '-p', 0, '-4');
	my $bind  = '127.0.0.1:' . $first->port;

	refused("root's port", 75, qr/\Q$bind\E.*in\suse\sby\s.*user\s0/x,
		'-q', '-w', 1, '-b', $bind);
	is($first->stop, 0, 'exit status');
	return;
}

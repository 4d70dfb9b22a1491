#!/usr/bin/perl

# prefork-echo with its workers in the sandbox: they have no rights, serve all kinds
# of load, outlive kills and a dead master, and are confined after each.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Life;
use Prefork::Tools qw(spawn_process);
use Test::More;

use constant {
	NONE  => '0000000000000000',
	KILLS => 4,
};

my $dir = temp_dir();
my ($code, undef, $why) = run_cmd(Prefork::program(), qw(-t --sandbox on -p 0));
is($code, 0, '--sandbox on is an option') or diag($why);
($code, undef, $why) = run_cmd(Prefork::program(), qw(-t --sandbox open -p 0));
is($code, 64, 'with three values');
like($why, qr/auto,\son\sor\soff/x, 'which are named');

my $probe = Prefork->spawn(qw(--sandbox auto -w 1 -p 0 -4));
ok($probe->wait_ready, 'auto: it starts');
my ($line) = $probe->log_text =~ /\]\s(workers\sare\s.*)/x;
is($probe->stop, 0, 'auto: it stops');
if ($line !~ /^workers\sare\sconfined:/x) {
	note("$line: the rest needs all of it");
	done_testing();
	exit 0;
}
confined();
under_load($_) for 'epoll', 'poll';
without_master();
done_testing();

sub status_of {
	my ($pid) = @_;
	my %status = slurp("/proc/$pid/status") =~ /^(Cap\w+|NoNewPrivs|Seccomp):\s+(\w+)/gmx;

	return %status;
}

sub is_confined {
	my ($pid, $name) = @_;
	my %status = status_of($pid);

	is($status{$_}, NONE, "$name: no $_") for qw(CapInh CapPrm CapEff CapAmb);
	is($status{NoNewPrivs}, 1, "$name: no new privileges");
	is($status{Seccomp},    2, "$name: a filter");
	return;
}

sub confined {
	my $server = Prefork->start(qw(--sandbox on -w 1 -p 0 -4), is_root() ? qw(-u nobody) : ());
	my $socket = $server->tcp_socket;

	is(echo_once($socket, 'x'), 'x', 'it serves');
	is_confined({ $server->workers }->{0}, 'a worker');
	my $successor = kill_worker($server, 0);
	is(echo_once($socket, 'y'), 'y', 'a successor goes on');
	is_confined($successor, 'it');
	my $from = $server->log_size;
	$server->signal('HUP');
	ok($server->wait_log(qr/\]\sreloaded:/x, undef, $from), 'a reload');
	is(echo_once($socket, 'z'), 'z', 'the next worker has the connection');
	is_confined({ $server->workers }->{0}, 'it');
	is($server->stop, 0, 'exit status');
	return;
}

sub under_load {
	my ($poller) = @_;
	my $server = Prefork->start(qw(--sandbox on -w 2 -p 0 -4 --poller), $poller);

	for my $load ([qw(-n 16)], [qw(-n 2 -z 64k --pipeline 4)], [qw(-c -n 16)], [qw(-u -n 8)]) {
		my $out = "$dir/report";
		open my $file, '>', $out or die "$out: $!\n";
		my $pid = spawn_process({ stdout => $file, stderr => \*STDERR },
			Prefork::program('echo-check'), '-q', '-d', 600, @{$load}, '-p', $server->port, '127.0.0.1');
		wait_for(sub { my %fd = fds($pid); grep { /^socket:/ } values %fd }, 20);
		kill_worker($server, $_ % 2) for 1 .. KILLS;
		kill 'INT', $pid;
		waitpid $pid, 0;
		is($? >> 8, 0, "$poller, @{$load}: nothing is lost");
	}
	my $from = $server->log_size;
	$server->signal('TTIN');
	ok($server->wait_log(qr/started\sworker\s2/x, undef, $from), "$poller: one worker more");
	$server->signal('TTOU');
	ok($server->wait_log(qr/worker\s2\s\(\d+\)\s(?:has\sended|killed)/x, undef, $from), "$poller: one less");
	unlike($server->log_text, qr/denied/, "$poller: no call was denied");
	is($server->stop, 0, "$poller: exit status");
	return;
}

sub without_master {
	my $probe = Prefork->start(qw(-w 1 -p 0 -4 --control off));
	my $port  = $probe->port;
	is($probe->stop, 0, 'a port that is free');
	my @options = (qw(--sandbox on -w 2), '-b', "127.0.0.1:$port", '--control', "$dir/sock");
	my $first   = Prefork->start(@options);
	my @clients = map { $first->tcp_socket } 1 .. 4;
	is(echo_once($_, 'x'), 'x', 'a connection') for @clients;
	kill 'KILL', $first->pid;
	ok($first->wait_log(qr/(?:serving\son\sfor.*){2}/xs), 'the master dies');
	my $second = Prefork->start(@options);
	like($second->log_text, qr/took[ ]over\s2\sworkers/x, 'the next one takes them over');
	ok($second->wait_log(qr/\]\sreloaded:/x), 'and replaces them');
	is(echo_once($_, 'y'), 'y', 'the connection goes on') for @clients;
	unlike($first->log_text . $second->log_text, qr/denied/, 'no call was denied');
	is($second->stop, 0, 'exit status');
	return;
}

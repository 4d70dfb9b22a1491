#!/usr/bin/perl

# prefork-ctl why: the deaths of workers, with their causes, the callbacks that
# ran, and the fate of their connections.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Control;
use Prefork::Life;
use Prefork::Sockets qw(have);
use Prefork::Tools   qw(run_cmd spawn_process);
use Test::More;

use constant OF_SLOT => 8;

# A sanitizer would take the signal for a fault, and exit.
my %plain = (env => { ASAN_OPTIONS => ($ENV{ASAN_OPTIONS} // q{}) . ':handle_segv=0' });

by_signal();
many();
in_callback();
hung();
without_keeper();
done_testing();

# All that why prints, and that of one slot.
sub why {
	my ($server, @slot) = @_;
	my ($code, $output, $errors) = ctl('-s', control_socket($server), 'why', @slot);

	is("$code$errors", '0', "why @slot");
	return $output;
}

# The deaths of a slot as status --json has them.
sub deaths {
	my ($server, $slot) = @_;

	return grep { $_->{slot} == $slot } @{ status($server)->{deaths} };
}

# Kill a slot's worker, wait for the note of it; its pid. A slot has the pid of its
# last worker until the next one has begun.
sub kill_and_note {
	my ($server, $slot, $signal) = @_;
	my $pid;

	wait_for(sub {
		my $status = status($server);
		my %dead   = map { $_->{pid} => 1 } @{ $status->{deaths} };
		($pid) = map { $_->{state} eq 'serving' && !$dead{ $_->{pid} } ? $_->{pid} : () } $status->{slots}[$slot];
	}, 20);
	kill $signal, $pid;
	ok(wait_for(sub { grep { $_->{pid} == $pid } deaths($server, $slot) }, 20),
		"SIG$signal of worker $slot is noted");
	return $pid;
}

sub by_signal {
	my $server = Prefork->start({%plain}, qw(-w 2 -p 0 -4));

	is(why($server), "no worker has died since the start\n", 'why without a death says that there was none');
	is(why($server, 1), "no worker 1 has died since the start\n", 'why of a slot without a death says that there was none');
	my $first  = kill_and_note($server, 0, 'KILL');
	my $second = kill_and_note($server, 1, 'SEGV');
	my $text   = why($server);
	like($text, qr/\Aworker\s1\s\($second\).*^worker\s0\s\($first\)/msx, 'the latest comes first');
	like($text, qr/\($first\)\s\d{4}-\d\d-\d\d\s[\d:]{8},\s\d+s\sago:
		\skilled\sby\ssignal\s9\s\(SIGKILL\)\n
		\s+it\smeans:\s+sent\sby\sa\sperson,\sor\sby\sthe\skernel[^\n]*\n
		\s+it\sran\sfor:\s+\d+s\n\s+it\swas:\s+in\sno\sdescriptor's\scallback[^\n]*\n
		\s+connections:\sits\ssuccessor\swent\son[ ]with[ ]them\n/x, 'each with its details');
	unlike(why($server, 0), qr/^worker\s1\s/mx, 'of one slot');
	my ($death) = deaths($server, 1);
	is("$death->{pid} $death->{signal}", "$second 11", 'in JSON, too');
	is($death->{exit_status}, undef, 'it has no exit status');
	is((ctl('-s', control_socket($server), 'reload'))[0], 0, 'a reload');
	is(@{ status($server)->{deaths} }, 2, 'a reload does not count as a death');
	is($server->stop, 0, 'exit status');
	return;
}

# A slot that dies again and again hides no other one's death.
sub many {
	my $server = Prefork->start(qw(-w 2 -p 0 -4));

	kill_and_note($server, 1, 'KILL');
	my @pids = map { kill_and_note($server, 0, 'KILL') } 1 .. OF_SLOT + 2;
	is_deeply([ map { $_->{pid} } deaths($server, 0) ],
		[ reverse @pids[ 2 .. $#pids ] ], 'the last deaths of the slot');
	is(deaths($server, 1), 1, 'why lists the death of the other slot, too');
	is(status($server)->{slots}[0]{restarts}, @pids, 'all restarts are counted');
	is($server->stop, 0, 'exit status');
	return;
}

# A signal that a system call of the callback gets.
sub in_callback {
	my $server = Prefork->start({%plain}, qw(-w 1 -p 0 -4));
	my $socket = $server->tcp_socket;
	my ($worker) = current_workers($server);
	my $peer = '127[.]0[.]0[.]1:' . $socket->sockport;

	SKIP: {
		is(echo_once($socket, 'x'), 'x', 'a connection');
		skip 'no strace', 2 if !have('strace');
		my $log = File::Temp->new;
		my $pid = spawn_process({ stdout => $log, stderr => $log }, '/usr/bin/env', 'strace',
			'-p', $worker, '-o', '/dev/null', '-e', 'trace=sendto',
			'-e', 'inject=sendto:signal=SEGV:when=1');
		my $attached = wait_for(sub { slurp("$log") =~ /attached|Operation/ })
		    && slurp("$log") =~ /attached/;
		syswrite $socket, 'hello' if $attached;
		wait_for(sub { deaths($server, 0) }, 20) if $attached;
		kill 'KILL', $pid;
		waitpid $pid, 0;
		skip 'strace cannot attach', 2 if !$attached;
		like(why($server), qr/it\swas:\s+serving\sthe\sconnection\sof\s$peer,\sdescriptor
			\s\d+,[ ]with\s5\sbytes\sof\sit\sin\shand;\sthat\sconnection\swas\sclosed\n/x,
			'a crash in a callback is laid to its connection');
	}
	is($server->stop, 0, 'exit status');
	return;
}

sub hung {
	my $server = Prefork->start(qw(-w 2 -p 0 -4 --worker-timeout 0.5));
	my ($worker) = current_workers($server);

	kill 'STOP', $worker;
	ok(wait_for(sub { @{ status($server)->{deaths} } }, 20), 'a worker that hangs is killed');
	like(why($server), qr/\($worker\).*^\s+cause:\s+its\sloop\sstood\sstill\sfor\s\d+\sms,\sso
		\sthe\smaster\saborted\sit$/msx, 'why has the time that the loop stood still');
	is($server->stop, 0, 'exit status');
	return;
}

sub without_keeper {
	my $server = Prefork->start(qw(-w 1 -p 0 -4 --keeper off));

	kill_worker($server, 0);
	my $text = why($server);
	like($text, qr/connections:\sthey\sended[ ]with[ ]it$/mx, 'why without a keeper: the connections have ended');
	unlike($text, qr/it\swas:/x, 'why without a keeper has no callback');
	is($server->stop, 0, 'exit status');
	return;
}

#!/usr/bin/perl

# Misfortunes that happened once: helpers that stand still themselves, a
# time-out that a reload changes, a parent that ignores SIGCHLD, being process
# 1, a master that dies while a new program is tested, and a syslog daemon that
# stands still, or ends.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::UNIX;
use POSIX ();
use Prefork;
use Prefork::Life;
use Socket qw(SOCK_DGRAM MSG_DONTWAIT);
use Test::More;

use constant CLIENTS => 40;

my $dir = temp_dir();

stalled_adopter();
stalled_heir();
timeout_by_reload();
sigchld_ignored();
process_1();
master_dies_in_test();
many_addresses();
syslog_stream();
syslog_socket();
done_testing();

sub serves {
	my ($server, $when) = @_;
	my @open = map { $server->tcp_socket } 1 .. CLIENTS;
	my @bad  = grep { (echo_once($open[$_], "n$_") // q{}) ne "n$_" } 0 .. $#open;

	return is_deeply(\@bad, [], "everybody is served $when");
}

sub stalled_adopter {
	my $server = Prefork->start('-w', 3, '-p', 0, '-4');
	my %worker = $server->workers;

	kill 'STOP', $worker{1};
	serves($server, 'with one stopped');
	kill 'STOP', $worker{2};
	serves($server, 'with its helper stopped too');
	kill 'CONT', @worker{ 1, 2 };
	serves($server, 'afterwards');
	is_deeply({ $server->workers }, \%worker, 'by the same workers');
	is($server->stop, 0, 'exit status');
	return;
}

sub stalled_heir {
	my $server = Prefork->start('-v', '-w', 2, '-p', 0, '-4');
	my ($socket, $pid) = connect_to($server, 1);
	my $heir = { $server->workers }->{0};

	kill 'STOP', $heir;
	$server->signal('TTOU');
	ok($server->wait_log(qr/worker\s1\s\($pid\)\sis\sleaving/x),
		'a worker leaves, and its heir stands still');
	kill 'CONT', $heir;
	is(echo_once($socket, 'x'), 'x', 'the connection of the leaving worker is served by its continued heir');
	ok($server->wait_log(qr/worker\s1\s\($pid\)\shas\sended/x), 'the leaving worker ends');
	is(echo_once($socket, 'y'), 'y', 'the connection goes on at the heir');
	is($server->stop, 0, 'exit status');
	return;
}

# Off, on, and less.
sub timeout_by_reload {
	my $file = "$dir/conf";
	my @lines = ('workers 1', 'bind 127.0.0.1:0');

	write_file($file, @lines, 'worker-timeout 0');
	my $server = Prefork->start('-c', $file);
	for my $seconds (30, 0, 0.5) {
		my $from = $server->log_size;
		write_file($file, @lines, "worker-timeout $seconds");
		$server->signal('HUP');
		$server->wait_log(qr/\]\sreloaded:/x, undef, $from);
		my $pid = { $server->workers }->{0};
		$from = $server->log_size;
		kill 'STOP', $pid;
		if ($seconds == 0.5) {
			ok($server->wait_log(qr/worker\s0\s\($pid\)\shangs:.*
				worker\s0\s\($pid\)\skilled/xs, undef, $from),
				'less by a reload: it is replaced');
			last;
		}
		after(1.2);
		kill 'CONT', $pid;
		is(echo_once($server->tcp_socket, 'x'), 'x',
			"$seconds s by a reload: it may stand still for a while");
		unlike(substr($server->log_text, $from), qr/hangs/, "$seconds s by a reload: the log reports no hang");
	}
	is($server->stop, 0, 'exit status');
	return;
}

sub sigchld_ignored {
	my $ignore = sub { $SIG{CHLD} = 'IGNORE' };
	my $server = Prefork->start({ setup => $ignore }, '-w', 2, '-p', 0, '-4');
	my $pid    = { $server->workers }->{0};

	kill 'KILL', $pid;
	ok($server->wait_log(qr/worker\s0\s\($pid\)\skilled\sby\ssignal\s9.*restarting/x),
		'SIGCHLD ignored by the parent: a death is seen');
	my ($code, undef, $errors) = run_cmd({ setup => $ignore },
		Prefork::program(), qw(-D -q -l /dev/null -w 1), '-b', '127.0.0.1:' . $server->port);
	is($code, 75, '-D: its exit status comes through');
	like($errors, qr/\A[^\n]*in\suse[^\n]*\n\z/x, '-D: one line says that the address is in use');
	is($server->stop, 0, 'exit status');
	return;
}

# Of a container, say: -s tells it, and strangers that it inherits are reaped.
sub process_1 {
	my @unshare = qw(/usr/bin/env unshare --pid --fork --mount-proc);
	my ($code) = run_cmd(@unshare, 'true');

	SKIP: {
		skip 'no pid namespace here', 4 if $code != 0;
		my $file   = "$dir/pid1";
		my $server = Prefork->start({ wrapper => \@unshare },
			'-P', $file, '-w', 1, '-p', 0, '-4');
		is(slurp($file), '1', 'process 1 of its own world');
		my ($init) = children($server->spawned);
		my @enter = ('/usr/bin/env', 'nsenter', '-t', $init, '-p', '-m', '-r');
		my $before = () = children($init);
		run_cmd(@enter, 'sh', '-c', '(sleep 0.1 &)');
		ok(wait_for(sub { my @left = children($init); @left == $before }, 10), 'it reaps an orphan');
		# With process 1 its namespace ends, and all processes left in
		# it are killed.
		like(join(q{|}, run_cmd(@enter, Prefork::program(), '-P', $file, '-s', 'stop')),
			qr/^(?:0|137)\|\|$/, '-s stop');
		is($server->wait_exit, 0, '-s stop stops the service');
	}
	return;
}

# Hundreds of addresses: all are served, before and after a reload.
# The test of the new program waits for a configuration that does not come.
sub master_dies_in_test {
	my $file = "$dir/becomes-a-fifo";
	write_file($file, 'workers 1');
	my $server = Prefork->start('-c', $file, qw(-p 0 -4 --orphan-timeout 1));

	unlink $file or die "$file: $!\n";
	POSIX::mkfifo($file, oct 600) or die "$file: $!\n";
	$server->signal('USR2');
	open my $fifo, '>', $file or die "$file: $!\n";
	$server->signal('KILL');
	local $SIG{PIPE} = 'IGNORE';
	ok(wait_for(sub { !defined syswrite $fifo, '#' }, 10), 'the test ends with the master');
	close $fifo or die "$file: $!\n";
	return;
}

sub many_addresses {
	my @hosts  = map { "127.1.$_.1" } 1 .. 200;
	my $server = Prefork->start('-w', 2, '-p', 0, map { ('-b', "tcp:$_") } @hosts);
	my ($port) = $server->log_text =~ /tcp\s127[.]1[.]1[.]1:(\d+)/x;
	my %before = fds($server->pid);

	$server->signal('HUP');
	ok($server->wait_log(qr/\]\sreloaded:/x), 'hundreds of addresses: a reload');
	ok(wait_for(sub { my %now = fds($server->pid); keys %now == keys %before }),
		'as many descriptors');
	is_deeply([ grep { !tcp($_, $port) } @hosts ], [], 'all are served');
	is($server->stop, 0, 'exit status');
	return;
}

# Runs a command with this directory for /dev.
sub own_dev {
	my ($dev) = @_;
	my $script = 'for f in null urandom; do : >"$0/$f"; mount --bind /dev/$f "$0/$f"; done
		mount --bind "$0" /dev && exec "$@"';

	mkdir $dev or die "$dev: $!\n";
	return ('/usr/bin/env', 'unshare', '-m', 'sh', '-c', $script, $dev);
}

# As syslog-ng has it with unix-stream: connect(2) of a datagram socket fails.
sub syslog_stream {
	my $dev     = "$dir/dev-stream";
	my @wrapper = own_dev($dev);
	my $daemon  = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => "$dev/log", Listen => 16);
	my ($code)  = run_cmd(@wrapper, 'test', '-S', '/dev/log');
	SKIP: {
		skip 'no mount namespace here', 4 if !$daemon || $code != 0;
		my ($text, @open) = (q{});
		my $hear = sub {
			while (IO::Select->new($daemon)->can_read(0)) {
				push @open, $daemon->accept // last;
			}
			for my $log (IO::Select->new(@open)->can_read(0)) {
				sysread $log, $text, 65_536, length $text;
			}
			return $text;
		};
		my $server = Prefork->spawn({ wrapper => \@wrapper },
			'-l', 'syslog', '-w', 2, '-p', 0, '-4');
		ok(wait_for(sub { $hear->() =~ /\]\sready:/ }, 20), 'syslog by a stream: ready');
		is($server->stop, 0, 'exit status');
		ok(wait_for(sub { $hear->() =~ /\]\sworker\s[01]\s\(\d+\)\shas\sended\n/ }),
			'up to the end');
		is_deeply([ grep { !/^<\d+>\w{3}\s[ \d]\d\s[\d:]{8}\sprefork-echo:\s\[[^<]+$/ } split /\n/, $text ],
			[], 'line by line');
	}
	return;
}

# Only root can have another /dev/log.
sub syslog_socket {
	my $dev     = "$dir/dev";
	my @wrapper = own_dev($dev);

	my $log = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "$dev/log");
	my ($code) = run_cmd(@wrapper, 'test', '-S', '/dev/log');
	SKIP: {
		skip 'no mount namespace here', 9 if !$log || $code != 0;
		my $text = q{};
		my $hear = sub {
			while (defined recv $log, my $line, 4096, MSG_DONTWAIT) {
				$text .= "$line\n";
			}
			return $text;
		};
		my $server = Prefork->spawn({ wrapper => \@wrapper },
			'-l', 'syslog', '-v', '-w', 2, '-p', 0, '-4');
		my $ready = qr/\]\sready:.*\stcp\s127[.]0[.]0[.]1:(\d+)/x;
		ok(wait_for(sub { $hear->() =~ $ready }, 20), 'syslog: ready');
		my ($port) = $text =~ $ready;
		like($text, qr/\[worker-0\s.*\sserving/x, 'a worker has it too');
		my @open = map { tcp('127.0.0.1', $port) } 1 .. 8;
		is_deeply([ map { echo_once($_, 'x') } @open ], [ ('x') x 8 ],
			'no process gets its lines');
		ok(wait_for(sub { $hear->() =~ /recv:\sb'x'/ }), 'the new syslog daemon gets the lines');
		like($text, qr/^<30>\w{3}\s[ \d]\d\s[\d:]{8}\sprefork-echo:\s\[master\s.*\sready:/mx,
			'as syslog(3) sends it');

		# It stands still: its queue holds a few lines.
		is_deeply([ map { echo_once($open[$_ % 8], 'y') } 1 .. 400 ],
			[ ('y') x 400 ], 'a daemon that stands still holds up nobody');
		$hear->();
		ok(wait_for(sub { my $n = () = $hear->() =~ /recv:\sb'y'/g; $n == 400 }),
			'the continued daemon gets all 400 lines');

		# Another takes its place.
		close $log;
		unlink "$dev/log";
		$log = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "$dev/log");
		ok(wait_for(sub { echo_once($open[0], 'w'); $hear->() =~ /recv:\sb'w'/ }),
			'the next daemon hears it');
		close $_ for @open;
		is($server->stop, 0, 'exit status');
	}
	return;
}

#!/usr/bin/perl

# echo-check against prefork-echo: every mode and size, its output, and how it
# ends. Its faults are in echo-check-faults.t.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Temp ();
use IO::Socket::IP;
use JSON::PP ();
use Prefork;
use Prefork::Check;
use Prefork::Life qw(slurp);
use Prefork::Sockets qw(asan_env own_address have);
use Prefork::Tools qw(now);
use Socket qw(SOCK_STREAM SOCK_DGRAM);
use Test::More;

use constant PROGRAM  => Prefork::program('echo-check');
use constant DURATION => 0.2;

my $server = Prefork->start(qw(-w 2 -p 0));
my $once   = Prefork->start(qw(-1 -w 2 -p 0));
my $single = Prefork->start(qw(-w 1 -p 0));
my $port   = $server->port;

for my $options (
	[],
	[qw(-z 16)],
	[qw(-z 17 -n 1)],
	[qw(-z 65536 -n 4)],
	[qw(-z 1M -n 2)],
	[qw(-z 100k -n 2 --pipeline 4)],
	[qw(--pipeline 32)],
	[qw(-n 100)],
	[qw(-r 500)],
	[qw(-r 200 -z 100k)],
	[qw(-c)],
	[qw(-c -z 16)],
	[qw(-c -z 1M -n 2)],
	[qw(-c -r 500 -n 32)],
	[qw(-c --sources 1)],
	[qw(-c --sources 600 -n 32)],
	[qw(-u)],
	[qw(-u -z 16)],
	[qw(-u -z 65507 -n 1)],
	[qw(-q)],
    )
{
	loses_nothing($server, @{$options});
}
plots();
# A worker that stands still is helped by another one, and they may overtake
# each other: only a single one keeps datagrams in order.
for my $options ([qw(-u --pipeline 8 -n 4)], [qw(-u -r 1000)]) {
	loses_nothing($single, @{$options});
}
for my $options ([], [qw(-z 16)], [qw(-z 1000)], [qw(-r 500)], [qw(-n 64)]) {
	loses_nothing($once, '-1', @{$options});
}
SKIP: {
	skip 'no IPv6 here', 1 if !$server->addresses('tcp', 6);
	loses_nothing($server, @{$_}) for [qw(-6)], [qw(-6 -c)], [qw(-6 -u)];
}

subtest 'by name' => sub {
	for my $options ([], ['-c'], ['-u']) {
		my ($code, $result) = check(qw(-d 1 -n 2), @{$options}, qw(-4 -p), $port, 'localhost');
		is($code, 0, "@{$options}") and adds_up($result, 'localhost');
	}
};

subtest 'open loop' => sub {
	for my $options ([], ['-c'], ['-u']) {
		my (undef, $result) = check(qw(-d 0.5 -r 200), @{$options}, '-p', $port);
		is_deeply([ @{$result}{qw(sent unsent)} ], [ 100, 0 ], "@{$options} all that was due");
	}

	# It stands still over the end.
	my $late  = start(qw(-u -n 1 -d 1 -r 4 -p), $port);
	my $began = sub {
		my %open = fds($late->{pid});
		return scalar grep { /^socket:/ } values %open;
	};
	ok(wait_for($began, 20), 'it has begun');
	kill 'STOP', $late->{pid};
	my $from = now();
	wait_for(sub { now() - $from > 1.5 }, 20);
	kill 'CONT', $late->{pid};
	my (undef, $all) = finish($late);
	is_deeply([ @{$all}{qw(sent unsent)} ], [ 4, 0 ], 'late: all that was due');

	# More than any server can answer: due messages stay due for the
	# timeout.
	my ($code, $result) = check(qw(-d 0.1 -t 2 -n 1 -r 10000000 -p), $port);
	is($code, 0, 'too fast');
	is($result->{sent} + $result->{unsent}, 1_000_000, 'all is sent or said to be unsent');
	cmp_ok($result->{unsent}, '>', 0, 'some is unsent');
	adds_up($result, 'too fast');
};

subtest 'the table' => sub {
	my ($code, $output, $errors) = run_cmd(PROGRAM, '-d', DURATION, '-p', $port);
	my @names = $output =~ /^(\S+)/gm;

	is("$code$errors", '0', 'exit status, and no errors');
	is_deeply(\@names, [qw(sent echoed lost p50 p90 p99 p99.9 slowest)], 'rows');
	is_deeply([ run_cmd(PROGRAM, '-q', '-d', DURATION, '-p', $port) ],
		[ 0, q{}, q{} ], '--quiet');
};

subtest 'TAP' => sub {
	my ($code, $output) = run_cmd(PROGRAM, '--tap', '-d', DURATION, '-p', $port);
	my @lines = split /\n/, $output;
	my @kinds = qw(refused reset timeout short mismatch other late duplicate reordered);

	is($code, 0, 'exit status');
	is(shift @lines, '1..10', 'plan');
	like(shift @lines, qr/^ok\s1\s-\s\d+\smessages\swere\sechoed$/x, 'the first');
	is_deeply(\@lines, [ map { 'ok ' . ($_ + 2) . " - $kinds[$_]: 0" } 0 .. $#kinds ], 'kinds');

	my $silent = silent_udp();
	($code, $output) =
	    run_cmd(PROGRAM, qw(--tap -u -n 1 -d 0.1 -t 0.1 -p), $silent->sockport);
	is($code, 1, 'exit status after a loss');
	like($output, qr/^not\sok\s1\s-\s0\smessages.*^not\sok\s4\s-\stimeout:\s[1-9]/msx, 'not ok');
	is((() = $output =~ /^(?:not\s)?ok\s/gmx), 10, 'as planned');
};

subtest 'cannot start' => sub {
	my $free = own_address(3);

	refuses('REFUSED', '-p', 9, $free);
	refuses('REFUSED', '-c', '-p', 9, $free);
	refuses('REFUSED', '-u', '-p', 9, $free);
	refuses('REFUSED', '-r', 100, '-p', 9, $free);
	# Such a name is refused without asking a name server, which may be
	# slow.
	refuses('DNS', @{$_}, qw(-t 30 no..host)) for [], ['-u'], ['-c'];
	# No descriptor left: but the loader needs one.
	my ($code, undef, $errors) = run_cmd('sh', '-c', 'exec 3>&-; ulimit -n 4; exec ' . PROGRAM);
	is($code, 2, 'out of descriptors');
	like($errors, qr/^echo-check:\sOTHER:\s.*\n\z/x, 'out of descriptors: the line begins with OTHER');
};

subtest 'a black hole' => sub {
	my ($full, @stuck) = full_socket();

	plan skip_all => 'a full backlog takes more here' if !$full;
	refuses('TIMEOUT', @{$_}, qw(-t 0.3 -p), $full->sockport) for [], ['-c'], ['-1'];

	my $silent = silent_udp();
	my ($code, $result) = check(qw(-u -d 0.1 -t 0.2 -p), $silent->sockport);
	is($code, 1, 'UDP: exit status');
	is_deeply(found($result), { timeout => $result->{sent} }, 'UDP: timeouts');
};

subtest 'bad options' => sub {
	for my $options (
		['--no-such'],        [qw(-p 0)],
		[qw(-p 65536)],       [qw(-p x)],
		[qw(-n 0)],           [qw(-z 15)],
		[qw(-z 1048577)],     [qw(-r -1)],
		[qw(-d 0)],           [qw(-d x)],
		[qw(-t 0)],           [qw(--pipeline 0)],
		[qw(--sources 0)],    [qw(-4 -6)],
		[qw(--json --tap)],   [qw(-u -1)],    [qw(--plot --json)],
		[qw(-u -c)],          [qw(-1 -c)],
		[qw(-u -z 65508)],    [qw(-r 1 --pipeline 2)],
		[qw(a b)],            [qw(-4 ::1)],
		[qw(-6 127.0.0.1)],   [qw(--sources 2 ::1)],
		[qw(-p)],
	    )
	{
		my ($code, $output, $errors) = run_cmd(PROGRAM, @{$options});
		is("$code$output", '2', "@{$options}");
		like($errors, qr/\Aecho-check:\s[^\n]+\n\z/x, 'one line') or diag($errors);
	}
};

subtest 'version, full disk' => sub {
	my ($code, $output) = run_cmd(PROGRAM, '--version');

	is($code, 0, '--version');
	like($output, qr/^echo-check\s\d+[.]\d+[.]\d+(?:-rc\d+)?\n\z/x, '--version prints the version only');
	for my $option ('--help', '--version', '--json', '--tap', '-c') {
		($code, undef, my $errors) = run_cmd('sh', '-c',
			"exec @{[PROGRAM]} $option -d 0.1 -p $port >/dev/full");
		is($code, 2, "$option >/dev/full");
		like($errors, qr/\Aecho-check: cannot write: [^\n]+\n\z/, "$option: the error says that it cannot write");
	}
};

subtest 'one look-up' => sub {
	my $trace = File::Temp->new;
	my @strace = (qw(strace -f -qq -o), "$trace", '-e', 'trace=clone,clone3,fork');

	plan skip_all => 'strace does not work here'
	    if !have('strace') || (run_cmd(@strace, 'true'))[0] != 0;
	# The leak sanitizer would clone one of its own.
	local %ENV = (%ENV, %{ asan_env('detect_leaks=0') });
	for my $options ([], ['-u'], ['-c']) {
		run_cmd(@strace, PROGRAM, @{$options}, qw(-n 20 -d 0.2), '-p', $port, 'localhost');
		my @forks = grep { /\b(?:clone3?|fork)\(/ } split /^/, slurp("$trace");
		is(scalar @forks, 1, "@{$options}: one child for 20 flows");
	}
};

subtest 'SIGINT' => sub {
	for my $options ([], ['-c'], ['-u'], [qw(-r 100)]) {
		my $run = start(qw(-d 60), @{$options}, '-p', $port);
		ok(wait_for(sub { handles_interrupt($run->{pid}) }), "@{$options} runs");
		kill 'INT', $run->{pid};
		my ($code, $result, $errors) = finish($run);
		ok($result, 'a report') or diag("$code $errors");
		is_deeply(found($result), {}, 'without a loss');
		cmp_ok($result->{seconds}, '<', 60, 'at once');
		adds_up($result, 'SIGINT');
	}

	# With answers still to come the second one ends it.
	my $silent = silent_udp();
	my $run    = start(qw(-u -d 60 -t 60 -p), $silent->sockport);
	ok(wait_for(sub { recv $silent, my $message, 100, Socket::MSG_DONTWAIT }), 'it has sent');
	for (1 .. 10) {
		kill 'INT', $run->{pid};
		last if wait_for(sub { !alive($run->{pid}) }, 1);
	}
	my ($code, $result) = finish($run);
	is($code, 1, 'nothing came back');
	is_deeply([ @{$result}{qw(sent lost)} ], [ 0, 0 ], 'messages on the way are not counted');
};

is($_->stop, 0, 'exit status') for $server, $once, $single;
done_testing();

sub loses_nothing {
	my ($to, @options) = @_;
	my $name = join(q{ }, @options) || 'no options';

	subtest $name => sub {
		my ($code, $result, $errors) =
		    check('-d', DURATION, @options, '-p', $to->port);
		is($code, 0, 'exit status');
		is($errors, q{}, 'standard error') and $result or return;
		is_deeply(found($result), {}, 'no loss');
		cmp_ok($result->{echoed}, '>', 0, 'something was echoed');
		is($result->{unsent}, 0, 'all was sent');
		my ($size) = "@options" =~ /-z\s(\S+)/x;
		my %suffix = (k => 1024, M => 1024 * 1024);
		$size = ($size // 64) =~ /^(\d+)([kM])/x ? $1 * $suffix{$2} : $size // 64;
		is($result->{bytes}, $result->{echoed} * $size, 'bytes');
		adds_up($result, 'JSON');
		ordered($result, 'JSON');
	};
	return;
}

sub refuses {
	my ($word, @arguments) = @_;
	my ($code, $result, $errors) = check('-d', DURATION, @arguments);

	is($code, 2, "@arguments: exit status");
	is($result, undef, 'no report');
	like($errors, qr/\Aecho-check:\s$word:\s[^\n]*\n\z/x, $word) or diag($errors);
	return;
}

sub silent_udp {
	return IO::Socket::IP->new(LocalHost => '127.0.0.1', Type => SOCK_DGRAM)
	    // die "udp: $@\n";
}

# A listening socket with a full queue, and the clients in it.
sub full_socket {
	my $socket = IO::Socket::IP->new(
		LocalHost => '127.0.0.1',
		Type      => SOCK_STREAM,
		Listen    => 1,
	) or die "tcp: $@\n";
	my @stuck;

	for (1 .. 20) {
		my $client = tcp('127.0.0.1', $socket->sockport, Timeout => 0.2)
		    or return ($socket, @stuck);
		push @stuck, $client;
	}
	return;
}

# Whether the process catches SIGINT, as it does when it runs.
sub handles_interrupt {
	my ($pid) = @_;
	my ($mask) = slurp("/proc/$pid/status") =~ /^SigCgt:\s+([[:xdigit:]]+)/mx;

	return hex(substr $mask // '0', -8) & 2;
}

# The distribution adds up, and the course ends where the run has ended.
sub plots {
	my ($code, $output, $errors) = run_cmd(PROGRAM, '--plot', '-d', DURATION, '-p', $port);
	my ($distribution, $course) = $output =~ /\nlatency,[ ]ms\n(.*?)\ncourse,[ ]ms[^\n]*\n(.*)\z/sx
	    or return fail('pictures') || diag($output . $errors);
	my $sum = 0;

	is($code, 0, '--plot');
	$sum += $_ for $distribution =~ /\s([\d.]+)%/gx;
	cmp_ok(abs($sum - 100), '<', 0.5, 'the distribution adds up');
	like($distribution, qr/[ ][#]{40}$/mx, 'its longest bar fills the line');
	like($course, qr/\|.*o/, 'the course has a median');
	unlike($output, qr/[^\n]{80}/, 'no line has 80 characters');
	unlike($course, qr/^\s+lost/mx, 'nothing was lost');
	my ($end) = $course =~ /([\d.]+)[ ]s\n\z/x;
	cmp_ok($end, '>=', DURATION, 'it goes on to the end');
	return;
}

#!/usr/bin/perl

# Bad input: one line on standard error that names the thing, the exit code
# that prefork-echo(8) promises, and nobody left running.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Cwd ();
use IO::Socket::IP;
use Prefork;
use Prefork::Life;
use Test::More;

my $dir     = temp_dir();
my $program = public_program($dir);
my $file    = "$dir/conf";

command_line();
numbers();
binds();
configuration();
unreadable();
files();
ports();
no_process();
good_ends();
my ($status, undef, $errors) = run_cmd({ input => "workers 2\n" },
	Prefork::program(), '-t', '-c', '/dev/stdin');
is("$status$errors", '0', 'a configuration may come by a pipe');
done_testing();

# refused($status, $why, @arguments): see above. -q keeps the log lines before
# the failure off standard error; -t, in @arguments, ends a start that is
# accepted by mistake.
sub refused {
	my ($status, $why, @arguments) = @_;

	return refused_by([], $status, $why, @arguments);
}

sub refused_by {
	my ($wrapper, $status, $why, @arguments) = @_;
	my ($code, $output, $errors) =
	    run_cmd(@{$wrapper}, $program, @arguments);
	my $name = join q{ }, map { shorten($_) } @arguments;

	is($code, $status, "$name: exit $status");
	like($errors, qr/\A[^\n]*$why[^\n]*\n\z/x, '    one line that says why');
	is($output, q{}, '    nothing on standard output');
	ok(wait_for(sub { !left() }), '    no process of it is left');
	return;
}

# For a test's name: short, and without characters that TAP minds.
sub shorten {
	my ($text) = @_;

	$text =~ s/[^ -~]/?/g;
	$text =~ s/\#/No./g;
	return length $text > 50 ? substr($text, 0, 50) . '...' : "'$text'";
}

# The processes that run our copy of the program.
sub left {
	my $path = Cwd::abs_path($program);

	return grep { (readlink("$_/exe") // q{}) eq $path } glob '/proc/[0-9]*';
}

sub command_line {
	refused(64, qr/-x\b.*--help/x,          '-x');
	refused(64, qr/--no-such.*--help/x,     '--no-such');
	refused(64, qr/--no.+such.*--help/x,    "--no\nsuch");
	refused(64, qr/--s\b.*--help/x,         '--s');
	refused(64, qr/--once\b.*no\svalue/x,   '--once=1');
	refused(64, qr/--port\b.*needs\sa/x,    '-p');
	refused(64, qr/--port\b.*needs\sa/x,    '--port');
	refused(64, qr/'extra'.*--help/x,       '-t', 'extra');
	refused(64, qr/'extra'.*--help/x,       '-t', q{--}, 'extra');
	refused(64, qr/--ipv4.*--ipv6/x,        '-t', '-4', '-6');
	refused(64, qr/--verbose.*--quiet/x,    '-t', '-v', '-q');
	refused(64, qr/--signal.*--pid-file/x,  '-s', 'stop');
	refused(64, qr/--poller.*'select'/x,    '-t', '--poller', 'select');
	refused(64, qr/--coalesce.*'40'/x,      '-t', '--coalesce', 40);
	refused(64, qr/--nodelay.*'perhaps'/x,  '-t', '--nodelay', 'perhaps');
	refused(67, qr/user.*'no-such-user'/x,  '-t', '-u', 'no-such-user');
	refused(67, qr/user.*''/x,              '-t', '-u', q{});
	refused(67, qr/user.*'\Q$_\E'/x,        '-t', '-u', $_) for ' 0', '+0';
	refused(67, qr/group.*'\s0'/x,          '-t', '-u', 'root: 0');
	refused(64, qr/--worker-timeout.*0[.]1/x, '-t', '--worker-timeout', '0.01');
	refused(64, qr/--pid-file.*its\sown/x, '-t', '-P', "$dir/x", '-l', "$dir/x");
	# As a start is.
	for my $option (qw(--log --pid-file --control)) {
		refused(73, qr{$dir/none/x\s.*directory\s\Q$dir\E/none:\sNo\ssuch}x, '-t', $option, "$dir/none/x");
		refused(73, qr{directory\s\Q$program\E:\sNot\sa\sdir}x, '-t', $option, "$program/x");
	}
	refused(73, qr/\s\Q$dir\E:\sIs\sa\sdirectory/x, '-t', $_, $dir) for qw(--log --pid-file);
	refused(73, qr/'':\sNo\ssuch\sfile/x, '-t', $_, q{}) for qw(--log --pid-file);
	refused(64, qr/control:.*empty/x, '-t', '--control', q{});
	refused(64, qr/exporter\s'\Q$_->[0]\E':\s.*$_->[1]/x, '-t', '--exporter', $_->[0])
	    for [ q{}, 'missing' ], [ q{:}, 'missing' ], [ 'x:y', 'port' ], [ '127.0.0.1:65536', 'port' ],
	    [ '[::1', '\]' ], [ '1.2.3.4.5', 'IPv4' ], [ 'a' x 256, 'long' ];
	is((run_cmd($program, '-t', '--exporter', $_))[0], 0, "--exporter $_ is good")
	    for '*', '*:1', ':1', '1', 'localhost', '[::1]:1', 'not-looked-up.invalid:1', 'fe80::1%none';
	refused(67, qr/group.*'no-such-group'/x, '-t', '-u', 'nobody:no-such-group');
	refused(67, qr/user.*'u{100}/x,         '-t', '-u', 'u' x 3000);
	return;
}

# Every option that takes a number: [name, good, values that are bad].
sub numeric {
	return (
		[ 'workers',          1, 0, 1025, -1, 'many', '+1', ' 1' ],
		[ 'port',             0, 65_536, -1, '0x50', '80 ', '+80', ' 80' ],
		[ 'max-connections',  1, 0, 10_000_001 ],
		[ 'idle-timeout',     0.5, -1, 31_536_001, 'nan', 'inf', '0x1p3' ],
		[ 'backlog',          1, 0, 2_147_483_648 ],
		[ 'receive-buffer',   '64k', 0, '1T', '64q', '-1' ],
		[ 'send-buffer',      '1M', 0, 2_147_483_648, 'k' ],
		[ 'unsent-limit',     0, -1, 2_147_483_648, '64q' ],
		[ 'keepalive',        '60:10:3', 0, '1:0', '1:1:128', '32768', '1:2:3:4',
			'1:', '+1', '1: 1', ('0' x 61) . '10:99999' ],
		[ 'user-timeout',     1, -1, 2_147_484 ],
		[ 'fastopen',         0, -1, 65_536 ],
		[ 'shutdown-timeout', 8, -0.5, 31_536_001, '1e-10', '+1', ' 1' ],
		[ 'stop-delay',       0, -0.5, 31_536_001 ],
		[ 'drain-timeout',    0, -1, 31_536_001, '1 2' ],
		[ 'worker-timeout',   0, -1, 31_536_001 ],
		[ 'max-per-source',   0, -1, 10_000_001, '+1', ' 1', 'automatic' ],
		[ 'max-per-source',   'auto', -1 ],
	);
}

sub numbers {
	for my $row (numeric()) {
		my ($name, $good, @bad) = @{$row};
		my ($code) = run_cmd($program, '-t', "--$name=$good");
		is($code, 0, "--$name=$good is good");
		refused(64, qr/--$name\b.*'\Q$_\E'/x, '-t', "--$name=$_")
		    for @bad, '1x', q{}, '99999999999999999999';
		write_file($file, '# a comment', "$name = $bad[0]");
		refused(78, qr/\Q$file\E:2:\s$name\b.*'\Q$bad[0]\E'/x,
			'-t', '-c', $file);
	}
	return;
}

sub binds {
	my $bad = sub {
		my ($value, $why) = @_;
		refused(64, qr/--bind.*$why/x, '-t', '-b', $value);
	};

	$bad->(q{},                   qr/''.*missing/x);
	$bad->('tcp:',                qr/'tcp:'.*missing/x);
	$bad->('127.0.0.1:',          qr/'127[.]0[.]0[.]1:'.*port/x);
	$bad->('127.0.0.1:65536',     qr/65536'.*port/x);
	$bad->('127.0.0.1:+80',       qr/[+]80'.*port/x);
	$bad->('127.0.0.1:http',      qr/http'.*port/x);
	$bad->('[::1',                qr/'\[::1'.*\]/x);
	$bad->('[::1]80',             qr/'\[::1\]80'.*PORT/x);
	$bad->('127.0.0.1,twice',     qr/twice'.*once/x);
	$bad->("127.0.0.1\n:http",    qr/127[.]0[.]0[.]1.*http'.*port/x);
	$bad->('a' x $_,              qr/'a{100}.*long/x) for 256, 300, 1_000, 9_000;

	refused(68, qr/'\Q$_\E'/x, '-t', '-b', $_)
	    for 'no-such-host.invalid', 'a' x 255;
	refused(64, qr/'\Q$_\E'/x, '-t', '-b', $_)
	    for '256.0.0.1', '[1:2]:80', '::1::2';
	refused(64, qr/'\Q$_\E'.*fe80::1%eth0/x, '-t', '-b', $_)
	    for 'fe80::1', '[fe80::1]:80', 'udp:fe80::1';
	refused(64, qr/'\Q$_\E'.*multicast/x, '-t', '-b', $_) for '224.0.0.1', 'udp:ff02::1';
	refused(64, qr/'::1'.*IPv4/x,  '-t', '-4', '-b', '::1');
	refused(64, qr/'127.*'.*IPv6/x, '-t', '-6', '-b', '127.0.0.1');
	refused(64, qr/127[.]0[.]0[.]1:8888.*twice/x,
		'-t', '-b', '127.0.0.1', '-b', 'tcp:127.0.0.1:8888');
	refused(64, qr/\[::1\]:8888.*twice/x, '-t', '-b', 'localhost', '-b', '::1');
	return;
}

# [text, line, why]: wrong contents of a file.
sub configuration {
	for my $row (
		[ "port 0\nwrokers 2\n",         2, qr/'wrokers'/x ],
		[ "\n# comment\n\nport\n",       4, qr/port.*value/x ],
		[ "port =\n",                    1, qr/port.*value/x ],
		[ "port = = 7\n",                1, qr/port.*'=\s7'/x ],
		[ "= 7\n",                       1, qr/''/x ],
		[ "once perhaps\n",              1, qr/once.*'perhaps'/x ],
		[ "daemon\n",                    1, qr/'daemon'/x ],
		[ "config /dev/null\n",          1, qr/'config'/x ],
		[ "bind 127.0.0.1:http\n",       1, qr/bind.*http'.*port/x ],
		[ 'bind ' . 'a' x 300 . "\n",    1, qr/bind.*long/x ],
		[ "port 0\nport \0 1\n",         2, qr/zero/x ],
		[ "\xff\xfe\n",                  1, qr/UTF-16/x ],
	    )
	{
		my ($text, $line, $why) = @{$row};
		write_file($file, split /\n/, $text);
		refused(78, qr/\Q$file\E:$line:\s.*$why/x, '-t', '-c', $file);
	}
	write_file($file, 'bind 127.0.0.1', 'bind tcp:127.0.0.1');
	refused(78, qr/127[.]0[.]0[.]1:8888.*twice/x, '-t', '-c', $file);
	write_file($file, 'verbose', 'quiet');
	refused(78, qr/verbose.*quiet/x, '-t', '-c', $file);
	write_file($file, 'ipv4', "pid-file $file");
	refused(78, qr/ipv4.*ipv6/x, '-t', '-6', '-c', $file);
	refused(78, qr/pid-file.*config/x, '-t', '-c', $file);
	write_file($file, 'workers 2', 'port 0');
	truncate $file, (-s $file) - 1 or die "$file: $!\n";
	refused(78, qr/\Q$file\E:.*newline/x, '-t', '-c', $file);
	write_file($file);
	refused(78, qr/\Q$file\E:.*empty/x, '-t', '-c', $file);
	write_file($file, "\0" x 4096);
	truncate $file, 4096 or die "$file: $!\n";
	refused(78, qr/\Q$file\E:.*zero\sbytes/x, '-t', '-c', $file);
	is_deeply([ run_cmd($program, '-t', '-c', '/dev/null') ],
		[ 0, q{}, q{} ], '/dev/null is no file');
	refused(78, qr/only\sonce/x, '-t', '-c', '/dev/stdin');
	return;
}

sub unreadable {
	refused(78, qr/\Q$dir\E:\sIs\sa\sdirectory/x, '-t', '-c', $dir);
	refused(78, qr/\Q$dir\E.none:\sNo\ssuch/x,  '-t', '-c', "$dir/none");
	refused(78, qr/''|cannot\sread/x,           '-t', '-c', q{});
	SKIP: {
		my $as = as_nobody();
		skip 'cannot become an ordinary user here', 12 if !$as;
		write_file($file, 'port 0');
		chmod 0, $file;
		refused_by($as, 78, qr/\Q$file\E:\sPermission\sdenied/x,
			'-t', '-c', $file);
		refused_by($as, 73, qr{/etc/prefork.log:\sPermission}x,
			'-p', 0, '-l', '/etc/prefork.log');
		refused_by($as, 73, qr{/etc/prefork.pid:\sPermission}x,
			'-p', 0, '-P', '/etc/prefork.pid');
		chmod 0644, $file;
	}
	return;
}

sub files {
	refused(73, qr/log\s\Q$dir\E.none.log\scannot\sbe\smade/x,
		'-p', 0, '-l', "$dir/none/log");
	refused(73, qr/log\s\Q$dir\E:\sIs\sa\sdirectory/x, '-p', 0, '-l', $dir);
	refused(73, qr/log/x, '-p', 0, '-l', q{});
	refused(73, qr/pid\sfile\s\Q$dir\E.none.pid\scannot\sbe\smade/x,
		'-p', 0, '-P', "$dir/none/pid");
	refused(73, qr/pid\sfile\s\Q$dir\E:/x, '-p', 0, '-P', $dir);
	refused(73, qr/pid\sfile/x,            '-p', 0, '-P', q{});
	refused(69, qr/\Q$dir\E.none:\sNo\ssuch/x, '-s', 'stop', '-P', "$dir/none");
	return;
}

sub ports {
	my %socket = (
		tcp => IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1),
		udp => IO::Socket::IP->new(LocalHost => '127.0.0.1', Proto => 'udp'),
	);

	for my $protocol (sort keys %socket) {
		my $address = '127.0.0.1:' . $socket{$protocol}->sockport;
		my $why = qr/$protocol\s\Q$address\E:\sin\suse\sby.*\b$$\b/x;
		my @arguments = ('-q', '-w', 2, '-b', '127.0.0.1:0', '-b',
			"$protocol:$address");
		refused(75, $why, @arguments);
		refused(75, $why, @arguments, '-l', "$dir/log");
		refused(75, $why, @arguments, '-D', '-l', "$dir/log");
	}
	refused(75, qr/192[.]0[.]2[.]1:.*no\ssuch\saddress/x,
		'-q', '-b', '192.0.2.1:0');
	return;
}

# No process can be had.
sub no_process {
	SKIP: {
		my $as = as_nobody();
		skip 'cannot become an ordinary user here', 8 if !$as;
		my @prlimit = qw(/usr/bin/env ASAN_OPTIONS=detect_leaks=0
		    prlimit --nproc=0:0);
		my ($code) = run_cmd(@{$as}, @prlimit, '/bin/sh', '-c', '(:); :');
		skip 'this user may always fork', 8 if $code == 0;
		my $why = qr/log\sprocess.*RLIMIT_NPROC/x;
		refused_by([ @{$as}, @prlimit ], 71, $why, '-q', '-p', 0, '-4');
		refused_by([ @{$as}, @prlimit ],
			71, $why, '-q', '-p', 0, '-4', '-l', '/dev/null');
	}
	return;
}

sub good_ends {
	for ([ '--help' => qr/^usage:.*--workers/msx ],
		[ '--version' => qr/\Aprefork-echo\s\d+[.]\d+\S*\n\z/x ])
	{
		my ($option, $text) = @{$_};
		my ($code, $output, $errors) = run_cmd($program, $option);
		is($code, 0, "$option: exit 0");
		like($output, $text, 'on standard output');
		is($errors, q{}, 'nothing on standard error');
		($code, undef, $errors) =
		    run_cmd('/bin/sh', '-c', "'$program' $option >/dev/full");
		is($code, 74, "$option into a full file");
		like($errors, qr/\Aprefork-echo: cannot write: [^\n]+\n\z/, "$option: the error says that it cannot write");
	}
	# An empty line, comments, and lines from another system are all good.
	for my $text (" \n", "# nothing\n", "port 0\r\nonce\r\n", "port=0 # any\n") {
		write_file($file, split /\n/, $text);
		is_deeply([ run_cmd($program, '-t', '-c', $file) ],
			[ 0, q{}, q{} ], 'a good file');
	}
	return;
}

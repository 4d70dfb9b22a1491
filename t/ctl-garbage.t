#!/usr/bin/perl

# prefork-ctl at a socket where another program listens: whatever that says, the
# command ends in time, by no signal, and no byte that a terminal obeys is printed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::UNIX;
use POSIX ();
use Prefork;
use Prefork::Life;
use Prefork::Tools qw(run_cmd);
use Socket         qw(SOCK_STREAM);
use Test::More;

use constant PATIENCE => 60;

my $dir     = temp_dir();
my $path    = "$dir/false.sock";
my $program = Prefork::program('prefork-ctl');
# KiB; ASan takes much more for itself.
my $limit = slurp("$Prefork::O/flags") =~ /-fsanitize/ ? 'unlimited' : 4_000_000;

# All that a terminal may obey, but for the newline and the tab.
my $control = qr/[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]/;
my @texts   = (
	[ 'escapes',            "OK\n\e[2J\e]0;title\a\r\b\x7f",               0 ],
	[ 'controls of UTF-8',  "OK\na\xc2\x9b2J\xc2\xa0\xc3\xa9\xe2\x82\xac", 0 ],
	[ 'stray bytes',        "OK\n\x9b2J\x80\xc3\xff",                      0 ],
	[ 'zero bytes',         "OK\n\0\0x\0\n",                               0 ],
	[ 'a failure',          "ERR 1 \e[2J\n",                               1 ],
	[ 'a large number',     "ERR 99999999999999999999 x\n",                1 ],
	[ 'no number',          "ERR \n",                                      1 ],
	[ 'another protocol',   "\e[2J\xc2\x9b\n",                             76 ],
	[ 'no newline',         "OK \e[2J",                                    76 ],
	[ 'a zero byte before', "OK\0\n",                                      76 ],
	[ 'nothing',            q{},                                           76 ],
);

for my $case (@texts) {
	my ($name, $bytes, $status) = @{$case};
	my ($code, $shown) = ask(sub { send $_[0], $bytes, 0 }, 'status');
	is($code, $status, "$name: exit status") or diag($shown);
	unlike($shown, $control, "$name: nothing that a terminal obeys");
}
my (undef, $shown) = ask(sub { send $_[0], $texts[1][1], 0 }, 'status');
is($shown, "a??2J\xc2\xa0\xc3\xa9\xe2\x82\xac", 'other characters are printed as they are');
noise();
endless();
slow();
done_testing();

# prefork-ctl's exit status and all that it prints, while the code talks to it.
sub ask {
	my ($code, @arguments) = @_;
	my $listener = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => $path, Listen => 5) or die "listen: $!\n";
	my $pid = fork // die "fork: $!\n";

	if (!$pid) {
		local $SIG{PIPE} = 'IGNORE';
		alarm PATIENCE;
		while (my $client = $listener->accept) {
			sysread $client, my $line, 100;
			$code->($client);
		}
		POSIX::_exit(0);
	}
	my ($status, $output, $errors) =
	    run_cmd({ timeout => PATIENCE }, '/bin/sh', '-c', 'ulimit -v "$1"; shift; exec "$@"', 'sh', $limit, $program, '-s', $path, @arguments);
	kill 'KILL', $pid;
	waitpid $pid, 0;
	unlink $path;
	return ($status, $output . $errors);
}

# Of each command that reads an answer.
sub noise {
	srand 1;
	for my $command ([qw(connections)], [qw(connections --json)], [qw(top)], [qw(status --json)], [qw(doctor)]) {
		my ($worst, $obeyed) = (0, 0);
		for (1 .. ($command->[0] eq 'top' ? 3 : 20)) {
			my $bytes = "OK\n" . join q{}, map { chr int rand 256 } 1 .. int rand 2000;
			my ($code, $text) = ask(sub { send $_[0], $bytes, 0 }, @{$command});
			$worst = $code if $code eq 'timeout' || $code > 78;
			$obeyed++ if $text =~ $control;
		}
		is($worst,  0, "@{$command}: ends in order after noise");
		is($obeyed, 0, "@{$command}: and prints none of it that a terminal obeys");
	}
	return;
}

# It ends at the time limit, or before that at a bound.
sub endless {
	my $block = 'x' x 65_536;
	my ($code, $text) = ask(sub { while (send $_[0], $block, 0) { } }, qw(--timeout 3 status));

	like($code, qr/\A(?:69|75)\z/, 'an answer without an end') or diag(substr $text, 0, 200);
	return;
}

sub slow {
	my ($code, $text) = ask(sub { while (send $_[0], 'x', 0) { wait_for(sub { 0 }, 0.05) } },
		qw(--timeout 1 status));

	is($code, 75, 'one byte at a time') or diag($text);
	like($text, qr/no[ ]answer[ ]within[ ]1[ ]s/, 'within the limit');
	return;
}

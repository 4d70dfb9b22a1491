#!/usr/bin/perl

# libprefork-tutorial(7): each step's program is taken from the manual, compiled as a
# reader would, and does what the text says; the last one keeps members and lines
# over killed workers and reloads.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Temp;
use IO::Select;
use Prefork;
use Prefork::Life  qw(kill_worker);
use Prefork::Tools qw(now);
use Socket qw(SOL_SOCKET SO_ERROR SO_RCVBUF);
use Test::More;

use constant TIMEOUT => 60;
# Far more than fill the buffers of a connection.
use constant ROUNDS  => 2000;
use constant MEMBERS => 6;
use constant LINES   => 120;

chdir $Prefork::ROOT or die "chdir: $!\n";

my $dir   = File::Temp->newdir;
my @steps = steps('lib/libprefork-tutorial.7');

is(scalar @steps, 5, 'five steps') or BAIL_OUT('the manual has another form');
builds($_) or BAIL_OUT("step $_ cannot be built") for 1 .. 5;
subtest 'one'   => \&one;
subtest 'two'   => \&two;
subtest 'three' => \&three;
subtest 'four'  => \&four;
subtest 'five'  => \&five;
done_testing();

sub steps {
	my ($path) = @_;

	open my $file, '<', $path or die "$path: $!\n";
	my $page = join q{}, <$file>;
	return map { s/^\\&//gmr =~ s/\\e/\\/gr } $page =~ /^[.]Bd\s-literal.*?\n(.*?\n)[.]Ed/gms;
}

sub builds {
	my ($step) = @_;
	my @sanitize = $Prefork::O =~ /-asan$/ ? '-fsanitize=address,undefined' : ();
	my (undef, $flags) = run_cmd('pkg-config', '--cflags', '--libs', 'libbsd-ctor');

	open my $file, '>', "$dir/$step.c" or die "$dir/$step.c: $!\n";
	print {$file} $steps[ $step - 1 ];
	close $file or die "$dir/$step.c: $!\n";
	my ($code, $output, $errors) = run_cmd({ timeout => TIMEOUT },
		'/usr/bin/env', compiler('flags'), '-std=c11', '-Wall', '-Wextra', '-Werror', @sanitize, '-Ilib',
		'-o', "$dir/room$step", "$dir/$step.c", "$Prefork::O/libprefork.a", split(q{ }, $flags), '-lm');
	return is("$code $output$errors", '0 ', "step $step builds");
}

sub room {
	my ($step, @arguments) = @_;

	return Prefork->start({ program => "$dir/room$step" }, qw(-p 0 -4), @arguments);
}

# Reads so many lines from each socket.
sub hear {
	my ($count, @sockets) = @_;
	my $deadline = now() + TIMEOUT;
	my @texts;

	for my $socket (@sockets) {
		my $text = q{};
		while (($text =~ tr/\n//) < $count) {
			my $select = IO::Select->new($socket);
			$select->can_read($deadline - now()) or last;
			sysread $socket, $text, 65_536, length $text or last;
		}
		push @texts, $text;
	}
	return @texts;
}

sub ends {
	my ($server) = @_;

	is($server->stop, 0, 'exit status');
	unlike($server->log_text, qr/killed|crashed|aborted/, 'no worker died');
	return;
}

sub one {
	my $server = room(1, qw(-w 2));

	is(echo_once($server->tcp_socket, "some\nbytes"), "some\nbytes", 'an echo');
	ends($server);
	return;
}

sub two {
	my $server = room(2, qw(-w 2));
	my $socket = $server->tcp_socket;

	syswrite $socket, $_ for "first\n12", "34\n\n";
	is((hear(3, $socket))[0], "5 bytes: first\n4 bytes: 1234\n0 bytes: \n", 'lines');
	syswrite $socket, 'x' x 250 . "\n";
	is((hear(1, $socket))[0], '199 bytes: ' . 'x' x 200 . '50 bytes: ' . 'x' x 50 . "\n", 'a longer line in pieces');
	ends($server);
	return;
}

sub three {
	my $server  = room(3);
	my @members;

	# One after the other: no line is kept for a member that comes later.
	for my $i (0 .. 2) {
		push @members, $server->tcp_socket;
		syswrite $members[$i], "in\n";
		is(join(q{}, hear(1, @members)), "in\n" x @members, "number $i is in");
	}
	for my $i (0 .. 2) {
		syswrite $members[$i], "line $i\n";
		is(join(q{}, hear(1, @members)), "line $i\n" x 3, "all hear number $i");
	}
	close pop @members;
	syswrite $members[0], "still\n";
	is(join(q{}, hear(1, @members)), "still\n" x 2, 'one has left');
	my $deaf    = $server->tcp_socket;
	my $dropped = 0;
	my $heard   = 0;
	setsockopt $deaf, SOL_SOCKET, SO_RCVBUF, 4096;
	for my $round (1 .. ROUNDS) {
		syswrite $members[0], ('x' x 150 . "\n") x 200;
		$heard += () = join(q{}, hear(200, @members)) =~ /\n/g;
		$dropped = unpack 'i', getsockopt $deaf, SOL_SOCKET, SO_ERROR;
		last if $dropped || $heard != 400 * $round;
	}
	cmp_ok($dropped, '!=', 0, 'a member that does not read is dropped');
	is($heard % 400, 0, 'the others are served');
	ends($server);
	return;
}

sub four {
	my $server  = room(4);
	my @members = map { $server->tcp_socket } 1 .. 3;
	my $text    = q{};
	my @got     = (q{}) x 3;

	for my $i (1 .. 60) {
		my $member = $members[ $i % 3 ];
		syswrite $member, "half of ";
		kill_worker($server, 0) if $i % 4 == 0;
		syswrite $member, "line $i\n";
		$text .= "$i half of line $i\n";
		my @now = hear(1, @members);
		$got[$_] .= $now[$_] for 0 .. 2;
	}
	ok($got[$_] eq $text, "member $_: each line once and in order") for 0 .. 2;
	is((hear(20, $server->tcp_socket))[0], join(q{}, map { "$_ half of line $_\n" } 41 .. 60), 'the history');
	is($server->stop, 0, 'exit status');
	return;
}

sub five {
	my $server  = room(5, qw(-w 2));
	my @members = map { $server->tcp_socket } 1 .. MEMBERS;
	my @got     = (q{}) x MEMBERS;

	for my $i (1 .. LINES) {
		my $member = $members[ $i % MEMBERS ];
		syswrite $member, "half of ";
		kill_worker($server, $i % 2) if $i % 8 == 0;
		if ($i % 20 == 0) {
			my $from = $server->log_size;
			$server->signal('HUP');
			ok($server->wait_log(qr/\]\sreloaded:/, undef, $from), 'it is reloaded');
		}
		syswrite $member, "line $i\n";
		$got[$_] .= (hear(1, $members[$_]))[0] for 0 .. $#members;
	}
	my $text = join q{}, map { "$_ half of line $_\n" } 1 .. LINES;
	for my $i (0 .. $#got) {
		ok($got[$i] eq $text, "member $i: each line once, in order") or diag($got[$i]);
	}
	is((hear(20, $server->tcp_socket))[0], join(q{}, map { "$_ half of line $_\n" } LINES - 19 .. LINES), 'the history');
	is($server->stop, 0, 'exit status');
	return;
}

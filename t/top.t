#!/usr/bin/perl

# prefork-ctl top on a terminal, which script(1) makes: it draws as many slots as
# there is room for, again and again, and leaves the terminal as it found it: after a
# key, after ^C, and when the service ends.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IPC::Open2 qw(open2);
use Prefork;
use Prefork::Life  qw(temp_dir);
use Prefork::Tools qw(echo_once now run_cmd);
use Test::More;

use constant PATIENCE => 30;

(run_cmd(qw(script --version)))[0] eq '0' or plan skip_all => 'script is missing: it is in bsdutils';
my $ctl    = Prefork::program('prefork-ctl');
my $dir    = temp_dir();
my $socket = "$dir/sock";
my $server = Prefork->start(qw(-p 0 -4 -w 8 --control), $socket);

subtest 'drawing'        => \&drawn;
subtest 'signals'        => \&interrupted;
subtest 'a lost service' => \&lost;
done_testing();

# top on a terminal of so many rows, between the terminal's settings and the exit
# status in brackets.
sub top {
	my ($rows) = @_;
	# ^C reaches the shell too, which is to go on.
	my $shell = "trap : INT; stty rows $rows cols 90; stty -g; $ctl -s $socket top; echo \"[\$?]\"; stty -g";
	my %top = (text => q{});
	local $ENV{SHELL} = '/bin/sh';

	$top{pid} = open2($top{out}, $top{in}, qw(script -qec), $shell, '/dev/null');
	return \%top;
}

# False at the end.
sub read_some {
	my ($top) = @_;
	my $bits = q{};

	vec($bits, fileno $top->{out}, 1) = 1;
	select($bits, undef, undef, 1) == 1 or return 1;
	return sysread $top->{out}, $top->{text}, 65_536, length $top->{text};
}

# Whether that has come, from this byte on.
sub sees {
	my ($top, $wanted, $from) = @_;
	my $end = now() + PATIENCE;

	while (now() < $end) {
		return 1 if substr($top->{text}, $from // 0) =~ $wanted;
		read_some($top) or return;
	}
	return;
}

sub key {
	my ($top, $key) = @_;
	return syswrite $top->{in}, $key;
}

sub ends_with {
	my ($top, $code, $how) = @_;

	ok(sees($top, qr/\[\d+\]\s+\S+\s/), "$how: it ends") or diag($top->{text});
	my ($before) = $top->{text} =~ /\A(\S+)\s/;
	my ($status, $after) = $top->{text} =~ /\[(\d+)\]\s+(\S+)\s/;
	is($status, $code, "$how: exit status");
	is($after, $before, "$how: the terminal's settings");
	is(() = $top->{text} =~ /\e\[[?]1049l/g, 1, "$how: the screen from before");
	is(() = $top->{text} =~ /\e\[[?]25h/g, 1, "$how: the cursor");
	close $top->{in};
	sees($top, qr/no such text/);
	waitpid $top->{pid}, 0;
	return;
}

sub drawn {
	my $top = top(7);

	ok(sees($top, qr/SLOT\s+CONNS.*\ball\b/s), 'a first table');
	my ($slots) = $top->{text} =~ /RESTARTS(.*?)\ball\b/s;
	is(join(q{,}, $slots =~ /^\s+(\d)\s/mg), '0,1,2,3', 'as many slots as there is room for');
	my $from = length $top->{text};
	echo_once($server->tcp_socket, 'x' x 500_000);
	# The next table is drawn at once.
	key($top, 'x');
	ok(sees($top, qr/^\s+all\s.*\s[\d.]+[kM]\s/m, $from), 'thousands');
	key($top, 'q');
	ends_with($top, 0, 'q');
	return;
}

sub interrupted {
	my $top = top(30);

	ok(sees($top, qr/^\s+7\s.*\ball\b/ms), 'all slots');
	key($top, "\cC");
	ends_with($top, 0, '^C');
	return;
}

sub lost {
	my $top = top(30);

	ok(sees($top, qr/\ball\b/), 'a table');
	is($server->stop, 0, 'the service ends');
	ends_with($top, 69, 'without a service');
	like($top->{text}, qr/prefork-ctl:\s.*\Q$socket\E/, 'it says why');
	return;
}

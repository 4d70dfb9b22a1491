#!/usr/bin/perl

# No descriptor is left open, no memory is lost or used wrongly: each mode of
# echo-client and each way that it ends, prefork-echo over a reload, and
# echo-check, under valgrind(1).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Life qw(slurp temp_dir);
use Prefork::Peer;
use Prefork::Sockets qw(have own_address reset_connection);
use Test::More;

plan skip_all => 'valgrind is not installed' if !have('valgrind');
plan skip_all => 'valgrind knows no sanitizers and no counters'
    if slurp("$Prefork::O/flags") =~ /-fsanitize|-fprofile/;

my $dir = temp_dir();
my @valgrind = (
	'valgrind', '--track-fds=yes', '--leak-check=full',
	'--errors-for-leak-kinds=definite,indirect,possible',
	'--error-exitcode=99', "--log-file=$dir/%p"
);

# Descriptors that are open until a process ends: its parent's, the log, a
# worker's channel.
my $meant = qr/<inherited\sfrom\sparent>|\bpfk__sink_open\b|\bpfk__child_spawn\b/x;
my @modes = ([qw(--api protocol)], [qw(--api stream)], [qw(--api poll)], ['-u']);
my $server = Prefork->start(qw(-w 1 -p 0));
my $silent = Prefork::Peer->scripted(sub { 1 while sysread $_[0], my $in, 4096 });
my $reset  = Prefork::Peer->scripted(
	sub { sysread $_[0], my $in, 4096; reset_connection($_[0]) });

for my $mode (@modes) {
	my @to = ('-p', $server->port);

	is_clean(0, @{$mode}, @to, qw(--count 2 --interval 0.01 localhost one two));
	is_clean(0, @{$mode}, @to, '-');
	is_clean(2, @{$mode}, 'no-such-name.invalid');
	is_clean(2, @{$mode}, own_address(1));
	is_clean(1, @{$mode}, '--timeout', 0.1, '-p', $silent->port, '127.0.0.1')
	    if $mode->[0] ne '-u';
	is_clean(1, @{$mode}, '-p', $reset->port, '127.0.0.1') if $mode->[0] ne '-u';
}
is_clean(0, '-p', $server->port, qw(--verify -));
is_clean(0, '-p', $server->port, qw(--fastopen 127.0.0.1 text));
is($server->stop, 0, 'the server stops');

# Programs with valgrind as their executable are not found by their own.
my $checked =
    Prefork->start({ wrapper => \@valgrind, timeout => 60 }, qw(-w 1 -p 0 -4));
for (1 .. 2) {
	is(echo_once($checked->tcp_socket, 'text'), 'text', 'prefork-echo: TCP');
	my $udp = $checked->udp_socket;
	send $udp, 'data', 0;
	recv $udp, my $back, 100, 0;
	is($back, 'data', 'UDP');
	my @check = (qw(-d 0.2 -c), '-p', $checked->port, '127.0.0.1');
	is((run_cmd(Prefork::program('echo-check'), @check))[0], 0, 'a load is echoed');
	last if $_ == 2;
	my $offset = $checked->log_size;
	$checked->signal('HUP');
	ok($checked->wait_log(qr/\]\sreloaded/x, 30, $offset), 'reloads');
}
for my $options ([], ['-u'], ['--once'], ['-c']) {
	my ($code) = run_cmd({ timeout => 60 }, @valgrind, Prefork::program('echo-check'),
		qw(-d 0.5), @{$options}, '-p', $checked->port, '127.0.0.1');
	cmp_ok($code, '<', 2, "echo-check @{$options}");
	logs_are_clean("echo-check @{$options}", 1);
}
is($checked->stop, 0, 'it stops');
logs_are_clean('prefork-echo', 2);
done_testing();

sub is_clean {
	my ($status, @arguments) = @_;
	my ($code) = run_cmd({ timeout => 60, input => 'text' }, @valgrind,
		Prefork::program('echo-client'), @arguments);

	is($code, $status, "@arguments: exit status");
	return logs_are_clean("@arguments", 1);
}

# The reports of valgrind, of $least processes or more: nothing lost, no error,
# and no descriptor open but inherited ones.
sub logs_are_clean {
	my ($name, $least) = @_;
	my ($count, @bad) = (0);

	for my $path (glob "$dir/*") {
		my $log = slurp($path);
		$log =~ s/^==\d+==\s?//gm;
		next if $log !~ /^ERROR SUMMARY/m;
		$count++;
		my @open = grep { !/$meant/ } $log =~ /^(Open .*\n(?:\s+\S.*\n)+)/gm;
		push @bad, $log if $log !~ /^ERROR SUMMARY: 0 errors/m || @open;
		unlink $path;
	}
	diag($_) for @bad;
	cmp_ok($count, '>=', $least, "$name: $count logs");
	return is(scalar @bad, 0, "$name: clean");
}

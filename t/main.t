#!/usr/bin/perl

# A program on pfk_main: contrib/examples/greet.c, which has two options of its
# own. Command line and file, checks, reloads, upgrades and commands are the
# library's.

use strict;
use warnings;

use File::Copy ();
use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Life;
use Test::More;

chdir $Prefork::ROOT or die "chdir: $!\n";

my $greet = "$Prefork::O/examples/greet";
my $dir   = temp_dir();
my $file  = "$dir/conf";

options();
listed_in_the_manual();
dump_config();
refusals();
serves_and_reloads();
upgrades();
by_pid_file();
wrong_programs();
done_testing();

sub greet {
	my @arguments = @_;

	return run_cmd($greet, @arguments);
}

# All that the server says to one client.
sub greeting {
	my ($server) = @_;
	my $socket = $server->tcp_socket;

	local $/ = undef;
	return <$socket>;
}

# Soon, because a worker that is to leave may accept one more connection.
sub greets {
	my ($server, $text, $name) = @_;

	return ok(wait_for(sub { greeting($server) eq $text }, 10), $name);
}

sub server {
	my ($options, @arguments) = @_;

	return Prefork->start({ program => $greet, %{$options} },
		'-w', 2, '-p', 0, '-4', @arguments);
}

sub options {
	my ($code, $help) = greet('--help');

	is($code, 0, '--help');
	like($help, qr/^usage:[ ]greet[ ]\[-46DhqTtVv\][ ]\[-b[ ]ADDR\]/x, 'synopsis');
	like($help, qr/^Say[ ]a[ ]line[ ]to[ ]each[ ]client[.]/mx, 'about');
	like($help, qr/^\s+-g,\s--greeting\sTEXT\s+a\sline/mx, 'its own options');
	like($help, qr/--port\sPORT\s.*[(]7777[)]/mx, 'its default port');
	like($help, qr/--idle-timeout\sSEC\s.*never\s[(]0[)]/msx, 'its default idle timeout');
	unlike($help, qr/\[,/x, 'no names of services where there is one');
	unlike($help, qr/Example/x, 'no example where the program has none');
	like($help, qr/prefork-ctl[ ]--help/x, 'the program that commands it');
	is_deeply([ greet('--version') ], [ 0, "greet 1.0\n", q{} ], '--version');
	return;
}

# libprefork(3) has all of the library's options, and no others.
sub listed_in_the_manual {
	my (undef, $help) = greet('--help');
	my %own = map { $_ => 1 } qw(greeting times);
	my @offered = grep { !$own{$_} } $help =~ /^.{6}--([a-z0-9-]+)/mgx;

	open my $page, '<', 'lib/libprefork.3' or die "libprefork.3: $!\n";
	my ($section) =
	    join(q{}, <$page>) =~ /These[ ]are[ ]the[ ]options(.*?)^[.]Sh/msx;
	is_deeply([ sort $section =~ /Fl[ ]-([a-z0-9-]+)/gx ],
		[ sort @offered ], 'the manual lists the options');
	return;
}

sub dump_config {
	my (undef, $output) = greet('-T', '-w', 3, '--times', 4);

	like($output, qr/^[#]\sserves\stcp\s127[.]0[.]0[.]1:7777$/mx, '-T: its addresses');
	unlike($output, qr/serves\sudp/x, 'no UDP, which it does not have');
	like($output, qr/^[#]\sworkers:\s3$/mx,     'its workers');
	like($output, qr/^greeting\shello$/mx,      'a default of its own');
	like($output, qr/^times\s4$/mx,             'a value of its own');
	write_file($file, split /\n/, $output);
	is_deeply([ greet('-T', '-c', $file) ], [ 0, $output, q{} ],
		'the dump of the dump is the same');
	return;
}

sub refusals {
	my $too_much = 'greeting and times make more than 65536 bytes; shorten one';

	is_deeply([ greet('-t') ], [ 0, q{}, q{} ], '-t: good');
	is_deeply([ greet('-t', '-g', 'x' x 100, '--times', 1000) ],
		[ 64, q{}, "greet: $too_much\n" ], 'its own check');
	write_file($file, 'greeting ' . 'x' x 100, 'times 1000');
	is_deeply([ greet('-t', '-c', $file) ],
		[ 78, q{}, "greet: $too_much\n" ], 'the same in a file');
	for ([ [qw(--times 0)] => qr/bad\svalue\s'0'.*1\sto\s1000/x ],
		[ [qw(-b udp:127.0.0.1)] => qr/this\sservice\shas\sno\sUDP/x ],
		[ ['-b', '127.0.0.1,admin'] => qr/no\scomma\smay\sfollow/x ],
		[ [qw(-s stop)]    => qr/--signal\sneeds\s--pid-file/x ],
		[ [qw(--name .x)]  => qr/begin[ ]with[ ]a[ ]dot/x ],
		[ [qw(word)]       => qr/unexpected\sargument\s'word'/x ]) {
		my ($code, undef, $errors) = greet('-t', @{ $_->[0] });
		is($code, 64, "@{ $_->[0] }: bad usage");
		like($errors, $_->[1], 'with the reason');
	}
	return;
}

sub serves_and_reloads {
	my $socket = "$dir/ctl.sock";
	my @ctl = (Prefork::program('prefork-ctl'), '-s', $socket);

	write_file($file, 'greeting one', 'times 2');
	my $server = server({}, '-c', $file, '--control', $socket);
	greets($server, "one\none\n", 'it serves by its file');
	write_file($file, 'greeting two', 'times 1');
	is_deeply([ run_cmd(@ctl, 'reload') ],
		[ 0, "reloaded: 2 workers, changed: greeting one -> two, times 2 -> 1\n", q{} ],
		'reload tells the changes of its own options');
	greets($server, "two\n", 'the new values of its own options are in force');

	write_file($file, 'greeting ' . 'x' x 100, 'times 1000');
	my ($code, undef, $errors) = run_cmd(@ctl, 'reload');
	is($code, 1, 'its check refuses a reload');
	like($errors, qr/greeting\sand\stimes\smake\smore\sthan\s65536/x,
		'prefork-ctl prints the reason of its check');
	ok($server->wait_log(qr/reload\srefused:\sgreeting\sand\stimes/x),
		'as the log does');
	greets($server, "two\n", 'nothing has changed');
	write_file($file, 'greeting three', 'bind 192.0.2.1:7');
	($code, undef, $errors) = run_cmd(@ctl, 'reload');
	is($code, 1, 'an address that no worker can open');
	greets($server, "two\n", 'the old configuration is back');
	write_file($file, 'greeting four');
	is((run_cmd(@ctl, 'reload'))[0], 0, 'a good one');
	greets($server, "four\n", 'counts again');
	is($server->stop, 0, 'exit status');
	return;
}

sub upgrades {
	my $copy = "$dir/greet";

	File::Copy::copy($greet, $copy) or die "$copy: $!\n";
	chmod 0755, $copy;
	my $server = Prefork->start({ program => $copy }, '-w', 1, '-p', 0, '-4',
		'--control', "$dir/up.sock", '-g', 'still here');
	my $pid  = $server->pid;
	my $from = $server->log_size;
	$server->signal('USR2');
	ok($server->wait_log(qr/\]\supgraded/x, undef, $from), 'upgrade');
	is($server->pid, $pid, 'the same process');
	greets($server, "still here\n", 'with the same options');
	is($server->stop, 0, 'exit status');
	return;
}

sub by_pid_file {
	my $pid_file = "$dir/pid";
	my $server = server({}, '-P', $pid_file);

	is((greet('-s', 'reload', '-P', $pid_file))[0], 0, '-s reload');
	ok($server->wait_log(qr/\]\sreloaded:/x), 'reloads');
	is((greet('-s', 'stop', '-P', $pid_file))[0], 0, '-s stop');
	is($server->wait_exit, 0, 'stops');
	ok(!-e $pid_file, 'the stop removes the pid file');
	return;
}

# Mistakes in the program itself: each has one line.
sub wrong_programs {
	my $binary = "$dir/wrong";
	my %wrong = (
		'.port = 1' => 'the first service has no protocol',
		'.services = both' => 'service 0 has both tcp and stream',
		'.services = nameless' => 'service 1 has no name',
		'.services = good, .workers = 1025' => '1025 workers; it is 0 to 1024',
		'.services = good, .options = taken' =>
		    '--port is an option of the library; give it another name',
	);

	for my $fields (sort keys %wrong) {
		builds($binary, $fields);
		my ($code, undef, $errors) = run_cmd($binary);
		is($code, 70, "$fields: exit status");
		like($errors, qr/\Qpfk_main: $wrong{$fields}\E$/mx, "$fields: the line names the cause");
	}
	return;
}

sub builds {
	my ($binary, $fields) = @_;
	my @sanitize =
	    $Prefork::O =~ /-asan$/ ? '-fsanitize=address,undefined' : ();
	my (undef, $flags) = run_cmd('pkg-config', '--cflags', '--libs', 'libbsd-ctor');

	write_file("$binary.c", <<"END");
#include <prefork.h>
static const struct pfk_protocol tcp;
static void connected(struct pfk_stream *s, void *c) { (void)s; (void)c; }
static const struct pfk_service both[] = {{.tcp = &tcp, .stream = connected}, {0}};
static const struct pfk_service nameless[] = {{.tcp = &tcp}, {.tcp = &tcp}, {0}};
static const struct pfk_service good[] = {{.tcp = &tcp}, {0}};
static const struct pfk_option taken[] = {
    {0, "port", "N", PFK_OPT_INT, .max = 1, .help = ""}, {0}};
int main(int argc, char **argv) {
	(void)both, (void)nameless, (void)good, (void)taken;
	return pfk_main(&(struct pfk_program){$fields}, argc, argv);
}
END
	my ($code, $output, $errors) = run_cmd('/usr/bin/env', compiler('flags'),
		@sanitize, '-Ilib', '-o', $binary, "$binary.c",
		"$Prefork::O/libprefork.a", split(q{ }, $flags), '-lm');
	return is("$code $output$errors", '0 ', 'a wrong program builds');
}

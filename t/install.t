#!/usr/bin/perl

# The files of `make install` and their places, below a directory with blanks
# and quotes in its name, and that it is enough: the README's program is built
# with pkg-config against the shared and the static library, and runs. `make
# uninstall` leaves nothing.

use strict;
use warnings;

use File::Find ();
use File::Temp ();
use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Life qw(slurp write_file);
use Test::More;

use constant TIMEOUT => 600;

chdir $Prefork::ROOT or die "chdir: $!\n";

my $stage = File::Temp->newdir(q{it's a "stage" XXXXXX}, TMPDIR => 1);
my $usr   = "$stage/usr";

installs();
finds_files();
checks_configuration();
checks_units();
starts_units();
builds('shared', sub { @_ });
builds('static', sub { map { s/^-lprefork$/-l:libprefork.a/r } @_ });
is_loaded();
uninstalls();
done_testing();

sub installs {
	my ($code, $output, $errors) = run_cmd({ timeout => TIMEOUT }, 'make',
		'install', "O=$Prefork::O", "DESTDIR=$stage", 'PREFIX=/usr');

	is($code, 0, 'make install') or diag($output . $errors);
	return;
}

# Another package's file in a directory of ours stays, and so does the directory.
sub uninstalls {
	my @make = ('make', 'uninstall', "O=$Prefork::O", "DESTDIR=$stage", 'PREFIX=/usr');
	my $other = "$usr/lib/other.so";

	open my $file, '>', $other or die "$other: $!\n";
	close $file or die "$other: $!\n";
	for my $time (qw(once again)) {
		my ($code, $output, $errors) = run_cmd({ timeout => TIMEOUT }, @make);
		is($code, 0, "make uninstall, $time") or diag($output . $errors);
	}
	my @left;
	File::Find::find(sub { push @left, $File::Find::name if !-d }, $usr);
	is_deeply(\@left, [$other], 'the file of another package is left, and nothing else');
	ok(!-e "$usr/share/doc/prefork", 'the directory of our own is gone');
	my ($code, $output, $errors) = run_cmd({ timeout => TIMEOUT }, @make, 'install', 'PREFIX=/a b');
	cmp_ok($code, '!=', 0, 'a PREFIX with blanks is refused');
	like($errors, qr{/a\sb:\sa\splace\sof\sinstallation\shas\sno\sblanks}, 'the error says that a place has no blanks');
	return;
}

sub finds_files {
	my %mode = (
		'bin/echo-check'                           => '755',
		'bin/echo-client'                          => '755',
		'bin/prefork-ctl'                          => '755',
		'bin/prefork-echo'                         => '755',
		'include/prefork.h'                        => '644',
		'lib/libprefork.a'                         => '644',
		'lib/libprefork.so.0'                      => '644',
		'lib/libprefork.so'                        => '644',
		'lib/pkgconfig/libprefork.pc'              => '644',
		'lib/systemd/system/prefork-echo.service'  => '644',
		'lib/systemd/system/prefork-echo@.service' => '644',
		'lib/sysusers.d/prefork-echo.conf'         => '644',
		'share/doc/prefork/kubernetes/echo.yaml'   => '644',
		'share/doc/prefork/monitoring/grafana.json' => '644',
		'share/bash-completion/completions/echo-check'   => '644',
		'share/bash-completion/completions/echo-client'  => '644',
		'share/bash-completion/completions/prefork-ctl'  => '644',
		'share/bash-completion/completions/prefork-echo' => '644',
		'share/doc/prefork/LICENSE'                => '644',
		'share/doc/prefork/README.md'              => '644',
		'share/doc/prefork/examples/cache.c'       => '644',
		'share/doc/prefork/examples/discard.c'     => '644',
		'share/doc/prefork/examples/dns.c'         => '644',
		'share/doc/prefork/examples/dns_file.h'    => '644',
		'share/doc/prefork/examples/kv.c'          => '644',
		'share/doc/prefork/examples/udptime.c'     => '644',
		'share/doc/prefork/logrotate/prefork-echo' => '644',
		'share/doc/prefork/prefork-echo.conf'      => '644',
		'share/man/man1/echo-check.1'              => '644',
		'share/man/man1/echo-client.1'             => '644',
		'share/man/man3/libprefork.3'              => '644',
		'share/man/man7/libprefork-tutorial.7'     => '644',
		'share/man/man8/prefork-ctl.8'             => '644',
		'share/man/man8/prefork-echo.8'            => '644',
	);
	my @exporter = qw(bin/prefork-exporter lib/systemd/system/prefork-exporter.service
	    lib/sysusers.d/prefork-exporter.conf share/man/man8/prefork-exporter.8
	    share/bash-completion/completions/prefork-exporter);

	# It is left out where its library is missing.
	if (-x Prefork::program('prefork-exporter')) {
		$mode{$_} = m{^bin} ? '755' : '644' for @exporter;
	}
	for my $path (sort keys %mode) {
		my @stat = stat "$usr/$path";
		is(@stat ? sprintf('%o', $stat[2] & oct 7777) : 'missing',
			$mode{$path}, $path);
	}
	is(readlink("$usr/lib/libprefork.so"), 'libprefork.so.0', 'the link');
	return;
}

sub checks_configuration {
	my $conf = "$usr/share/doc/prefork/prefork-echo.conf";
	my ($code, $output, $errors) = run_cmd("$usr/bin/prefork-echo", '-t', '-c',
		$conf);

	is($code, 0, 'the example configuration is good') or diag($errors);
	($code, $output) = run_cmd("$usr/bin/prefork-echo", '-T', '-c', $conf);
	is_deeply(
		[ $output =~ /^\#\sserves\s(.*)$/gm ],
		[
			'tcp 127.0.0.1:8888, once', 'udp 127.0.0.1:8888',
			'tcp 127.0.0.1:9999'
		],
		'the configuration has the listeners of both servers'
	);
	return;
}

# The units name programs that are not there yet: give them some that are.
sub checks_units {
	my @units = map { m{([^/]+)$} } glob "$usr/lib/systemd/system/*.service";
	my $plain = File::Temp->newdir;

	# systemd reads quotes in a path as quotes.
	symlink $usr, "$plain/usr" or die "symlink: $!\n";
	for my $name (@units) {
		open my $in, '<', "$usr/lib/systemd/system/$name" or return fail("$name: $!");
		my $unit = join q{}, <$in>;
		like($unit, qr{^ExecStart=/usr/bin/prefork-(?:echo|exporter)\s}m, "$name names its program");
		like($unit, qr{^ExecReload=/usr/bin/prefork-ctl\s.*reload$}mx, "$name has the reload command")
		    if $name =~ /echo/;
		like($unit, qr/^FileDescriptorStoreMax=(\d+)\nEnvironment=FDSTORE=\1$/mx, "$name has a store of listeners")
		    if $name =~ /echo/;
		like($unit, qr/^OOMScoreAdjust=-\d+$/mx, "$name has a score for want of memory") if $name =~ /echo/;
		like($unit, qr/^SystemCallFilter=landlock_create_ruleset\s(?:\w+\s)*seccomp$/mx, "$name allows the calls that confine workers")
		    if $name =~ /echo/;
		comes_back($name, $unit =~ /^(\w+)=(.*)$/gm);
		$unit =~ s{=/usr/bin/}{=$plain/usr/bin/}g;
		SKIP: {
			skip 'systemd-analyze is not installed', 2
			    if !grep { -x "$_/systemd-analyze" } split /:/, $ENV{PATH};
			open my $out, '>', "$stage/$name" or die "$!\n";
			print {$out} $unit;
			close $out or die "$!\n";
			my ($code, $output, $errors) = run_cmd('systemd-analyze', 'verify',
				'--man=no', "$stage/$name");
			is("$code $output$errors", '0 ', "systemd-analyze verify $name");
			($code, $output) = run_cmd('systemd-analyze', 'security', '--offline=true',
				'--threshold=16', "$stage/$name");
			is($code, 0, 'its exposure is 1.6 at most') or diag($output);
		}
	}
	return;
}

# README.md's row for systemd has a command for all that the unit needs, and that
# `make install` does not put there.
sub starts_units {
	my ($row) = slurp("$Prefork::ROOT/README.md") =~ /^[|]\slet\sit\srun\sunder\ssystemd\s[|](.*)[|]$/mx;
	my @commands = ($row // q{}) =~ /`sudo\s([^`]+)`/gx;
	my $unit     = slurp("$usr/lib/systemd/system/prefork-echo.service");
	my ($file)   = $unit =~ m{^ExecStart=\S+\s.*-c\s(/\S+)\s}m;
	my ($user)   = $unit =~ /^User=(\S+)$/m;
	my @copies   = map { m{^cp\s(contrib/([^/\s]+))\s(/\S*/)$} ? [ "$3$2", $1 ] : () } @commands;

	is_deeply([ map { $_->[0] } @copies ], [$file], 'README.md copies the configuration file of the unit');
	ok(-e $copies[0][1], "$copies[0][1] exists") if @copies;
	like(slurp("$usr/lib/sysusers.d/prefork-echo.conf"), qr/^u\s\Q$user\E\s/m, 'sysusers.d has the user of the unit');
	is_deeply([ grep { /^systemd-sysusers$|^systemctl\sdaemon-reload$/ } @commands ],
		[ 'systemd-sysusers', 'systemctl daemon-reload' ], 'README.md makes the user, and lets systemd read the unit');
	is($commands[0],  'make install', 'make install is the first command');
	is($commands[-1], 'systemctl enable --now prefork-echo', 'the start of the unit is the last command');
	return;
}

# After a failure that may pass, an address that comes later say. By default
# systemd tries again after 100 ms, and gives up after five starts in 10 s.
sub comes_back {
	my ($name, %value) = @_;

	is($value{Restart}, 'on-failure', "$name is started again");
	cmp_ok($value{RestartSec} // 0.1, '>', 2, 'never five times in 10 s');
	unlike($value{RestartPreventExitStatus}, qr/\b(?:69|7[0-6])\b/, 'whenever the cause may pass');
	unlike($value{Type} // q{}, qr{forking}, "$name does not fork, so that systemd sees its exit status");
	return;
}

# The flags, with the stage in front of the installed folders.
sub flags {
	local $ENV{PKG_CONFIG_PATH} = "$usr/lib/pkgconfig";
	my ($code, $output, $errors) = run_cmd('pkg-config', '--cflags', '--libs',
		'--keep-system-libs', '--keep-system-cflags', 'libprefork');

	is($code, 0, 'pkg-config') or diag($errors);
	return map { s{^(-[IL])/usr/(include|lib)$}{$1$usr/$2}r } split q{ }, $output;
}

# A shared object that uses the library is loaded into a program that does not.
sub is_loaded {
	my ($object, $program) = map { "$stage/$_" } qw(plugin.so host);
	my @sanitize =
	    $Prefork::O =~ /-asan$/ ? '-fsanitize=address,undefined' : ();

	write_file("$object.c", <<'END');
#include <prefork.h>
#include <stdlib.h>
static void done(void *arg) { *(int *)arg = 42; }
static int nothing(struct pfk_worker *w, void *arg) { (void)w; (void)arg; return 0; }
static int ready(void *arg) { return *(int *)arg; }
int plugin(void);
int plugin(void)
{
	struct pfk_loop *l = pfk_loop_new(NULL);
	const struct pfk_hooks hooks = {.worker_init = nothing, .on_ready = ready};
	const struct pfk_master_config config = {.workers = 1, .control = "off"};
	int n = 0;

	if (l == NULL || pfk_later(l, 1, done, &n) == -1 || pfk_loop_run(l) == -1)
		return 1;
	pfk_loop_free(l);
	return pfk_master_run(&config, &hooks, &n);
}
END
	write_file("$program.c", <<'END');
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv)
{
	void *object = dlopen(argv[argc - 1], RTLD_NOW);
	int (*plugin)(void) = object == NULL ? NULL : (int (*)(void))dlsym(object, "plugin");

	if (plugin == NULL) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	return plugin();
}
END
	my @cc = ('/usr/bin/env', compiler('flags'), @sanitize, '-fPIC');
	my ($code, undef, $errors) = run_cmd({ timeout => TIMEOUT }, @cc, '-shared', '-o', $object,
		"$object.c", flags());
	is("$code $errors", '0 ', 'a shared object builds');
	($code, undef, $errors) = run_cmd({ timeout => TIMEOUT }, @cc, '-o', $program, "$program.c");
	is("$code $errors", '0 ', 'a program that loads the shared object builds');
	($code, undef, $errors) = run_cmd({ env => { LD_LIBRARY_PATH => "$usr/lib" } }, $program, $object);
	is($code, 42, 'dlopen(3) loads it, and its service runs') or diag($errors);
	unlike($errors, qr/setproctitle/, 'without a complaint about titles');
	return;
}

sub builds {
	my ($kind, $choose) = @_;
	my $program = "$stage/$kind";
	my @sanitize =
	    $Prefork::O =~ /-asan$/ ? '-fsanitize=address,undefined' : ();

	open my $readme, '<', 'README.md' or die "README.md: $!\n";
	my ($source) = join(q{}, <$readme>) =~ /^```c\n(.*?)^```$/ms;
	$source =~ s/\b7777\b/0/;
	open my $out, '>', "$program.c" or die "$program.c: $!\n";
	print {$out} $source;
	close $out or die "$program.c: $!\n";
	my ($code, $output, $errors) = run_cmd({ timeout => TIMEOUT },
		'/usr/bin/env', compiler('flags'), '-std=c11', '-Wall', '-Wextra', '-Werror', @sanitize, '-o', $program,
		"$program.c", $choose->(flags()), '-lm');
	is("$code $errors", '0 ', "$kind: the README's program builds")
	    or return;
	($code, $output) = run_cmd({ env => { LD_LIBRARY_PATH => "$usr/lib" } },
		'ldd', $program);
	is($output =~ /libprefork/ ? 'shared' : 'static', $kind, "$kind: it is");

	my $server = Prefork->start(
		{
			program => $program,
			env     => { LD_LIBRARY_PATH => "$usr/lib" }
		}
	);
	is(echo_once($server->tcp_socket, 'hello'), 'hello', "$kind: it echoes");
	is($server->stop, 0, "$kind: and stops");
	return;
}

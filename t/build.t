#!/usr/bin/perl

# The makefile: other directories than its own, other compilers, other flags,
# and the targets for editors.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Cwd ();
use File::Find ();
use File::Path qw(make_path);
use File::Temp ();
use JSON::PP ();
use Prefork;
use Test::More;

use constant TIMEOUT => 300;

my $dir = File::Temp->newdir;

# A makefile above must hand down neither its flags nor its variables.
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES CFLAGS CPPFLAGS LDFLAGS CC O SANITIZE WERROR V)};

elsewhere();
help();
flags();
compiler_is_used();
statically();
for_editors();
done_testing();

sub make {
	my (@arguments) = @_;
	my $options = { timeout => TIMEOUT, ref $arguments[0] ? %{ shift @arguments } : () };

	return run_cmd($options, '/usr/bin/env', 'make', @arguments);
}

sub elsewhere {
	mkdir "$dir/elsewhere" or die "mkdir: $!\n";
	my ($code, $output, $errors) = make({ dir => "$dir/elsewhere" }, '-f', "$Prefork::ROOT/GNUmakefile");
	is($code, 2, 'from another directory it fails');
	like($errors, qr{no\slib/prefork[.]h\sin\s\S+/elsewhere:\srun\s`make\s-C}, 'the error names make -C as the cure');
	is_deeply([ glob "$dir/elsewhere/*" ], [], 'make from another directory builds nothing');
	($code, $output, $errors) = make('-C', $Prefork::ROOT, 'O=a b', 'help');
	is($code, 2, 'an output directory with a blank is refused');
	like($errors, qr/O="a\sb":\sthe\sname\sof\san\soutput\sdirectory\shas\sno\sblanks/, 'the error says that the name must have no blanks');
	return;
}

sub help {
	my ($code, $output, $errors) = make('-s', '-C', $Prefork::ROOT, "O=$dir/h", 'help');

	is("$code$errors", '0', 'make help');
	for my $target (qw(check install uninstall coverage tags compile_commands.json)) {
		like($output, qr/^\s+make\s\Q$target\E\s/m, "it names $target");
	}
	unlike($output, qr/^#|VERSION/m, 'make help prints no comment and no variable');
	return;
}

# The note of the commands that compile and link.
sub noted {
	my (@arguments) = @_;
	my ($code, $output, $errors) = make('-s', '-C', $Prefork::ROOT, "O=$dir/flags", @arguments, "$dir/flags/flags");

	is($code, 0, "make @arguments") or diag($output . $errors);
	open my $file, '<', "$dir/flags/flags" or return (q{}, q{});
	my $text = join q{}, <$file>;
	return $text =~ /^compile\s=\s(.*)\nlink\s=\s(.*)/;
}

sub flags {
	my ($compile, $link) = noted();

	is_deeply([ noted('WERROR=1') ], [ $compile, $link ], 'with WERROR=1 nothing is built anew');
	SKIP: {
		my ($code) = run_cmd({ input => 'int main(void) { return 0; }' }, '/usr/bin/env', 'cc', '-Werror',
			qw(-D_FORTIFY_SOURCE=3 -fstack-protector-strong -fcf-protection -fstack-clash-protection -O2),
			'-Wl,-z,relro,-z,now', qw(-include stdio.h -x c -o /dev/null -));
		skip 'the compiler takes no hardening flags', 6 if $code ne '0';
		like($compile, qr/\s\Q$_\E\s/, "compiled with $_")
		    for qw(-D_FORTIFY_SOURCE=3 -fstack-protector-strong -fcf-protection -fstack-clash-protection);
		like($link, qr/\s-Wl,-z,relro,-z,now\s/, 'linked with -z relro -z now');
		($compile) = noted('CPPFLAGS=-D_FORTIFY_SOURCE=2');
		unlike($compile, qr/_FORTIFY_SOURCE=3/, 'the level of the user is not contradicted');
	}
	($compile) = noted('CFLAGS=-O1 -fno-stack-protector');
	like($compile, qr/-O1\s-fno-stack-protector$/, 'the flags of the user come last');
	($compile, $link) = noted('HARDEN=');
	unlike("$compile $link", qr/FORTIFY|protector|relro/, 'HARDEN= leaves them out');
	($compile) = noted('SANITIZE=1');
	unlike($compile, qr/FORTIFY/, 'SANITIZE=1 leaves FORTIFY out');
	return;
}

# No test and no tool calls a compiler by its name.
sub compiler_is_used {
	my @by_name;

	for my $path (glob "$Prefork::ROOT/t/*.t $Prefork::ROOT/t/lib/*.pm $Prefork::ROOT/t/lib/*/*.pm $Prefork::ROOT/contrib/*/*/*.pm") {
		next if $path =~ m{/build[.]t$} || !-T $path;
		open my $file, '<', $path or die "$path: $!\n";
		push @by_name, map { "$path: $_" } grep { /['"](?:cc|clang)['"]/ && !/\$ENV[{]CC[}]\s\/\// } <$file>;
	}
	is_deeply(\@by_name, [], 'tests and tools compile with $CC');
	local @ENV{qw(CC CFLAGS LDFLAGS)} = ('ccache  cc', '-m64', '-s');
	is_deeply([ compiler() ], [qw(ccache cc)], 'of several words');
	is_deeply([ compiler('flags') ], [qw(ccache cc -m64 -s)], 'the compiler, its words and the flags are printed');
	return;
}

sub statically {
	my @make = ('-s', '-j2', '-C', $Prefork::ROOT, "O=$dir/static", 'CFLAGS=-O0', 'LDFLAGS=-static');

	SKIP: {
		my ($code) = run_cmd({ input => 'int main(void) { return 0; }' }, '/usr/bin/env', 'cc', '-static', qw(-x c -o /dev/null -));
		skip 'no static C library here', 4 if $code ne '0';
		($code, my $output, my $errors) = make(@make, 'all');
		is($code, 0, 'make LDFLAGS=-static') or diag($output . $errors);
		is((run_cmd('ldd', "$dir/static/prefork-echo"))[0], 1, 'the program needs no shared library');
		my $server = Prefork->start({ program => "$dir/static/prefork-echo" }, '-w', 1, '-p', 0, '-4');
		is(echo_once($server->tcp_socket, 'hello'), 'hello', 'it echoes');
		is($server->stop, 0, 'exit status');
	}
	return;
}

# They are written into the tree, so the tree is a copy here.
sub for_editors {
	my $copy = "$dir/copy of it";

	# The compiled tests have hundreds of megabytes.
	my @tests = grep { !/[.]t\z/ } glob "$Prefork::ROOT/t/*";
	make_path("$copy/t");
	is((run_cmd('cp', '-r', (map { "$Prefork::ROOT/$_" } qw(lib cmd contrib GNUmakefile)), $copy))[0], 0, 'a copy');
	is((run_cmd('cp', '-r', @tests, "$copy/t"))[0], 0, 'of the tests, too');
	my ($code, $output, $errors) = make('-s', '-C', $copy, 'compile_commands.json');
	is($code, 0, 'make compile_commands.json') or diag($output . $errors);
	open my $file, '<', "$copy/compile_commands.json" or return fail("compile_commands.json: $!");
	my $commands = JSON::PP::decode_json(join q{}, <$file>);
	my %of = map { $_->{file} => $_ } @{$commands};
	my $one = $of{'lib/base/heap.c'};
	is($one->{directory}, Cwd::realpath($copy), 'its directory');
	is((run_cmd({ dir => $copy }, 'sh', '-c', "$one->{command} -fsyntax-only"))[0], 0, 'its command works');
	my @sources;
	File::Find::find(sub { push @sources, $File::Find::name =~ s{^\Q$copy\E/}{}r if /[.]c\z/ }, $copy);
	is_deeply([ sort keys %of ], [ sort @sources ], 'it has each source');
	SKIP: {
		skip 'ctags is not installed', 2 if !grep { -x "$_/ctags" } split /:/, $ENV{PATH};
		($code, $output, $errors) = make('-s', '-C', $copy, 'tags');
		is("$code$errors", '0', 'make tags');
		open my $tags, '<', "$copy/tags" or return fail("tags: $!");
		ok(scalar grep({ m{^pfk_serve\tlib/} } <$tags>), 'it knows pfk_serve');
	}
	return;
}

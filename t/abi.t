#!/usr/bin/perl

# A program that was built with the header of the last release, t/abi/prefork.h, runs
# with this shared library: its structs and constants are as they were, and each of its
# functions is there with a version. See contrib/HACKING.md, "The ABI".

use strict;
use warnings;

use File::Temp ();
use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Header;
use Prefork::Life qw(slurp write_file);
use Test::More;

chdir $Prefork::ROOT or die "chdir: $!\n";
plan skip_all => 'counters of coverage are exported, too' if slurp("$Prefork::O/flags") =~ /-fprofile/;

my $dir = File::Temp->newdir;
my ($shared) = glob "$Prefork::O/libprefork.so.*" or die "not built\n";
my ($soname) = $shared =~ m{([^/]+)\z};
my @sanitize = $Prefork::O =~ /-asan$/ ? '-fsanitize=address,undefined' : ();
my %kept     = declarations('t/abi/prefork.h');

has_versions();
my $include = has_layouts();
knows_its_version();
runs_old_programs();
done_testing();

sub has_versions {
	my (undef, $output) = run_cmd('/usr/bin/env', 'nm', '-D', '--defined-only', $shared);
	my %version = $output =~ /\s[B-Z]\s(pfk_\w+)@@?(\S+)$/gmx;

	is_deeply([ grep { !$version{$_} } sort keys %kept ], [], 'each old function has a version');
	is_deeply([ grep { $version{$_} !~ /^PREFORK_\d/ } sort keys %version ], [], 'of the library');
	return;
}

# The sizes of structs and the values of constants, as a program of each header has them.
sub has_layouts {
	my %structs = structs('t/abi/prefork.h');
	my @numbers = grep { !/^PFK_(?:PRINTF|VERSION_NUMBER)$/ } constants('t/abi/prefork.h');
	my @lines   = (
		(map { qq{printf("sizeof struct $_ %zu\\n", sizeof(struct $_));} } sort keys %structs),
		(map { member_lines($_, $structs{$_}) } sort keys %structs),
		(map { qq{printf("$_ %lld\\n", (long long)($_));} } @numbers));

	write_file("$dir/layout.c",
		join "\n", '#include <stddef.h>', '#include <stdio.h>', '#include <prefork.h>', 'int main(void) {', @lines,
		'return 0; }');
	my $as_before = layout('lib') eq layout('t/abi');
 SKIP: {
		skip 'before 1.0.0 a layout may change; then cp lib/prefork.h t/abi/', 1
		    if !$as_before && slurp('GNUmakefile') =~ /^VERSION\s=\s1[.]0[.]0-rc/m;
		ok($as_before, 'structs and constants are as they were, or soname and t/abi are new');
	}
	return $as_before ? 't/abi' : 'lib';
}

# The offsets of members that are plain enough to be found.
sub member_lines {
	my ($name, $body) = @_;
	my ($inner) = $body =~ /^[{](.*)[}]$/s;

	1 while $inner =~ s/[{][^{}]*[}]//s;
	my @members = map { /\((?:[*])(\w+)\)\(/ ? $1 : /(\w+)\s*\z/ ? $1 : () }
	    grep { !/\bunion\b/ && !/,/ || /\([*]/ } split /;/, $inner;
	return map { qq{printf("offset $name.$_ %zu\\n", offsetof(struct $name, $_));} } @members;
}

sub layout {
	my ($from) = @_;

	builds('layout', $from);
	my ($code, $output) = run_cmd("$dir/layout");
	return $code == 0 ? $output : "$from: exit status $code";
}

sub builds {
	my ($name, $from, @flags) = @_;
	my ($code, undef, $errors) = run_cmd({ timeout => 120 },
		'/usr/bin/env', compiler('flags'), '-std=c11', @sanitize, "-I$from", '-o', "$dir/$name", "$dir/$name.c",
		@flags);

	is("$code $errors", '0 ', "$name builds with $from/prefork.h");
	return;
}

sub knows_its_version {
	my ($major, $minor, $patch) = slurp('GNUmakefile') =~ /^VERSION\s=\s(\d+)[.](\d+)[.](\d+)/m;
	my ($number) = slurp('lib/prefork.h') =~ /^\#define\sPFK_VERSION_NUMBER\s0x([0-9a-f]+)u$/m;

	is($number, sprintf('%02x%02x%02x', $major, $minor, $patch), 'PFK_VERSION_NUMBER is the version');
	return;
}

# The server of the README, and what it says of its versions.
sub runs_old_programs {
	my ($source) = slurp('README.md') =~ /^```c\n(.*?)^```$/ms;
	my @link = ("-L$Prefork::O", "-l:$soname", "-Wl,-rpath,$Prefork::O", '-lm');

	$source =~ s/\b7777\b/0/;
	write_file("$dir/server.c", $source);
	builds('server', $include, @link);
	my $server = Prefork->start({ program => "$dir/server" });
	my $client = $server->tcp_socket;
	is(echo_once($client, 'hello'), 'hello', 'an old server echoes');
	$server->signal('HUP');
	$server->wait_log(qr/reloaded/);
	is(echo_once($client, 'again'), 'again', 'over a reload, too');
	is($server->stop, 0, 'an old server stops');

	write_file("$dir/version.c", <<'END');
#include <prefork.h>
int main(void) { return pfk_version_number() < PFK_VERSION_NUMBER; }
END
	builds('version', $include, @link);
	my ($code) = run_cmd("$dir/version");
	is($code, 0, 'the library is not older than the program');
	return;
}

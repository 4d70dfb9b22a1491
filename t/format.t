#!/usr/bin/perl

# The sources' form: clang-format, the length of files and functions, spelling,
# Perl and shell. `make lint` also runs the slow ones, cppcheck and clang-tidy.
# A function may be longer with a reason, told in a comment at it that begins
# with "Over 60 lines:".

use strict;
use warnings;

use File::Find ();
use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork::Tools qw(run_cmd);
use Test::More;

use constant MAX_FILE     => 500;
use constant MAX_FUNCTION => 60;
use constant TIMEOUT      => 600;

chdir "$FindBin::Bin/.." or die "chdir: $!\n";

my %text  = sources();
my @c     = grep { /[.][ch]$/ } sort keys %text;
my @perl  = grep { /[.]pm$/ || $text{$_} =~ m{^\#!.*\bperl} } sort keys %text;
my @shell = grep { /[.]bash$/ || $text{$_} =~ m{^\#!.*/(?:ba)?sh\b} } sort keys %text;

# The public header is where every contract stands: it is as long as they are. And so is
# the last release's.
is_deeply([ grep { lines($text{$_}) > MAX_FILE && !m{(?:lib|t/abi)/prefork[.]h$} } @c, @perl, @shell ],
	[], 'no file is over ' . MAX_FILE . ' lines');
is_deeply([ grep { $text{$_} =~ /[ \t]$/m } sort keys %text ],
	[], 'no line ends with white space');

SKIP: {
	my ($status, $files) = -e '.git' ? run_cmd(qw(git ls-files)) : 1;
	skip 'this is no clone', 1 if $status;
	my %top = map { m{\A([^/\n]+)} ? ($1 => 1) : () } split /\n/, $files;
	is_deeply([ grep { !/^[.]/ } sort keys %top ], [qw(GNUmakefile LICENSE README.md cmd contrib lib t)],
		'nothing else is at the top');
}

SKIP: {
	need('ctags', 1);
	my ($code, $tags, $errors) = run_cmd('ctags', '-f', '-', '--sort=no',
		'--languages=C', '--c-kinds=f', '--fields=+ne',
		grep { /[.]c$/ } @c);
	is_deeply([ $errors, map { too_long($_) } split /\n/, $tags ],
		[q{}], 'no function is over ' . MAX_FUNCTION . ' lines');
}
tool('clang-format', '--dry-run', '-Werror', '--style=file:contrib/clang-format', @c);
tool('codespell', '--ignore-words=contrib/codespell', sort keys %text);
tool('perlcritic', '--quiet', '--profile=contrib/perlcritic', @perl);
tool('shellcheck', @shell);
done_testing();

# Every text file of the project, by its path.
sub sources {
	my %sources;

	File::Find::find(
		{
			no_chdir => 1,
			wanted   => sub {
				return if -l || !-f || !-T || m{/[.]gitignore$};
				open my $file, '<', $_ or die "$_: $!\n";
				$sources{$_} = join q{}, <$file>;
			},
		},
		grep { -e } qw(cmd lib t contrib .ci GNUmakefile README.md)
	);
	return %sources;
}

sub lines { my ($text) = @_; return $text =~ tr/\n// }

# A line of ctags: the function's place when it is too long.
sub too_long {
	my ($tag) = @_;
	my ($name, $path) = split /\t/, $tag;
	my ($start) = $tag =~ /\tline:(\d+)/;
	my ($end)   = $tag =~ /\tend:(\d+)/;

	return if !$end || $end - $start + 1 <= MAX_FUNCTION;
	# With the comment before it.
	my @lines = (split /\n/, $text{$path})[ ($start > 8 ? $start - 8 : 0) .. $end - 1 ];
	return if grep { /Over\s60\slines:/ } @lines;
	return "$path:$start: $name has " . ($end - $start + 1) . ' lines';
}

sub need {
	my ($name, $count) = @_;

	skip "$name is not installed", $count
	    if !grep { -x "$_/$name" } split /:/, $ENV{PATH};
	return;
}

sub tool {
	my ($name, @arguments) = @_;

	SKIP: {
		need($name, 1);
		my ($code, $output, $errors) =
		    run_cmd({ timeout => TIMEOUT }, $name, @arguments);
		is($code, 0, $name) or diag($output . $errors);
	}
	return;
}

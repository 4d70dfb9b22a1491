#!/usr/bin/perl

# Each name in contrib/HACKING.md and contrib/DESIGN.md exists: files, functions,
# structs, macros, targets of make, options, commands of prefork-ctl and gdb's
# breakpoints. t/readme.t looks at the paths with a directory, and runs commands.

use strict;
use warnings;

use File::Find ();
use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Test::More;

# They stand for any name.
my $EXAMPLE = qr/^(?:pfk_+)?x$|^PFK_+X$|_X$|^(?:unit-)?x[.]\w+$/x;

chdir $Prefork::ROOT or die "chdir: $!\n";

my (%file, %word, %words_of);
File::Find::find({ no_chdir => 1, wanted => \&read_file }, qw(cmd lib t contrib GNUmakefile README.md));
my $make = join q{}, map { slurp($_) } 'GNUmakefile';
my $help = join q{}, map { (run_cmd(Prefork::program($_), '--help'))[1] } qw(prefork-echo prefork-ctl);
my $functions = join q{}, map { slurp($_) } grep { /[.]c$/ } map { @{$_} } values %file;

for my $path (qw(contrib/HACKING.md contrib/DESIGN.md)) {
	my $page = slurp($path);
	my $text = $page =~ s/^```.*?^```$//gmsr;
	my %seen;
	my @wrong = grep { !exists_at_all($_) } grep { !$seen{$_}++ } $text =~ /`([^`\n]+)`/g;

	cmp_ok(scalar keys %seen, '>', 50, "$path has names");
	is_deeply(\@wrong, [], "$path: each name exists");
	@wrong = ();
	while ($text =~ /`(?:struct\s)?(\w+)`\s(?:of|in)\s`([\w.\/]+[.][ch])`/g) {
		push @wrong, "$1 in $2" if !is_in($1, $2);
	}
	while ($text =~ /`([\w.\/]+[.][ch])`:\san?\s(?:\w+\s(?:in|of)\s)?(?:the\stable\sof\s)?`(?:struct\s)?(\w+)`/g) {
		push @wrong, "$2 in $1" if !is_in($2, $1);
	}
	is_deeply(\@wrong, [], "$path: in the named file");
	for my $function ($page =~ /^\(gdb\)\st?break\s(\w+)$/mg) {
		like($functions, qr/^\Q$function\E\(/m, "$path: break $function");
	}
}
done_testing();

sub slurp {
	my ($path) = @_;

	open my $file, '<', $path or die "$path: $!\n";
	return join q{}, <$file>;
}

# Words of the code are counted without its comments.
sub read_file {
	my $path = s{^[.]/}{}r;

	return if !-f $path || $path =~ m{^t/(?:unit-.*|hostile-worker|terminal)[.]t$};
	push @{ $file{ $path =~ s{.*/}{}r } }, $path;
	return if $path !~ /[.](?:c|h|pm)$|^GNUmakefile$/;
	my $text = slurp($path);
	$text =~ s{/[*].*?[*]/}{ }gs if $path =~ /[.][ch]$/;
	$words_of{$path} = { map { $_ => 1 } $text =~ /\w+/g };
	%word = (%word, %{ $words_of{$path} });
	return;
}

sub is_in {
	my ($name, $path) = @_;

	return grep { has_word($name, $words_of{$_} // {}) } $path =~ m{/} ? $path : @{ $file{$path} // [] };
}

sub exists_at_all {
	my ($name) = @_;

	return 1 if $name =~ $EXAMPLE || exists $file{$name};
	return 0 if $name =~ /^[\w-]+[.](?:c|h|pm|t|md)$/i;
	return -e "lib/$name" if $name =~ m{^\w+/[\w-]+[.][ch]$} && $name !~ m{^(?:t|cmd|lib|contrib)/};
	return has_word($1, \%word) if $name =~ /^(?:struct\s|enum\s)?([\w*]+)$/;
	return !grep { $make !~ /^\Q$_\E:/m } grep { !/=|^-/ } split q{ }, $1 if $name =~ /^make\s(.*)/;
	return $help =~ /^\s+$1\b/m if $name =~ /^prefork-ctl\s([a-z]+)/;
	return -e "cmd/$1/$1.$2" || -e "lib/$1.$2" if $name =~ /^([\w-]+)[(](\d)[)]$/;
	return $help =~ /(?<![\w-])\Q$1\E(?![\w-])/ if $name =~ /^(--?[a-z][a-z-]*)/i;
	return 1;
}

# An underscore at an end, or a star, stands for the rest of the word.
sub has_word {
	my ($name, $words) = @_;
	my $pattern = $name =~ s/[*]/\\w+/gr;

	return exists $words->{$name} if $name !~ /[*]|^_|_$/;
	$pattern = "\\w+$pattern" if $name =~ /^_/;
	$pattern .= '\\w+' if $name =~ /_$/;
	return grep { /^$pattern$/ } keys %{$words};
}

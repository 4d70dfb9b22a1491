#!/usr/bin/perl

# The layers: includes only point down, programs see nothing but <prefork.h>,
# and every header compiles alone.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork::Tools qw(run_cmd);
use Test::More;

# Each layer, and the ones below it that it may use.
my %uses = (
	base      => [],
	event     => [qw(base)],
	sandbox   => [qw(base)],
	net       => [qw(sandbox base)],
	transport => [qw(net event base)],
	stream    => [qw(transport event base)],
	logger    => [qw(event base)],
	process   => [qw(logger net sandbox event base)],
	main      => [qw(net base)],
);

chdir "$FindBin::Bin/.." or die "chdir: $!\n";

my @lib = glob 'lib/*/*.[ch]';
my @cmd = glob 'cmd/*/*.[ch]';

is_deeply([ grep { !$uses{$_} } map { m{^lib/(.*)/$} } glob 'lib/*/' ],
	[], 'every folder of lib is a layer');
is_deeply([ glob 'lib/*.c lib/*.h' ], ['lib/prefork.h'],
	'lib/prefork.h is the only public header');
is_deeply(design(), { map { $_ => join ', ', @{ $uses{$_} } } keys %uses }, 'DESIGN.md has the same arrows');
for my $layer (sort keys %uses) {
	my @files = grep { m{^lib/$layer/} } @lib;
	is_deeply([ map { wrong_in_lib($_, $layer) } @files ],
		[], "$layer includes " . (join(', ', @{ $uses{$layer} }) || 'no other'));
}
is_deeply([ map { wrong_in_cmd($_) } @cmd ],
	[], 'programs include <prefork.h>, their own headers and shared ones');

my ($compile) = compile_command();
my @private = grep { /[.]h$/ } @lib;
my ($together, undef, $clash) = run_cmd(
	{ input => join q{}, map { "#include \"$_\"\n" } @private },
	'sh', '-c', "$compile -Werror -I. -fsyntax-only -x c -"
);
is($together, 0, 'all private headers compile in one unit') or diag($clash);
is_deeply([ map { wrong_enumerators($_) } @private ],
	[], q{private enumerators carry their enum's prefix});
for my $header ('lib/prefork.h', grep { /[.]h$/ } @lib, @cmd) {
	my ($code, undef, $errors) = run_cmd(
		{ input => "#include \"$header\"\n" }, 'sh', '-c',
		"$compile -Werror -I. -fsyntax-only -x c -"
	);
	is($code, 0, "$header compiles alone") or diag($errors);
}
done_testing();

# The layers of DESIGN.md, each with the ones that it uses.
sub design {
	open my $file, '<', 'contrib/DESIGN.md' or die "contrib/DESIGN.md: $!\n";
	return { map { m{^\s{4}lib/(\w+)/\s(?:.*\suses\s([\w, ]+))?}x ? ($1 => $2 // q{}) : () } <$file> };
}

# The include lines of a file: [line number, '<' or '"', name].
sub includes {
	my ($path) = @_;
	my @includes;

	open my $file, '<', $path or die "$path: $!\n";
	while (my $line = <$file>) {
		push @includes, [ $., $1, $2 ]
		    if $line =~ /^\s*\#\s*include\s*([<"])([^>"]+)/x;
	}
	return @includes;
}

# The kind of an included name in lib: a layer, 'public', 'system' or 'unknown'.
sub layer_of {
	my ($kind, $name, $own) = @_;

	return 'public' if $name eq 'prefork.h';
	return $1 if $name =~ m{^(\w+)/} && $uses{$1} && -e "lib/$name";
	return 'system' if $kind eq '<';
	return -e "lib/$own/$name" ? $own : 'unknown';
}

sub wrong_in_lib {
	my ($path, $own) = @_;
	my %allowed = map { $_ => 1 } $own, 'public', 'system', @{ $uses{$own} };

	return map { "$path:$_->[0]: $_->[2]" }
	    grep { !$allowed{ layer_of($_->[1], $_->[2], $own) } }
	    includes($path);
}

sub wrong_in_cmd {
	my ($path) = @_;
	my ($folder) = $path =~ m{^(.*)/};

	return map { "$path:$_->[0]: $_->[2]" } grep {
		$_->[1] eq '<'
		    ? $_->[2] ne 'prefork.h' && -e "lib/$_->[2]"
		    : $_->[2] !~ m{^(?:[.][.]/shared/)?[^/]+$} || !-e "$folder/$_->[2]"
	} includes($path);
}

# Enumerators that do not begin as the first word of their enum's name.
sub wrong_enumerators {
	my ($path) = @_;
	my @wrong;

	open my $file, '<', $path or die "$path: $!\n";
	my $text = do { local $/ = undef; <$file> };
	$text =~ s{/[*].*?[*]/}{}gsx;
	while ($text =~ /\benum\s+pfk__([a-z]+)\w*\s*[{]([^}]*)/gx) {
		my ($prefix, $list) = ('PFK__' . uc($1) . '_', $2);
		push @wrong,
		    map { "$path: $_" } grep { !/^$prefix/ } $list =~ /\b([A-Z]\w*)/g;
	}
	return @wrong;
}

# How the build compiles, from the note that it keeps.
sub compile_command {
	my $variant = $ENV{PREFORK_O} // 'build';

	open my $file, '<', "$variant/flags" or die "$variant/flags: $!\n";
	return map { /^compile\s=\s(.*)/x } <$file>;
}

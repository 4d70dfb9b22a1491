#!/usr/bin/perl

# libprefork(3) and lib/prefork.h say the same: each function in the section of
# its layer and with its prototype, each struct that a caller fills in, each
# constant, and no other. The programs of its EXAMPLES are built and run.

use strict;
use warnings;

use File::Temp ();
use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Header;
use Test::More;

use constant TIMEOUT => 120;

my $HEADER = 'lib/prefork.h';
my $MANUAL = 'lib/libprefork.3';
my $MARK   = '.\\" As in prefork.h.';

chdir $Prefork::ROOT or die "chdir: $!\n";

my @page = do {
	open my $file, '<', $MANUAL or die "$MANUAL: $!\n";
	map { s/\n//r } <$file>;
};

has_functions();
has_marks();
has_structs();
has_names();
is(`contrib/manual --check`, q{}, "the marked entries of $MANUAL are as in $HEADER");
runs_examples();
done_testing();

sub has_functions {
	my %declared = declarations($HEADER);
	my %layer    = layers($HEADER);
	my %documented;
	my $section = q{};

	for my $i (0 .. $#page) {
		$section = $1 if $page[$i] =~ /^[.]Sh\s(.*)/;
		my ($name, @words) = prototype_at($i) or next;
		$documented{$name} = "$section: " . squeeze("@words");
	}
	my %wanted =
	    map { $_ => "$layer{$_}: $declared{$_}" } keys %declared;
	is(join("\n", differences(\%documented, \%wanted)), q{},
		"$MANUAL has the functions of $HEADER, by layer")
	    or advise(map { template($_, $declared{$_}) }
		    grep { ($documented{$_} // q{}) ne $wanted{$_} } sort keys %wanted);
	return;
}

# .Ft and .Fn of a list's item, on its line or on the two after it.
sub prototype_at {
	my ($i) = @_;
	my ($line) = $page[$i] =~ /^[.]It\s(Ft\s.*)/;

	$line = "$1 $2"
	    if $page[$i] eq '.It Xo'
	    && "$page[$i + 1]\n$page[$i + 2]" =~ /^[.](Ft\s.*)\n[.](Fn\s.*)/;
	return if !$line;
	my (undef, $type, undef, $name, @arguments) =
	    map { s/^"|"$//gr } $line =~ /("[^"]*"|\S+)/g;
	return ($name, $type, $name, '(', join(q{,}, @arguments), ')');
}

# The words of each entry are the header's. The entries of one contract follow
# each other, and the last one has the mark.
sub has_marks {
	my @unmarked;

	for my $i (0 .. $#page) {
		my ($name) = prototype_at($i) or next;
		my $next = $i + ($page[$i] eq '.It Xo' ? 4 : 1);
		push @unmarked, $name if $page[$next] ne $MARK && !prototype_at($next);
	}
	return is_deeply(\@unmarked, [], "$MANUAL has the line '$MARK' in each entry");
}

# The header's banners: function => LAYER.
sub layers {
	my ($path) = @_;
	my ($layer, %layers) = (q{});

	open my $file, '<', $path or die "$path: $!\n";
	while (my $line = <$file>) {
		$layer = uc $1 if $line =~ m{^/\*\s-+\s(\w+)\s\*/$};
		$layers{$1} //= $layer while $line =~ /\b(pfk_\w+)\(/g;
	}
	return %layers;
}

# The lines to add to the manual for a declaration.
sub template {
	my ($name, $declaration) = @_;
	my ($type, $arguments) = $declaration =~ /^(.*?)\s?\b$name\((.*)\)$/;
	my @arguments = split /,(?![^()]*\))/, $arguments;

	s/(\w)([*]|\()/$1 $2/g for $type, @arguments;
	return join "\n", '.It Xo', ".Ft \"$type\"",
	    join(q{ }, ".Fn $name", map { qq{"$_"} } @arguments), '.Xc', $MARK;
}

sub has_structs {
	my %wanted     = structs($HEADER);
	my %documented = structs($MANUAL);

	is(join("\n", differences(\%documented, \%wanted)), q{},
		"$MANUAL has the structs of $HEADER")
	    or advise('the definition in a .Bd -literal block; comments may differ');
	return;
}

# Functions, structs and constants that are only mentioned must exist, too.
sub has_names {
	my %wanted = map { $_ => $_ } constants($HEADER);
	my %mentioned = map { $_ => $_ } join("\n", @page) =~ /\b(PFK_\w+)/g;

	is(join("\n", differences(\%mentioned, \%wanted)), q{},
		"$MANUAL has the constants of $HEADER")
	    or advise('the constant where it is used, as .Dv PFK_NAME');
	open my $file, '<', $HEADER or die "$HEADER: $!\n";
	my %known = map { $_ => 1 } join(q{}, <$file>) =~ /\b(pfk_\w+)/g;
	is_deeply([ grep { !$known{$_} } join("\n", @page) =~ /\b(pfk_\w+)/g ],
		[], "$MANUAL mentions nothing that is not in $HEADER");
	return;
}

# The differences of the two sides.
sub differences {
	my ($documented, $wanted) = @_;
	my %names = (%{$documented}, %{$wanted});

	return map {
		!$wanted->{$_} ? "$_ is not in $HEADER"
		    : !$documented->{$_} ? "$_ is missing"
		    : $documented->{$_} ne $wanted->{$_}
		    ? "$_ differs: '$documented->{$_}' should be '$wanted->{$_}'"
		    : ()
	} sort keys %names;
}

sub advise {
	my @texts = @_;

	diag("Bring $MANUAL up to date, in the section of the layer, and run contrib/manual:");
	diag($_) for @texts;
	return;
}

# The programs in the section EXAMPLES: blocks that have a main.
sub programs {
	my ($section) = join("\n", @page) =~ /^[.]Sh\sEXAMPLES\n(.*?)\n[.]Sh/ms;

	return map { s/^\\&//gmr =~ s/\\e/\\/gr } grep { /^main\(/m }
	    $section =~ /^[.]Bd\s-literal.*?\n(.*?\n)[.]Ed/gms;
}

sub runs_examples {
	my $dir = File::Temp->newdir;
	my @binaries = map { "$dir/$_" } qw(server client);
	my @sources  = programs();

	is(scalar @sources, scalar @binaries, 'EXAMPLES has a server and a client');
	for my $i (0 .. $#binaries) {
		builds($binaries[$i], $sources[$i]) or return;
	}
	my ($program, $client) = @binaries;
	my $server = Prefork->start({ program => $program }, '127.0.0.1:0');
	is_deeply([ run_cmd($client, $server->port, 'hello') ], [ 0, "5\n", q{} ],
		'the client gets an answer from the server');
	is_deeply([ run_cmd($client, $server->port, 'x' x 5000) ],
		[ 0, "too long\n", q{} ], 'a line that is too long');
	is($server->stop, 0, 'the server stops');
	is_deeply([ run_cmd($client, $server->port, 'hello') ],
		[ 1, q{}, "client: Connection refused\n" ], 'a client is refused after the server has stopped');
	is_deeply([ run_cmd($program, 'localhost:1') ],
		[ 64, q{}, "server: bad address: must be numeric\n" ], 'usage');
	return;
}

# As a user of the installed library would.
sub builds {
	my ($binary, $source) = @_;
	my @sanitize =
	    $Prefork::O =~ /-asan$/ ? '-fsanitize=address,undefined' : ();
	my (undef, $flags) = run_cmd('pkg-config', '--cflags', '--libs', 'libbsd-ctor');

	open my $file, '>', "$binary.c" or die "$binary.c: $!\n";
	print {$file} $source;
	close $file or die "$binary.c: $!\n";
	my ($code, $output, $errors) = run_cmd({ timeout => TIMEOUT },
		'/usr/bin/env', compiler('flags'), '-std=c11', '-Wall', '-Wextra', '-Werror', @sanitize, '-Ilib',
		'-o', $binary, "$binary.c", "$Prefork::O/libprefork.a",
		split(q{ }, $flags), '-lm');
	return is("$code $output$errors", '0 ', "$binary builds");
}

package Prefork::Header;

# The declarations of a C header, as text that can be compared: without
# comments, and without the white space that means nothing.

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(declarations structs constants squeeze);

# declarations($path): the functions and variables, name => declaration.
sub declarations {
	my ($path) = @_;
	my $text = bare($path);

	$text =~ s/^\s*\#(?:[^\n]*\\\n)*[^\n]*$//gmx;
	$text =~ s/extern\s+"C"\s*[{]//x;
	# Bodies, and all other text in braces.
	1 while $text =~ s/[{][^{}]*[}]/;/;
	# Attributes, spelt out or behind a macro.
	$text =~ s/\b(?:__attribute__|[A-Z][A-Z0-9_]+)\s*(\((?:[^()]++|(?1))*\))/ /gx;

	my %found;
	for my $declaration (split /;/, $text) {
		next if $declaration =~ /^\s*(?:typedef|static)\b/;
		if ($declaration =~ /\b(\w+)\s*\(/ ||
		    $declaration =~ /^\s*extern\b.*?(\w+)\s*(?:\[[^\]]*\]\s*)*$/s) {
			$found{$1} = squeeze($declaration);
		}
	}
	return %found;
}

# structs($path): those that are defined, name => definition. It finds those
# that a manual shows, too.
sub structs {
	my ($path) = @_;
	my $text = bare($path);
	my %found;

	while ($text =~ /^struct\s+(\w+)\s*([{](?:[^{}]++|(?2))*[}])\s*;/gmx) {
		$found{$1} = squeeze($2);
	}
	return %found;
}

# constants($path): the macros and enumerators, which begin with PFK_.
sub constants {
	my ($path) = @_;
	my %found = map { $_ => 1 } bare($path) =~ /\b(PFK_\w+)/g;

	return sort keys %found;
}

# Without the white space that separates no words.
sub squeeze {
	my ($text) = @_;

	$text =~ s/\s+/ /g;
	$text =~ s/^\s|\s$|(?<=\W)\s|\s(?=\W)//g;
	return $text;
}

# The text without comments.
sub bare {
	my ($path) = @_;

	open my $file, '<', $path or die "$path: $!\n";
	my $text = join q{}, <$file>;
	$text =~ s{/\*.*?\*/}{ }gs;
	$text =~ s{//[^\n]*}{ }g;
	return $text;
}

1;

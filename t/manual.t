#!/usr/bin/perl

# The manuals: mandoc finds no fault with them, every program has one, and it
# describes the options that --help shows, no more and no fewer.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Test::More;

chdir $Prefork::ROOT or die "chdir: $!\n";

my ($mandoc) = grep { -x } map { "$_/mandoc" } split /:/, $ENV{PATH};

for my $page (glob 'cmd/*/*.[1-8] lib/*.[37]') {
	SKIP: {
		skip 'mandoc is not installed', 2 if !$mandoc;
		my ($code, $output) = run_cmd($mandoc, '-Tlint', '-Wwarning', $page);
		is($code, 0, "mandoc -Tlint $page") or diag($output);
		# mandoc -Tlint passes a macro that is no macro in its place.
		(undef, $output) = run_cmd($mandoc, '-Tascii', $page);
		$output =~ s/.\x08//g;
		unlike($output, qr/(?<!\S)(?:Ar|Cm|Dv|Er|Fa|Fl|Fn|Ic|Li|Nm|Ns|Op|Pa|Sy|Vt|Xr)(?!\S)/x,
			"$page shows no macro as text");
	}
}
for my $folder (glob 'cmd/*/') {
	my ($name) = $folder =~ m{^cmd/(.*)/$};
	my ($page) = glob "cmd/$name/$name.[1-8]";

	next if $name eq 'shared' || !glob "cmd/$name/*.c";
	ok($page && -e $page, "$name has a manual") or next;
	next if !-x Prefork::program($name) && $name eq 'prefork-exporter';
	my ($code, $help) = run_cmd(Prefork::program($name), '--help');
	is($code, 0, "$name --help exits 0");
	is_deeply([ options_of_page($page) ], [ options_of_help($help) ],
		"$name: the manual and --help have the same long options");
	unlike($help, qr/\bso\s+(?:many|long|often)\b/, "$name --help names each number by its placeholder");
}
done_testing();

sub options_of_help {
	my ($text) = @_;
	my %options = map { $_ => 1 } $text =~ /(?<![\w-])--([a-z0-9][a-z0-9-]*)/gx;

	return sort keys %options;
}

# From the list items: .It Fl w , Fl -workers Ar N
sub options_of_page {
	my ($path) = @_;
	my %options;

	open my $file, '<', $path or die "$path: $!\n";
	for my $line (grep { /^[.]It\s.*Fl\s/x } <$file>) {
		$line =~ s/\\//g;
		$options{$1} = 1
		    while $line =~ /\bFl\s(?:-|Fl\s)([a-z0-9][a-z0-9-]*)/gx;
	}
	return sort keys %options;
}

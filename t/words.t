#!/usr/bin/perl

# The words of comments, manuals and pages: clauses with "what" or "who" as their
# noun are rare, because only a reader who knows the answer understands them. The
# measure is the number of these words in 1,000. contrib/HACKING.md has the rules.
# And the names of tests: each is read alone.

use strict;
use warnings;

use File::Find ();
use FindBin;
use Test::More;

my $WHAT = qr/\bwhat(?:ever)?\b/i;
my $WHO  = qr/\bwho(?:se|ever|m)?\b/i;

# The most in 1,000 words of a kind, and in one file.
my %LIMITS = (
	comments => { what => 1.5, who => 0.6, file => 1 },
	manuals  => { what => 2,   who => 0.8, file => 2 },
	pages    => { what => 2,   who => 0.8, file => 4 },
);

chdir "$FindBin::Bin/.." or die "chdir: $!\n";

my (%sum, %over);
for my $path (sources()) {
	my ($kind, $text) = words_of($path);
	my $count = count($text);

	$sum{$kind}{$_} += $count->{$_} for keys %{$count};
	for my $word (qw(what who)) {
		push @{ $over{$kind} }, "$path: $count->{$word} times '$word'"
		    if $count->{$word} > $LIMITS{$kind}{file};
	}
}
for my $kind (sort keys %LIMITS) {
	for my $word (qw(what who)) {
		my $share = 1000 * $sum{$kind}{$word} / $sum{$kind}{words};
		cmp_ok($share, '<=', $LIMITS{$kind}{$word}, sprintf '%s: %.2f "%s" in 1,000 words', $kind, $share, $word);
	}
	is_deeply($over{$kind} // [], [], "$kind: no file has many");
}
is_deeply([ riddles() ], [], 'no name of a test depends on the line before it');
samples();
done_testing();

# Names of tests that begin with a conjunction, or have no subject: a reader of a TAP
# line does not see the lines before it.
sub riddles {
	my @found;

	for my $path (glob 't/*.t') {
		next if !-T $path || $path eq 't/words.t';
		push @found, map { "$path: $_" } riddles_of(text_of($path));
	}
	return @found;
}

sub riddles_of {
	my ($text) = @_;

	return $text =~ /["']((?:and|nor|which|but|as\sdoes|so\sdo|so\sdoes)\s[^"'\n]*
	    |is\stold|says\sso|is\sdone)["']/gx;
}

# The counting itself.
sub samples {
	my $c = <<'END';
/* Send what is queued. */
const char *text = "what /* who */";
int x; /* whoever asks */
END
	is_deeply(count(comments_of_c($c)), { words => 6, what => 1, who => 1 }, 'comments of C');
	my $perl = "#!/what\n# who asks\nmy \$x = q{# what}; # what else\nmy \$n = \$#what;\n";
	is_deeply(count(comments_of_script($perl)), { words => 4, what => 1, who => 1 }, 'comments of a script');
	is_deeply([ riddles_of(q{ok(1, 'and why'); ok(2, "nor $_"); ok(3, 'says so'); ok(4, 'an android');}) ],
		[ 'and why', 'nor $_', 'says so' ], 'riddles of a test');
	return;
}

sub sources {
	my @files;

	File::Find::find(
		{
			no_chdir => 1,
			wanted   => sub {
				push @files, $_
				    if -f && -T && !/[.]gitignore$/ && !m{^t/unit-.*[.]t$}
				    && !m{^t/(?:words|commits)[.]t$} && !m{HACKING[.]md$};
			},
		},
		grep { -e } qw(cmd lib t contrib GNUmakefile README.md)
	);
	return sort @files;
}

sub text_of {
	my ($path) = @_;

	open my $file, '<', $path or die "$path: $!\n";
	return do { local $/ = undef; <$file> };
}

# The kind of a file, and its text that counts.
sub words_of {
	my ($path) = @_;
	my $text = text_of($path);

	return (pages    => $text)                     if $path =~ /[.]md$/;
	return (manuals  => $text)                     if $path =~ /[.][1-8]$/;
	return (comments => comments_of_c($text))      if $path =~ /[.][ch]$/;
	return (comments => comments_of_script($text));
}

sub comments_of_c {
	my ($text) = @_;
	my $comments = q{};

	while ($text =~ m{"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|/[*](.*?)[*]/|//([^\n]*)}gsx) {
		$comments .= $1 // $2 // q{};
		$comments .= "\n";
	}
	return $comments;
}

sub comments_of_script {
	my ($text) = @_;

	return join "\n", $text =~ /(?:^|\s)\#(?!!)(.*)$/gmx;
}

sub count {
	my ($text) = @_;

	return {
		words => scalar(() = $text =~ /[A-Za-z][A-Za-z'_]*/g),
		what  => scalar(() = $text =~ /$WHAT/g),
		who   => scalar(() = $text =~ /$WHO/g),
	};
}

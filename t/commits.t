#!/usr/bin/perl

# Commit messages, from the commit after the one that added this test: a prefix
# that names the place, an imperative subject of at most 72 columns, and a body
# above ten changed lines. contrib/HACKING.md has the rules.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork::Sockets qw(have);
use Prefork::Tools   qw(run_cmd);
use Test::More;

use constant COLUMNS => 72;
use constant LINES   => 10;

# Areas that are no file or directory of their own.
my %AREA = map { $_ => 1 } qw(build docs lint manuals release tests);

# Published commits cannot be mended: id => reason.
my %EXCUSED = (
	'537b988fca3ad42710dde33961c6897d6f79f232' => 'no body',
	'cf5c8b46d3f10fb929935718f9c15f9235f4a0cd' => '76 columns',
);

# Words that end like a participle or a third person, and are imperatives.
my %IMPERATIVE = map { $_ => 1 } qw(bring embed exceed feed focus need pass
    press process proceed ring shed speed spring string address bypass access
    express discuss suppress compress);

chdir "$FindBin::Bin/.." or die "chdir: $!\n";

plan skip_all => 'this is no clone' if !-e '.git';
plan skip_all => 'git is not installed' if !have('git');
my ($status, $shallow, $errors) = run_cmd(qw(git rev-parse --is-shallow-repository));
plan skip_all => "git does not read this clone: $errors" if $status;
plan skip_all => 'the clone is shallow' if $shallow =~ /true/;

my (undef, $added) = run_cmd(qw(git log --diff-filter=A --format=%H -- t/commits.t));
my ($base) = $added =~ /^(\w+)\n\z/m;
plan skip_all => 'this test is not committed yet' if !$base;

my (undef, $files) = run_cmd(qw(git ls-files));
my %place = map { $_ => 1 } map { places($_) } split /\n/, $files;

judge_samples();
my (undef, $log) = run_cmd(qw(git log --no-merges --no-renames --numstat -z),
	'--format=%x01%H%x02%s%x02%b%x02', "$base..HEAD");
for my $entry (grep { length } split /\x01/, $log) {
	my ($id, $subject, $body, $numbers) = split /\x02/, $entry;
	my @changes = $numbers =~ /(\d+|-)\t(\d+|-)\t([^\0]+)/g;
	my ($lines, @touched) = (0);
	while (my ($plus, $minus, $path) = splice @changes, 0, 3) {
		$lines += $_ for grep { $_ ne '-' } $plus, $minus;
		push @touched, $path;
	}
	my @faults = $EXCUSED{$id} ? () : faults($subject, $body, $lines, @touched);
	is_deeply(\@faults, [], substr($id, 0, 10) . " $subject");
}
done_testing();

# The names of a path: t/lib/a.pm is t/lib/a.pm, a.pm, a, lib and t.
sub places {
	my ($path) = @_;
	my @parts = split m{/}, $path;

	return $path, map { $_, s/[.][^.]*$//r } @parts, join q{/}, @parts[ 0 .. $#parts - 1 ];
}

sub faults {
	my ($subject, $body, $lines, @touched) = @_;
	my %here = map { $_ => 1 } map { places($_) } @touched;
	my ($areas, $text) = $subject =~ /^([^:]+):\s(\S.*)$/;
	my @faults;

	push @faults, 'over ' . COLUMNS . ' columns' if length $subject > COLUMNS;
	push @faults, 'no body, and over ' . LINES . ' changed lines'
	    if $lines > LINES && $body !~ /\S/;
	return @faults, 'no "area: " in front' if !defined $areas;
	for my $area (split /,\s*/, $areas) {
		my $name = $area =~ s/\(\d\)$//r;
		push @faults, "no file, directory or area is called $area"
		    if !$here{$name} && !$place{$name} && !$AREA{$name};
	}
	return @faults if $areas eq 'release' && $text =~ /^\d+[.]\d+[.]\d+(?:-rc\d+)?$/;
	my ($verb) = lc($text) =~ /^([a-z]+)/;
	push @faults, 'the text does not begin with an imperative'
	    if !defined $verb
	    || (!$IMPERATIVE{$verb} && $verb =~ /(?:ed|ing|[^s]s|ss?es)$/)
	    || $verb =~ /^(?:an?|the|no|who|what|whoever|all|it|this)$/;
	push @faults, 'a full stop at the end' if $text =~ /[.]$/;
	push @faults, 'a clause with "what" or "who" as its noun'
	    if $text =~ /\b(?:what(?:ever)?|who(?:ever|se)?)\b/i;
	return @faults;
}

# The rules themselves.
sub judge_samples {
	my @touched = ('lib/event/timer.c');

	is_deeply([ faults('timer: cancel twice', q{}, 10, @touched) ], [], 'a small change');
	is_deeply([ faults('release: 1.2.3-rc4', q{}, 10, 'GNUmakefile') ], [], 'a release');
	is_deeply([ faults('event/timer.c: a', 'why', 11, 'event/timer.c') ],
		['the text does not begin with an imperative'], 'a noun');
	for my $bad (
		[ 'timer: cancel twice', q{}, 11 ],
		[ 'timer: ' . 'cancel ' x 10, q{}, 1 ],
		[ 'cancel timers twice', q{}, 1 ],
		[ 'nosuchplace: cancel timers', q{}, 1 ],
		[ 'timer: cancelled twice', q{}, 1 ],
		[ 'timer: cancels twice', q{}, 1 ],
		[ 'timer: who cancels is served', q{}, 1 ],
		[ 'timer: keep what was set', q{}, 1 ],
		[ 'timer: cancel twice.', q{}, 1 ],
		)
	{
		my @faults = faults(@{$bad}, @touched);
		cmp_ok(scalar @faults, '>', 0, "refused: $bad->[0], $bad->[2] lines");
	}
	return;
}

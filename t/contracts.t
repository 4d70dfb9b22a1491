#!/usr/bin/perl

# Each public function has a contract in lib/prefork.h, and one that can fail has
# its errors there.

use strict;
use warnings;

use FindBin;
use Test::More;

# They return an exit status, a number or a handle that is there, and do not fail.
my %NEVER_FAILS = map { $_ => 1 } qw(pfk_cpus pfk_options_diff pfk_stream_transport pfk_transport_server
    pfk_worker_loop pfk_worker_slot pfk_master_loop);

# They return -1 for the caller to pass on, or an exit status.
my %NO_ERRNO = map { $_ => 1 } qw(pfk_main pfk_master_run pfk_orphans pfk_reload_fail pfk_worker_fail);

my $HEADER = "$FindBin::Bin/../lib/prefork.h";
open my $file, '<', $HEADER or die "$HEADER: $!\n";
my $text = join q{}, <$file>;

is_deeply([ faults($text) ], [], 'each function has a contract, with its errors');
is_deeply([ faults("/* Do it.  EINVAL: no x. */\nint pfk_a(int x);\n\nint pfk_b(void);\n") ],
	['pfk_b has no contract'], 'one without a comment');
is_deeply([ faults("/* Do it. */\nint pfk_a(int x);\nvoid pfk_b(void);\n") ],
	['pfk_a returns int, and its contract names no error'], 'one without errors');
my %known = map { $_ => 1 } $text =~ /\b(pfk_\w+)\(/g;
is_deeply([ grep { !$known{$_} } sort keys %NEVER_FAILS, keys %NO_ERRNO ], [], 'the exceptions exist');
done_testing();

# A comment is the contract of the functions up to the next blank line.
sub faults {
	my ($header) = @_;
	my ($contract, @faults) = (q{});

	while ($header =~ m{(/[*].*?[*]/)|(\n[ \t]*\n)|^(?:struct|enum)\s\w+\s[{](?:[^{}]|[{][^{}]*[}])*[}];|^\#[^\n]*|([^;{}/\n\#][^;{}/]*;)}gmsx) {
		my ($comment, $blank, $declaration) = ($1, $2, $3);
		$contract = $comment if $comment;
		$contract = q{}      if $blank;
		next                 if !$declaration;
		my ($type, $name) = $declaration =~ /^\s*(\w[\w\s]*?[*]?)\s*\b(pfk_\w+)\(/ or next;
		if (!$contract) {
			push @faults, "$name has no contract";
		} elsif ($type =~ /^(?:int|struct\s.*[*])$/ && !$NEVER_FAILS{$name} && !$NO_ERRNO{$name}) {
			push @faults, "$name returns $type, and its contract names no error"
			    if $contract !~ /\bE[A-Z][A-Z0-9]+\b|\berrno\b|\bFails\s.*as\b/s;
		}
	}
	return @faults;
}

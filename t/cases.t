#!/usr/bin/perl

# contrib/cases/run: its list of cases, its line for a case that holds, fails,
# or is skipped, and its exit status. Whether the cases hold is for
# `contrib/cases/run` and the torture, because it takes minutes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Temp ();
use Prefork;
use Test::More;

use constant TIMEOUT => 60;

my $run = "$Prefork::ROOT/contrib/cases/run";
my $dir = File::Temp->newdir;

my @files = map { s{.*/}{}r } glob "$Prefork::ROOT/contrib/cases/*.sh $Prefork::ROOT/contrib/cases/*.py";
my ($code, $output, $errors) = run_cmd($run, '-l');
is_deeply([ sort split /\n/, $output ], [ sort grep { $_ ne 'case.py' } @files ], '-l names them all');
for my $name (@files) {
	open my $file, '<', "$Prefork::ROOT/contrib/cases/$name" or die "$name: $!\n";
	my @lines = <$file>;
	like($lines[1], qr/^\#\s\S/, "$name begins with its fault") if $name ne 'case.py';
	unlike(join(q{}, @lines), qr{/(?:work|tmp)/}, "$name has no path of its author's");
}

($code, $output, $errors) = run_cmd($run, '-O', $Prefork::O, 'no-such-case');
is("$code $errors", "2 run: no case 'no-such-case'; -l names them\n", 'an unknown name');
($code, $output, $errors) = run_cmd($run, '-O', "$dir");
is($code, 2, 'no build');
like($errors, qr{no\sprefork-echo\sin\s'\Q$dir\E':\smake\sbuilds\sit}, 'the error names make as the cure');
($code) = run_cmd($run, '-x');
is($code, 2, 'usage');

my @unshare = qw(unshare --net --mount --pid --fork --kill-child --mount-proc);
push @unshare, '--map-root-user' if !is_root();
($code) = run_cmd('/usr/bin/env', @unshare, 'true');
if ($code ne '0') {
	($code, $output) = run_cmd($run, '-O', $Prefork::O);
	is($code, 0, 'without namespaces nothing fails');
	like($output, qr/^no\scase\sruns:\sno\snamespaces\shere:\s\S/, 'the output says that there are no namespaces');
	done_testing();
	exit 0;
}

($code, $output, $errors) = run_cmd({ timeout => TIMEOUT }, $run, '-O', $Prefork::O, 'empty-config');
is("$code$errors", '0', 'a case that holds: exit status') or diag($output);
is($output =~ s{\s+\d+\ss\n}{ }r, "empty-config.sh          holds 1 hold, 0 fail, 0 skipped\n", 'its line and the sum');

# A server that never gets ready.
open my $file, '>', "$dir/prefork-echo" or die "$dir/prefork-echo: $!\n";
print {$file} "#!/bin/sh\necho 'no such thing' >&2\nexit 70\n";
close $file or die "$dir/prefork-echo: $!\n";
chmod oct 755, "$dir/prefork-echo" or die "$dir/prefork-echo: $!\n";
($code, $output, $errors) = run_cmd({ timeout => TIMEOUT }, $run, '-O', "$dir", 'empty-config.sh', 'stall-after-stall');
is("$code$errors", '1', 'cases that fail: exit status');
like($output, qr/^$_\s+FAILS\s+\d+\ss,\sstatus\s1\n(?:\s+.*\n)*?\s+.*no\ssuch\sthing/m, "$_: its line and its output")
    for qw(empty-config[.]sh stall-after-stall[.]py);

# The compiler of the helper is not there.
($code, $output, $errors) =
    run_cmd({ timeout => TIMEOUT, env => { CC => 'no-such-compiler' } }, $run, '-O', $Prefork::O, 'splice-denied');
is("$code$errors", '0', 'a case that cannot run here: exit status');
like($output, qr/^splice-denied[.]sh\s+skip\s+no-such-compiler\sis\snot\sinstalled\n/, 'its line and the reason');
done_testing();

#!/usr/bin/perl

# The master of idle workers sleeps: it does not read files to find out that none of
# them hangs.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Tools qw(pause wait_for);
use Test::More;

use constant WORKERS => 8;

plan skip_all => 'the kernel does not count the reads of a process' if !-r '/proc/self/io';
my $server = Prefork->start('-w', WORKERS, '-p', 0, '-b', '127.0.0.1');

# The last bytes of the start are read before.
wait_for(sub { my $n = reads(); pause(1); return $n == reads() }, 20);
my $before = reads();
wait_for(sub { 0 }, 2);
my $more = reads() - $before;
cmp_ok($more, '<', WORKERS, "reads in 2 s: $more");
is($server->stop, 0, 'it stops');
done_testing();

# The system calls by which the master has read, so far.
sub reads {
	open my $file, '<', '/proc/' . $server->pid . '/io' or die "/proc: $!\n";
	my ($n) = map { /^syscr:\s(\d+)/ } <$file>;
	return $n;
}

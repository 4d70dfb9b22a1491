#!/usr/bin/perl

# contrib/hostile, in short: 400 clients that never read take a bounded part of the
# kernel's memory, and an innocent one is served meanwhile.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Tools qw(is_root run_cmd);
use Test::More;

use constant CLIENTS => 400;
# For each 128 KiB that wait, as much in the receive buffer, and what the kernel
# adds; without --unsent-limit it is 8 MB.
use constant MB_A_CLIENT => 2;

my $command = "$Prefork::ROOT/contrib/hostile/hostile";

plan skip_all => 'only root can have a network namespace' if !is_root();
my ($can) = run_cmd('unshare', '--net', 'ip', 'link', 'add', 'away', 'type', 'veth', 'peer', 'name', 'end');
plan skip_all => 'no network namespaces, or no ip(8)' if ($can // 1) != 0;

my ($status, $list) = run_cmd($command, '--list');
is($status, 0, '--list');
like($list, qr/^slow-readers:\s/m, 'names the attacks');
($status) = run_cmd($command, 'no-such');
is($status, 64, 'an unknown attack');

my ($ended, $table, $errors) =
    run_cmd({ timeout => 180 }, $command, '-s', 1, '-S', 'prefork-echo', 'slow-readers');
is($ended, 0, 'slow readers: exit status') or diag($errors);
my ($failed, $kernel) = $table =~ m{^slow-readers\s+prefork-echo\s.*\s([\d.]+)%\s+\d+%\s+([\d.]+)\sMB}m;
ok(defined $kernel, 'a row') or diag($table, $errors);
cmp_ok($failed // 100, '<', 100, 'innocent requests are answered');
cmp_ok($kernel // CLIENTS * 8, '<', CLIENTS * MB_A_CLIENT, 'the memory is bounded');
cmp_ok($kernel // 0, '>', 0, 'the memory was measured');
done_testing();

#!/usr/bin/perl

# An address in use: the log names the master that has it, the process to stop,
# although the numbers of its workers are lower. In a namespace of its own, where
# the kernel is told the number of the next process.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Sockets qw(own_address);
use Test::More;

use constant LAST => '/proc/sys/kernel/ns_last_pid';

my @unshare = ('unshare', is_root() ? () : '-r', '-pf', '--mount-proc', 'env');

if (!$ENV{PREFORK_NAMESPACE}) {
	plan skip_all => 'no process numbers of its own can be had here'
	    if (run_cmd(@unshare, 'sh', '-c', 'echo 9000 >' . LAST))[0] != 0;
	exec @unshare, 'PREFORK_NAMESPACE=1', $^X, $0 or die "unshare: $!\n";
}

my $address = own_address() . ':7777';

next_process(9000);
my $first = Prefork->start({ setup => sub { next_process(500) } }, '-w', 1, '-b', $address);
my %worker = $first->workers;
cmp_ok($worker{0}, '<', $first->pid, 'with a worker of a lower number');

# The first address is the service's name, which has a lock of its own.
my $second = Prefork->spawn('-w', 1, map { ('-b', $_) } own_address(1) . ':7777', $address);
is($second->wait_exit, 75, 'another one cannot have its address');
like($second->log_text, qr/cannot\sstart:\scannot\sbind\s.*:7777:\sin\suse\sby\sprocess\s@{[ $first->pid ]}\s/x,
	'because the master has it');
is($first->stop, 0, 'exit status');
done_testing();

sub next_process {
	my ($number) = @_;

	open my $file, '>', LAST or die LAST . ": $!\n";
	print {$file} $number - 1;
	return close $file || die LAST . ": $!\n";
}

package Prefork::Deny;

# A sandbox that denies system calls, as seccomp(2) profiles of containers do:
#
#	my $setup = deny(EPERM, 'splice', 'close_range');
#	my $server = Prefork->start({ setup => $setup }, ...);
#
# The code that deny returns runs in the child before it executes the program.

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(can_deny deny);

# linux/seccomp.h, linux/filter.h, linux/prctl.h
use constant {
	PR_SET_NO_NEW_PRIVS => 38,
	PR_SET_SECCOMP      => 22,
	FILTER_MODE         => 2,
	LOAD_WORD           => 0x20,
	JUMP_IF_EQUAL       => 0x15,
	RETURN              => 0x06,
	RETURN_ERRNO        => 0x0005_0000,
	ALLOW               => 0x7fff_0000,
};

# The call's number on this machine, or undef.
sub number_of {
	my ($call) = @_;

	do 'syscall.ph' if !__PACKAGE__->can('SYS_prctl');
	my $found = __PACKAGE__->can("SYS_$call");
	return $found ? $found->() : undef;
}

# Whether a child of ours can be put into such a sandbox.
sub can_deny {
	my $number = number_of('prctl') // return 0;
	my $pid = fork // return 0;

	if ($pid == 0) {
		my $done = eval { deny(1)->(); 1 };
		require POSIX;
		POSIX::_exit($done ? 0 : 1);
	}
	waitpid $pid, 0;
	return $? == 0;
}

# deny($errno, @calls): calls that this machine lacks are denied anyway.
sub deny {
	my ($errno, @calls) = @_;
	my @numbers = grep { defined } map { number_of($_) } @calls;
	my $filter = instruction(LOAD_WORD, 0, 0, 0);

	for my $number (@numbers) {
		$filter .= instruction(JUMP_IF_EQUAL, 0, 1, $number);
		$filter .= instruction(RETURN, 0, 0, RETURN_ERRNO | $errno);
	}
	$filter .= instruction(RETURN, 0, 0, ALLOW);
	return sub {
		my $prctl = number_of('prctl');
		my $program = pack 'S x![P] P', length($filter) / 8, $filter;

		syscall($prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
		    or die "no_new_privs: $!\n";
		syscall($prctl, PR_SET_SECCOMP, FILTER_MODE, $program) == 0
		    or die "seccomp: $!\n";
		return;
	};
}

sub instruction { return pack 'SCCL', @_ }

1;

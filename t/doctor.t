#!/usr/bin/perl

# prefork-ctl doctor: misconfigurations of a running service, set up one by one;
# those of the system stand in unit-doctor.c.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Prefork;
use Prefork::Control;
use Prefork::Life;
use Test::More;

my $dir  = temp_dir();
my @user = is_root() ? (qw(-u nobody)) : ();

# Findings of the machine that the test runs on, with any service.
my %machine = map { $_->{name} => 1 } findings(@user);

finds('backlog',        'warn', @user, qw(--backlog 10));
finds('receive-buffer', 'warn', @user, qw(--receive-buffer 4k));
finds('send-buffer',    'warn', @user, qw(--send-buffer 4k));
finds('keeper',         'warn', @user, qw(--keeper off));
finds('worker-timeout', 'warn', @user, qw(--worker-timeout 0));
finds('orphan-timeout', 'info', @user, qw(--orphan-timeout 0));
finds('sandbox',        'info', @user, qw(--sandbox off));
finds('workers',        'info', @user, '-w', 4 * cpus() + 1);
limited();
SKIP: {
	skip 'only root has too many rights', 2 if !is_root();
	finds('user', 'warn');
}
reloads();
done_testing();

sub cpus {
	open my $nproc, q{-|}, 'nproc' or die "nproc: $!\n";
	return 0 + <$nproc>;
}

# A service with these arguments, and all that doctor finds.
sub findings {
	my (@arguments) = @_;
	my $server = Prefork->start(qw(-w 2 -p 0 -4), @arguments);
	my ($code, $output) = ctl('-s', control_socket($server), 'doctor', '--json');
	my $list = JSON::PP::decode_json($output);
	my @warnings = grep { $_->{level} eq 'warn' } @{$list};

	is($code, @warnings ? 1 : 0, "@arguments: warnings are the exit status");
	is($server->stop, 0, 'exit status');
	return @{$list};
}

# Beside the faults of the machine, this finding and no other.
sub finds {
	my ($name, $level, @arguments) = @_;
	my @found = grep { !$machine{ $_->{name} } || $_->{name} eq $name } findings(@arguments);

	return is(join(q{ }, map { "$_->{level} $_->{name}" } @found), "$level $name", $name);
}

sub limited {
	my $server = Prefork->start({ wrapper => [ 'sh', '-c', 'ulimit -n 512; exec "$@"', 'sh' ] },
		qw(-w 1 -p 0 -4), @user);
	my (undef, $output) = ctl('-s', control_socket($server), 'doctor');

	like($output, qr/^warn\snofile:\sa\sprocess\smay\shave\s512\s[^\n]*;\scure:\sulimit[^\n]*\n/mx,
		'a limit, in one line with its cure');
	is($server->stop, 0, 'exit status');
	return;
}

sub reloads {
	my $file = write_file("$dir/conf", 'workers 1', 'bind 127.0.0.1:0');
	my $server = Prefork->start('-c', $file, @user);
	my @ctl    = ('-s', control_socket($server));
	my $names  = sub { (ctl(@ctl, 'doctor'))[1] =~ /^warn[ ](configuration|reload):/gmx };

	is_deeply([ $names->() ], [], 'a configuration as it was read');
	write_file($file, 'workers 1', 'colour blue');
	utime time + 10, time + 10, $file;
	is_deeply([ $names->() ], ['configuration'], 'written since then');
	ctl(@ctl, 'reload');
	is_deeply([ $names->() ], [qw(configuration reload)], 'doctor warns of the changed file, and of the refused reload');
	write_file($file, 'workers 2', 'bind 127.0.0.1:0');
	utime time - 10, time - 10, $file;
	is((ctl(@ctl, 'reload'))[0], 0, 'a good one');
	is_deeply([ $names->() ], [], 'doctor warns of nothing after a good reload');
	is($server->stop, 0, 'exit status');
	return;
}

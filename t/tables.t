#!/usr/bin/perl

# Signals, commands, metrics, exit statuses, the messages of the channel, the events of a
# slot and the options of pfk_main stand in one table each in the code; the manuals, README.md and
# DESIGN.md have the same ones.

use strict;
use warnings;

use FindBin;
use Test::More;

# As sysexits(3) numbers them.
my %STATUS = (
	EX_OK    => 0,  EX_USAGE       => 64, EX_DATAERR    => 65, EX_NOINPUT => 66,
	EX_NOUSER => 67, EX_NOHOST     => 68, EX_UNAVAILABLE => 69, EX_SOFTWARE => 70,
	EX_OSERR => 71, EX_OSFILE      => 72, EX_CANTCREAT  => 73, EX_IOERR   => 74,
	EX_TEMPFAIL => 75, EX_PROTOCOL => 76, EX_NOPERM     => 77, EX_CONFIG  => 78,
);

# Signals in prefork-echo(8) that have no row in the table, because the kernel acts
# on them, or because they are no orders.
my %KERNEL = map { $_ => 1 } qw(CHLD STOP TSTP CONT KILL ABRT BUS FPE ILL SEGV SYS TRAP);

chdir "$FindBin::Bin/.." or die "chdir: $!\n";

signals();
commands();
metrics();
statuses();
messages();
slots();
options();
done_testing();

sub text {
	my (@paths) = @_;

	return join q{}, map {
		open my $file, '<', $_ or die "$_: $!\n";
		<$file>
	} @paths;
}

# The distinct ones, sorted.
sub set { my %set = map { $_ => 1 } @_; return [ sort keys %set ] }

sub table_of {
	my ($path, $begin) = @_;
	my ($table) = text($path) =~ /$begin\s*=\s*[{](.*?)[}];/s;

	return $table // die "$path has no $begin\n";
}

sub signals {
	my $wanted = set(grep { $_ ne 'CHLD' } table_of('lib/process/orders.c', qr/table\[\]/) =~ /\{SIG([A-Z0-9]+)/g);
	my ($section) = text('cmd/prefork-echo/prefork-echo.8') =~ /^[.]Sh\sSIGNALS\n(.*?)^[.]Sh/ms;
	my ($rows) = text('README.md') =~ /^## Signals to the master\n(.*?)^##/ms;

	my @items = map { split / , / } $section =~ /^[.]It Dv (.*)/mg;
	is_deeply(set(grep { !$KERNEL{$_} } @items), $wanted, 'prefork-echo(8) has the signals');
	is_deeply(set(map { split / and / } text('lib/prefork.h') =~ /^ [*] - ([A-Z0-9]+(?: and [A-Z0-9]+)?): /mg),
		$wanted, 'the contract of pfk_master_run has them');
	is_deeply(set(map { split /, / } $rows =~ /^\| ([A-Z0-9, ]+) \|/mg), $wanted, 'README.md has them');
	return;
}

# prefork-ctl has top besides, which it makes of the metrics.
sub commands {
	my $wanted = set('top', table_of('lib/process/command.c', qr/commands\[\]/) =~ /\{"([a-z]+)"/g);

	is_deeply(set(table_of('cmd/prefork-ctl/options.c', qr/commands\[\]/) =~ /\{"([a-z]+)",/g),
		$wanted, 'prefork-ctl --help has the commands');
	my ($section) = text('cmd/prefork-ctl/prefork-ctl.8') =~ /^([.]It Cm status.*?)^[.]Sh/ms;
	is_deeply(set($section =~ /^[.]It Cm ([a-z]+)/mg), $wanted, 'prefork-ctl(8) has them');
	return;
}

sub metrics {
	my $wanted = set(text('lib/process/metrics.c') =~ /"(prefork_[a-z_]+)"/g);

	is_deeply(set(text('cmd/prefork-ctl/prefork-ctl.8') =~ /\b(prefork_[a-z_]+)/g), $wanted,
		'prefork-ctl(8) has the metrics');
	return;
}

# Of prefork-echo: statuses of the control protocol alone are not its own.
sub statuses {
	my $code = text(glob('lib/main/*.c lib/process/*.c cmd/prefork-echo/*.c'));
	my %protocol = (EX_PROTOCOL => 1);
	my $wanted = set(map { $STATUS{$_} // $_ } grep { !$protocol{$_} } $code =~ /\b(EX_[A-Z]+)\b/g);
	my ($section) = text('cmd/prefork-echo/prefork-echo.8') =~ /^[.]Sh EXIT STATUS\n(.*?)^[.]Sh/ms;

	is_deeply(set($section =~ /^[.]It (\d+)/mg), $wanted, 'prefork-echo(8) has the exit statuses');
	return;
}

# Each is explained where it stands, and has a row with its sender.
sub messages {
	my ($enum) = text('lib/process/channel.h') =~ /^enum pfk__msg [{]\n(.*?)^[}];/ms;
	my (%sender, $sender);

	for (split /\n/, $enum) {
		$sender = $1 if m{/[*] From the ([a-z]+)[.] [*]/};
		next if !/^\tPFK__MSG_([A-Z_]+)(?: = 1)?, +(.*)/;
		$sender{$1} = $sender;
		like($2, qr{^/[*] \w}, "$1 has its comment");
	}
	my ($table) = text('contrib/DESIGN.md') =~ /^[|] message [|] from [|] says [|]\n(.*?)^$/ms;
	my %row;
	for (grep { !/^[|]---/ } split /\n/, $table) {
		my ($names, $from) = /^[|] ([A-Z_, ]+) [|] ([a-z]+)/;
		$row{$_} = $from for split /, /, $names;
	}
	is_deeply(\%row, \%sender, 'DESIGN.md has the messages and their senders');
	return;
}

# The states and events of a slot: DESIGN.md has a column and a row for each.
sub slots {
	my $header = text('lib/process/slot.h');
	my $design = text('contrib/DESIGN.md');
	my %names;

	for my $enum (qw(state event)) {
		my ($list) = $header =~ /^enum pfk__slot_$enum [{]\n(.*?)^[}];/ms;
		$names{$enum} = [ $list =~ /^\tPFK__SLOT_([A-Z_]+)/mg ];
	}
	my ($means) = $design =~ /^[|] state [|] serving [|] booting [|] means [|]\n(.*?)^$/ms;
	my ($columns, $rows) = $design =~ /^[|] event [|] (.*?) [|]\n(.*?)^$/ms;
	is_deeply([ $means =~ /^[|] ([A-Z]+) /mg ], $names{state}, 'DESIGN.md explains each state of a slot');
	is_deeply([ split / [|] /, $columns ], $names{state}, 'its table of events has a column for each');
	is_deeply([ $rows =~ /^[|] ([A-Z_]+) /mg ], $names{event}, 'its table of events has a row for each event');
	return;
}

# The options of each program of pfk_main; t/manual.t compares a program's own manual.
sub options {
	my ($rows) = text('lib/main/options.c') =~ /pfk__main_options\[\]\s*=\s*[{]\n(.*?)^[}];/ms;
	my ($section) = text('lib/libprefork.3') =~ /^[.]Sh MAIN\n(.*?)^[.]Sh/ms;
	my ($list) = $section =~ /(^[.]Fl -bind .*?)^[.]El/ms;

	is_deeply(set($list =~ /\bFl -([a-z0-9-]+)/g), set($rows =~ /^\s*[{](?:0|'.'), "([a-z0-9-]+)"/mg),
		'libprefork(3) has the options of pfk_main');
	return;
}

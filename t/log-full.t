#!/usr/bin/perl

# The reader of the log stands still, or is missing: no client notices, and a
# reload goes through.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Fcntl qw(O_RDONLY O_NONBLOCK);
use POSIX qw(mkfifo);
use Prefork;
use Prefork::Life;
use Test::More;

use constant ECHOES => 8000; # two lines each: more than all pipes hold

my $dir = temp_dir();

stands_still('a FIFO', sub { ('-l', $_[0]) });
stands_still('standard error', sub { () },
	[ '/bin/sh', '-c', 'exec 2>"$0" "$@"' ]);
nobody_reads();
done_testing();

# A FIFO that is opened for reading, and its reader.
sub new_fifo {
	my ($name) = @_;
	my $path = "$dir/$name";

	mkfifo($path, 0600) or die "$path: $!\n";
	sysopen my $reader, $path, O_RDONLY | O_NONBLOCK or die "$path: $!\n";
	return ($path, $reader);
}

sub pull {
	my ($reader, $log) = @_;

	while (sysread $reader, my $piece, 65_536) {
		${$log} .= $piece;
	}
	return ${$log};
}

sub stands_still {
	my ($name, $log_option, $wrapper) = @_;
	my ($path, $reader) = new_fifo($wrapper ? 'stderr' : 'log');
	my $log    = q{};
	my $server = Prefork->spawn({ wrapper => $wrapper ? [ @{$wrapper}, $path ] : [] },
		$log_option->($path), '-v', '-w', 2, '-p', 0, '-4');
	my $ready = qr/\]\sready:.*\stcp\s127[.]0[.]0[.]1:(\d+)/x;

	ok(wait_for(sub { pull($reader, \$log) =~ $ready }, 20), "$name: ready");
	my ($port) = $log =~ $ready;
	my @open = map { tcp('127.0.0.1', $port) } 1 .. 8;
	my @bad = grep {
		my $text = $_ . q{.} x 60;
		(echo_once($open[ $_ % 8 ], $text) // q{}) ne $text
	} 1 .. ECHOES;
	is_deeply(\@bad, [], 'nobody reads it, and everybody is answered');
	my %old = map { $_ => 1 } current_workers($server);
	$server->signal('HUP');
	ok(wait_for(sub { my @now = current_workers($server);
				@now == 2 && !grep { $old{$_} } @now }, 20),
		'a reload goes through');
	is(echo_once($_, 'x'), 'x', 'a connection goes on after the reload') for @open;
	pull($reader, \$log);
	my $from = 1 + rindex $log, "\n";
	ok(wait_for(sub {
			echo_once(tcp('127.0.0.1', $port), 'later');
			pull($reader, \$log) =~ /^\[worker-\d\s.*\]\s\d+\slog\slines\sdropped/mx;
		}, 20), 'the number of lost lines is logged when it is read again');
	unlike(substr($log, $from), qr/^(?!\[)./mx, 'in whole lines');
	is($server->stop, 0, 'exit status');
	return;
}

sub nobody_reads {
	my $path = "$dir/nobody";
	my $pid  = "$dir/pid";

	mkfifo($path, 0600) or die "$path: $!\n";
	my $server = Prefork->spawn('-l', $path, '-P', $pid, '-w', 1, '-p', 0, '-4');
	ok(wait_for(sub { -s $pid }, 20), 'a FIFO without a reader: ready');
	sysopen my $reader, $path, O_RDONLY | O_NONBLOCK or die "$path: $!\n";
	my $log = q{};
	ok(wait_for(sub { pull($reader, \$log) =~ /\]\sready:/x }), 'a late reader has it all');
	is($server->stop, 0, 'exit status');
	return;
}

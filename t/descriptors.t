#!/usr/bin/perl

# Every descriptor of every process is accounted for: a process holds those that
# it must and no more, also after reloads, deaths, resizes and other addresses,
# and with any that its parent had open.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use POSIX ();
use Prefork;
use Prefork::Life;
use Test::More;

my $dir  = temp_dir();
my $file = "$dir/conf";
my @both = ('bind 127.0.0.1:0');
my @tcp  = ('bind tcp:127.0.0.1:0');
my @more = (@both, 'bind 127.0.0.2:0');

configure(2, @both);
my $server = Prefork->start({ setup => \&leave_open }, '-c', $file,
	'-P', "$dir/pid");

accounted('at first', 2, 2);
happens('HUP', qr/\]\sreloaded:/x);
accounted('after a reload', 2, 2);
killed($_) for 0, 1;
accounted('after deaths', 2, 2);
happens('TTIN', qr/\]\sstarted\sworker\s2/x);
accounted('with one worker more', 3, 2);
happens('TTOU', qr{closed\sthe\slisteners\sof\sremoved\sslots;\s2\sworkers\sleft}x);
accounted('with one worker fewer', 2, 2);
reconfigured('an address more', 2, 4, @more);
reconfigured('an address fewer', 2, 2, @both);
reconfigured('without UDP', 2, 1, @tcp);
reconfigured('with UDP again', 2, 2, @both);
reconfigured('all at once', 3, 4, @more);
is($server->stop, 0, 'exit status');
done_testing();

sub configure {
	my ($workers, @binds) = @_;

	return write_file($file, "workers $workers", @binds);
}

# Leave descriptors open, as a careless parent does.
sub leave_open {
	my $null = POSIX::open('/dev/null', POSIX::O_RDWR());

	POSIX::dup2($null, $_) for 7, 8, 50;
	return;
}

sub happens {
	my ($signal, $line) = @_;
	my $from = $server->log_size;

	$server->signal($signal);
	return ok($server->wait_log($line, undef, $from), $signal);
}

sub killed {
	my ($slot) = @_;
	my $from = $server->log_size;

	kill 'KILL', { $server->workers }->{$slot};
	return ok($server->wait_log(qr/^\[worker-$slot\s.*\sserving\son/mx, undef, $from),
		"worker $slot is replaced");
}

sub reconfigured {
	my ($name, $workers, $sockets, @binds) = @_;

	configure($workers, @binds);
	happens('HUP', qr/\]\sreloaded:/x);
	return accounted($name, $workers, $sockets);
}

# So many workers, each with so many sockets.
sub accounted {
	my ($name, $workers, $sockets) = @_;
	my @wrong;
	my $right = sub {
		@wrong = wrong($workers, $sockets);
		return !@wrong;
	};

	wait_for($right, 20);
	return is_deeply(\@wrong, [], "$name: every descriptor is accounted for");
}

sub wrong {
	my ($workers, $sockets) = @_;
	my @pids  = current_workers($server);
	my %kinds = kinds_of_sockets();
	my (@wrong, %served);

	return 'not yet so many workers' if @pids != $workers;
	my %master = account($server->pid, \%kinds);
	push @wrong, differs('master', \%master, {
		epoll    => 1,
		wake     => 2 + 2 + $workers, # the loop's, and the pipes to the log
		log      => 1,
		pidfile  => 2,
		lock     => 1,
		inotify  => 1,
		control  => 1,
		areas    => 1, # the memory that it shares with the workers
		channel  => $workers + 1, # and the log process's
		pidfd    => $workers,
		listener => $workers * $sockets,
	});
	for my $pid (@pids) {
		my %worker = account($pid, \%kinds);
		push @wrong, differs("worker $pid", \%worker, {
			epoll    => 1,
			wake     => 2,
			log      => 1,
			spare    => 1,
			channel  => 1,
			listener => $sockets,
		});
		$served{$_}++ for @{ $worker{listener} // [] };
	}
	push @wrong, 'a socket of two workers' if grep { $_ > 1 } values %served;
	push @wrong, 'others in custody than are served'
	    if "@{[ sort keys %served ]}" ne "@{[ sort @{ $master{listener} // [] } ]}";
	return @wrong;
}

sub differs {
	my ($who, $have, $want) = @_;
	my %all = (%{$have}, %{$want});

	return map { "$who: $_: @{ $have->{$_} // [] }" }
	    grep { @{ $have->{$_} // [] } != ($want->{$_} // 0) } sort keys %all;
}

# The descriptors above standard error: kind => [targets].
sub account {
	my ($pid, $kinds) = @_;
	my %fds = fds($pid);
	my %account;

	for my $fd (grep { $_ > 2 } keys %fds) {
		my $target = $fds{$fd};
		my $kind =
		      $target eq ($fds{2} // q{}) ? 'log'
		    : $target =~ /^pipe:/         ? 'wake'
		    : $target =~ /eventpoll/      ? 'epoll'
		    : $target =~ /\[eventfd\]/ ? 'spare'
		    : $target =~ m{^\Q$dir\E(?:/pid)?$} ? 'pidfile'
		    : $target =~ /[.]lock$/       ? 'lock'
		    : $target =~ /inotify/        ? 'inotify'
		    : $target =~ /pidfd/          ? 'pidfd'
		    : $target =~ /memfd:prefork/  ? 'areas'
		    : $target =~ /^socket:\[(\d+)/ ? $kinds->{$1} // 'other socket'
		    :                               'other';
		push @{ $account{$kind} }, $target;
	}
	return %account;
}

# inode => kind.
sub kinds_of_sockets {
	my %kinds;

	for my $table (['tcp', 9], ['udp', 9], ['unix', 6]) {
		my ($name, $column) = @{$table};
		open my $handle, '<', "/proc/net/$name" or next;
		while (my $line = <$handle>) {
			my @fields = split q{ }, $line;
			# Sequenced packets, or a listener, or any UDP socket.
			if ($name eq 'unix' && ($fields[7] // q{}) =~ /[.]sock$/) {
				$kinds{ $fields[6] } = 'control';
				next;
			}
			next if $name eq 'unix' && $fields[4] ne '0005';
			next if $name eq 'tcp' && $fields[3] ne '0A';
			$kinds{ $fields[$column] } = $name eq 'unix' ? 'channel' : 'listener';
		}
	}
	return %kinds;
}

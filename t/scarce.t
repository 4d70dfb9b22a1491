#!/usr/bin/perl

# Where the system grants little memory, a worker takes less room for unsent output, and
# says so. Clients that do not read fill it: each of them gets less, and all of them get
# every byte in the end, over a kill as well. A master that gets none goes on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use Prefork;
use Prefork::Life qw(slurp);
use Socket;
use Test::More;

use constant CLIENTS => 400;
use constant BUFFER  => 8192;

plan skip_all => 'a sanitizer needs an address space without a limit'
    if slurp("$Prefork::O/flags") =~ /-fsanitize/;

for my $options ([], ['-v']) {
	my $server = Prefork->start({ wrapper => [ qw(/bin/sh -c), 'ulimit -v 80000; exec "$@"', 'sh' ] },
		qw(-4 -w 1 -p 0), @{$options}, '--send-buffer', BUFFER);
	my @clients = map { { socket => small($server), sent => 0, got => q{} } } 1 .. CLIENTS;

	ok($server->wait_log(qr/memory\sis\sscarce\s.*:\sunsent\soutput\smay\stake\s\d+\sMiB\s/x),
		"@{$options}: a line says that memory is scarce");
	fill(\@clients);
	my $sent = 0;
	$sent += $_->{sent} for @clients;
	cmp_ok($sent, '>', CLIENTS * 2 * BUFFER, "nobody reads: $sent bytes");
	kill 'KILL', { $server->workers }->{0};
	is(echo_once($server->tcp_socket, 'x'), 'x', 'one that reads is served');
	drain_all(\@clients);
	my @bad = grep { $clients[$_]{got} ne bytes($clients[$_]{sent}) } 0 .. $#clients;
	is_deeply(\@bad, [], 'each client that reads again gets all its bytes');
	undef @clients;
	is($server->stop, 0, 'exit status');
}
no_memory_for_the_master();
done_testing();

# Its next worker has none either, and fails.
sub no_memory_for_the_master {
	my $server = Prefork->start(qw(-4 -w 1 -p 0));

	limit($server, 1_000_000);
	$server->signal('HUP');
	ok($server->wait_log(qr/reload\sfailed:\s/x), 'no memory: a reload fails');
	is(echo_once($server->tcp_socket, 'x'), 'x', 'clients are served');
	limit($server, 'unlimited');
	$server->signal('HUP');
	ok($server->wait_log(qr/reloaded:\s1\sworker$/mx), 'with memory the master reloads');
	is($server->stop, 0, 'exit status');
	return;
}

sub limit {
	my ($server, $bytes) = @_;
	my @command = ('prlimit', "--as=$bytes:", '--pid', $server->pid);

	system(@command) == 0 or die "@command\n";
	return;
}

sub small {
	my ($server) = @_;
	socket my $socket, PF_INET, SOCK_STREAM, 0 or die "socket: $!\n";

	setsockopt $socket, SOL_SOCKET, SO_RCVBUF, BUFFER;
	connect $socket, pack_sockaddr_in($server->port, INADDR_LOOPBACK) or die "connect: $!\n";
	$socket->blocking(0);
	return $socket;
}

sub bytes {
	my ($n) = @_;
	return substr join(q{ }, 1 .. 60_000), 0, $n;
}

# Sends until nobody can send for a second.
sub fill {
	my ($clients) = @_;
	my %of    = map { $_->{socket} => $_ } @{$clients};
	my $all   = IO::Select->new(map { $_->{socket} } @{$clients});
	my $bytes = bytes(300_000);

	while (my @ready = $all->can_write(1)) {
		for my $client (map { $of{$_} } @ready) {
			my $n = syswrite $client->{socket}, $bytes, 65_536, $client->{sent};
			$client->{sent} += $n // 0;
			$all->remove($client->{socket})
			    if !defined $n && !$!{EAGAIN} || $client->{sent} > length($bytes) - 65_536;
		}
	}
	return;
}

# Reads until each client has as many bytes as it has sent, or its connection ends.
sub drain_all {
	my ($clients) = @_;
	my %of  = map { $_->{socket} => $_ } @{$clients};
	my $all = IO::Select->new(map { $_->{socket} } @{$clients});

	while (my @ready = $all->can_read(20)) {
		for my $client (map { $of{$_} } @ready) {
			my $n = sysread $client->{socket}, $client->{got}, 65_536, length $client->{got};
			$all->remove($client->{socket}) if !$n || length $client->{got} >= $client->{sent};
		}
		last if !$all->count;
	}
	return;
}

#!/usr/bin/perl

# --exporter: prefork-exporter as a process of the service. It asks by the channel
# that it has inherited, is replaced when it dies, follows a reload and an upgrade,
# and ends with its master.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Copy ();
use File::Temp ();
use IO::Socket::IP ();
use Prefork;
use Prefork::Control;
use Prefork::Life;
use Prefork::Tools qw(alive children);
use Test::More;

-x Prefork::program('prefork-exporter') or plan skip_all => 'prefork-exporter is left out: no libmicrohttpd';

serves();
follows();
upgrades();
as_another_user();
ends_with_master();
is_missing();
is_quiet();
done_testing();

# A port of our own address, which no other test takes.
sub start {
	my (@options) = @_;

	return Prefork->start('-4', qw(-p 0 -w 2), @options);
}

# Where it says that it serves, the n-th time.
sub address {
	my ($server, $n) = @_;
	my @found;

	wait_for(sub { (@found = $server->log_text =~ m{serving[ ]on[ ]http://(\S+?)/}gx) >= ($n // 1) });
	return $found[-1] // die "no exporter\n";
}

sub fetch {
	my ($where, $path) = @_;
	my $socket = IO::Socket::IP->new(PeerAddr => $where, Timeout => 10) or return q{};

	print {$socket} "GET $path HTTP/1.0\r\n\r\n";
	return read_until_eof($socket);
}

sub exporters { my ($server) = @_; return grep { title($_) =~ /prefork-exporter/ } children($server->pid) }

sub title {
	my ($pid) = @_;
	open my $file, '<', "/proc/$pid/cmdline" or return q{};

	return join q{ }, split /\0/, <$file> // q{};
}

sub serves {
	my $server = start(qw(--control off --exporter 127.0.0.1:0));
	my $where  = address($server);
	my $client = $server->tcp_socket;

	is(echo_once($client, 'x'), 'x', 'a client');
	like(fetch($where, '/metrics'), qr/\nprefork_up[{]service="prefork-echo[^"]*"[}]\s1\n/x,
		'metrics, though the control socket is off');
	like(fetch($where, '/livez'), qr/\AHTTP\S+\s200\s/x, 'it lives');
	like(fetch($where, '/readyz'), qr/\AHTTP\S+\s200\s/x, '/readyz is 200');
	like(fetch($where, '/status.json'), qr/"state":\s"running"/x, 'status');
	my ($pid) = exporters($server);
	kill 'KILL', $pid;
	ok($server->wait_log(qr/the\sexporter\s[(]$pid[)]\skilled\sby\ssignal\s9.*again\sin\s1\ss/x), 'its death is logged');
	like(fetch(address($server, 2), '/livez'), qr/\s200\s/x, 'a successor of the killed exporter serves');
	is(echo_once($client, 'y'), 'y', 'the client has not noticed');
	($pid) = exporters($server);
	is($server->stop, 0, 'exit status');
	ok(wait_for(sub { !alive($pid) }), 'it has ended with the service');
	return;
}

sub follows {
	my $conf = File::Temp->new;
	write_file("$conf", "exporter 127.0.0.1:0\n");
	my $server = start('-c', "$conf");

	my $first = address($server);
	my ($pid) = exporters($server);
	write_file("$conf", "idle-timeout 100\nexporter 127.0.0.1:0\n");
	is((ctl('-s', control_socket($server), 'reload'))[0], 0, 'a reload of other options');
	is_deeply([ exporters($server) ], [$pid], 'leaves it alone');
	write_file("$conf", "exporter localhost:0\n");
	is((ctl('-s', control_socket($server), 'reload'))[0], 0, 'a reload with another address');
	like(fetch(address($server, 2), '/livez'), qr/\s200\s/x, 'replaces it');
	ok(!alive($pid), 'the old one has ended');
	($pid) = exporters($server);
	write_file("$conf", "idle-timeout 100\n");
	is((ctl('-s', control_socket($server), 'reload'))[0], 0, 'a reload without it');
	ok(wait_for(sub { !alive($pid) }), 'ends it');
	is($server->stop, 0, 'exit status');
	return;
}

sub upgrades {
	my $server = start(qw(--exporter 127.0.0.1:0));
	my $client = $server->tcp_socket;
	address($server);
	my ($pid) = exporters($server);

	is(echo_once($client, 'x'), 'x', 'a client');
	is((ctl('-s', control_socket($server), 'upgrade'))[0], 0, 'an upgrade');
	like(fetch(address($server, 2), '/readyz'), qr/\s200\s/x, 'has an exporter of the new program');
	ok(wait_for(sub { !alive($pid) }), 'the old one has ended');
	is(echo_once($client, 'y'), 'y', 'the client is there');
	is($server->stop, 0, 'exit status');
	return;
}

# It runs as the workers' user, who could not even connect to the control socket.
sub as_another_user {
	SKIP: {
		skip 'another user takes root', 1 if !is_root();
		my $dir = temp_dir();
		public_program($dir);
		File::Copy::copy(Prefork::program('prefork-exporter'), "$dir/prefork-exporter") or die "copy: $!\n";
		chmod 0755, "$dir/prefork-exporter";
		my $server = Prefork->start({ program => "$dir/prefork-echo" },
			qw(-4 -p 0 -w 2 -u nobody --exporter 127.0.0.1:0));
		like(fetch(address($server), '/status.json'), qr/"state":\s"running"/x, 'it may ask');
		my ($pid) = exporters($server);
		is((stat "/proc/$pid")[4], scalar getpwnam('nobody'), 'as another user');
		is($server->stop, 0, 'exit status');
	}
	return;
}

sub ends_with_master {
	my $server = start(qw(--exporter 127.0.0.1:0 --orphan-timeout 0));
	address($server);
	my ($pid) = exporters($server);

	kill 'KILL', $server->pid;
	ok(wait_for(sub { !alive($pid) }), 'a killed master takes it along');
	return;
}

# An address in use, or no program: the service serves on.
sub is_missing {
	my $busy = IO::Socket::IP->new(LocalAddr => '127.0.0.1', Listen => 1) or die "listen: $!\n";
	my $server = start('--exporter', '127.0.0.1:' . $busy->sockport);

	ok($server->wait_log(qr/\[exporter\s[(]\d+[)]\].*Address\salready\sin\suse/x), 'an address in use is logged');
	ok($server->wait_log(qr/the\sexporter\s[(]\d+[)]\sexited[ ]with[ ]status\s69;\sstarting\sit\sagain\sin\s2\ss/x),
		'the exporter is started again in 2 s');
	is(echo_once($server->tcp_socket, 'x'), 'x', 'the service serves');
	is($server->stop, 0, 'exit status');
	return;
}

# One that a quiet service starts.
sub is_quiet {
	my $server = start('--exporter', '127.0.0.1:0');
	address($server);
	my ($old) = exporters($server);

	is((ctl('-s', control_socket($server), 'loglevel', 'warning'))[0], 0, 'loglevel warning');
	my $from = $server->log_size;
	kill 'KILL', $old;
	ok($server->wait_log(qr/the\sexporter\s[(]$old[)]\skilled\sby/x, undef, $from), 'its end is logged');
	my $new = wait_for(sub { (grep { $_ != $old } exporters($server))[0] }, 20);
	like(title($new), qr/--quiet/, 'the next one is quiet, as the service');
	is($server->stop, 0, 'exit status');
	unlike(substr($server->log_text, $from), qr/\[exporter\s/x, 'it logs no start and no stop');
	return;
}

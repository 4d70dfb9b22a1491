#!/usr/bin/perl

# Counters: each end of a connection has its cause, none falls when workers die
# or leave, and Prometheus can read them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Control;
use Prefork::Life;
use Prefork::Sockets qw(have);
use Prefork::Tools   qw(run_cmd);
use Socket           qw(SHUT_WR SOL_SOCKET SO_LINGER);
use Test::More;

use constant ROUNDS => 20;

# A sanitizer would take the signal for a fault, and exit.
my %plain = (env => { ASAN_OPTIONS => ($ENV{ASAN_OPTIONS} // q{}) . ':handle_segv=0' });

form();
ends();
traffic();
never_fall();
balance();
own();
top();
textfile();
done_testing();

# The answer of metrics, and all samples in it by their name with labels; the
# label that is the same in all is left out.
sub scrape {
	my ($server, $request) = @_;
	my $text = ask($server, $request // '1 metrics');
	my %sample;

	$text =~ s/\AOK\n//x or return $text;
	for my $line (grep { !/^\#/ } split /\n/, $text) {
		my ($name, $value) = $line =~ /^(\S+)\s(\S+)$/x;
		$sample{ $name =~ s/service="[^"]*",?//xr =~ s/[{][}]//xr } = $value;
	}
	return ($text, \%sample);
}

# A counter's sum over all of its labels but those given.
sub total {
	my ($sample, $name, $label) = @_;
	my $sum = 0;

	for (keys %{$sample}) {
		$sum += $sample->{$_} if /^$name(?:[{]|$)/ && (!defined $label || /$label/);
	}
	return $sum;
}

# Each family is described once and stands together, as the format wants it.
sub form {
	my $server = Prefork->start(qw(-w 2 -p 0 -4));
	my ($text) = scrape($server);
	my (%seen, %described, $last);
	my @wrong;

	for my $line (split /\n/, $text) {
		if ($line =~ /^[#][ ](HELP|TYPE)[ ]([a-z_]+)[ ](.+)$/x) {
			push @wrong, $line if $described{"$1 $2"}++;
			$last = $2;
		} elsif ($line =~ /^([a-z_]+)[{]service="[^"\n]+"(?:,[a-z]+="[^"\n]*")*[}][ ][0-9.e+-]+$/x) {
			my $family = $1 =~ s/_(?:bucket|sum|count)$//xr;
			push @wrong, $line if $family ne $last && $1 ne $last;
			push @wrong, "again: $line" if $seen{$line =~ s/\s\S+$//xr}++;
		} else {
			push @wrong, $line;
		}
	}
	is_deeply(\@wrong, [], 'all lines are well formed');
	cmp_ok(scalar(keys %seen), '>', 100, 'there are many');
	my $most = 0;
	my %le;
	$le{$1}++ while $text =~ /^(\w+)_bucket[{][^}]*slot="0"/gmx;
	is(join(q{ }, sort keys %le),
		'prefork_first_byte_seconds prefork_loop_turn_seconds prefork_response_seconds',
		'the histograms');
	cmp_ok($_, '<=', 20, 'of at most 20 buckets') for values %le;
	SKIP: {
		skip 'promtool is not installed', 1 if !have('promtool');
		my ($code, $out, $err) = run_cmd({ input => $text }, '/usr/bin/env',
			qw(promtool check metrics));
		is("$code$out$err", '0', 'promtool finds no fault');
	}
	my ($open) = scrape($server, '1 metrics openmetrics');
	like($open, qr/\n[#][ ]EOF\n\z/x, 'OpenMetrics has an end');
	like($open, qr/^[#][ ]TYPE[ ]prefork_reloads[ ]counter\nprefork_reloads_total[{]/mx,
		'OpenMetrics names counters without their suffix');
	is($server->stop, 0, 'exit status');
	return;
}

# Wait until the cause has so many.
sub closed {
	my ($server, $cause, $n) = @_;
	my $sample;

	ok(wait_for(sub {
		(undef, $sample) = scrape($server);
		return total($sample, 'prefork_connections_closed_total', qr/cause="$cause"/) == $n;
	}, 20), "$n closed by $cause");
	return $sample;
}

sub ends {
	my $server = Prefork->start(qw(-w 1 -p 0 -4 -i 1 --max-per-source 3));

	for (1 .. 2) {
		my $socket = $server->tcp_socket;
		is(echo_once($socket, 'x'), 'x', 'a connection');
	}
	closed($server, 'peer', 2);
	my $idle = $server->tcp_socket;
	echo_once($idle, 'x');
	closed($server, 'idle', 1);
	my @many = map { $server->tcp_socket } 1 .. 5;
	closed($server, 'limit', 2);
	close $_ for @many;
	closed($server, 'peer', 5);
	my $reset = $server->tcp_socket;
	setsockopt $reset, SOL_SOCKET, SO_LINGER, pack 'II', 1, 0;
	close $reset;
	my $sample = closed($server, 'error', 1);
	is(total($sample, 'prefork_connections_accepted_total'), 9, 'all were accepted');
	is(total($sample, 'prefork_connections_closed_total'), 9, 'all connections have ended')
	    or diag(join "\n", grep { /closed/ && $sample->{$_} } %{$sample});
	is(total($sample, 'prefork_connections'), 0, 'none is open');
	is($server->stop, 0, 'exit status');

	$server = Prefork->start(qw(-w 1 -p 0 -4 -1));
	my $socket = $server->tcp_socket;
	syswrite $socket, 'x';
	is(read_until_eof($socket), 'x', '--once');
	close $socket;
	closed($server, 'once', 1);
	is($server->stop, 0, 'exit status');
	return;
}

sub traffic {
	my $server = Prefork->start(qw(-w 2 -p 0 -4));
	my $socket = $server->tcp_socket;

	is(echo_once($socket, 'x' x 10), 'x' x 10, 'TCP') for 1 .. 100;
	is(echo_once($server->udp_socket, 'y' x 7), 'y' x 7, 'UDP') for 1 .. 5;
	# A worker counts a send once the call has returned, when the client may
	# have the answer already.
	my $sample;
	wait_for(sub {
		(undef, $sample) = scrape($server);
		return total($sample, 'prefork_datagrams_sent_total') >= 5
		    && total($sample, 'prefork_messages_sent_total') >= 100;
	}, 20);
	my %want = (
		connections => 1, connections_accepted_total => 1,
		messages_received_total => 100, messages_sent_total => 100,
		received_bytes_total => 1000, sent_bytes_total => 1000,
		datagrams_received_total => 5, datagrams_sent_total => 5,
		datagrams_received_bytes_total => 35, datagrams_sent_bytes_total => 35,
		first_byte_seconds_count => 1,
	);
	is(total($sample, "prefork_$_"), $want{$_}, $_) for sort keys %want;
	cmp_ok(total($sample, 'prefork_response_seconds_count'), '>=', 2, 'some responses are timed');
	cmp_ok(total($sample, 'prefork_loop_turn_seconds_count'), '>=', 100, 'all turns of the loop are timed');
	my $s = status($server);
	is("@{$s->{totals}}{qw(connections accepted messages_received datagrams_sent bytes_sent)}",
		'1 1 100 5 1000', 'the status has them, too');
	my ($slot) = grep { $_->{accepted} } @{ $s->{slots} };
	cmp_ok($slot->{loop_turn_p99_seconds}, '>=', $slot->{loop_turn_p50_seconds}, 'the p99 of a turn is not below the p50');
	like((ctl('-s', control_socket($server), 'status'))[1],
		qr/^SLOT\s.*\n(?:.*\n)?\s+\d\s+\d+\s+\w+\s+\d+s\s+1\s+1\s+10\d\s+1[.]0k\s+1[.]0k\s/mx,
		'also as text');

	# A predecessor's counts stay.
	is((ctl('-s', control_socket($server), 'reload'))[0], 0, 'a reload');
	is(echo_once($socket, 'z'), 'z', 'after a reload');
	# The predecessors may still serve then, and hand over later.
	wait_for(sub {
		(undef, $sample) = scrape($server);
		return total($sample, 'prefork_connections_handed_over_total') >= 1
		    && total($sample, 'prefork_connections_resumed_total') >= 1
		    && total($sample, 'prefork_messages_received_total') >= 101;
	}, 20);
	is(total($sample, 'prefork_messages_received_total'), 101, 'it goes on');
	is(total($sample, 'prefork_connections_handed_over_total'), 1, 'one was handed over');
	is(total($sample, 'prefork_connections_resumed_total'), 1, 'one connection was resumed');

	# So do a predecessor program's, which ends with a reload.
	is((ctl('-s', control_socket($server), 'upgrade'))[0], 0, 'an upgrade');
	(undef, $sample) = scrape($server);
	is(total($sample, 'prefork_reloads_total'), 2, 'the reloads go on');
	is($server->stop, 0, 'exit status');
	return;
}

# All counters that have fallen between two scrapes.
sub fallen {
	my ($was, $is) = @_;

	return grep { /_(?:total|count|sum|bucket)(?:[{]|$)/ && !/_sum/
		    && (!exists $is->{$_} || $is->{$_} < $was->{$_}) } sort keys %{$was};
}

# Reloads, kills and other numbers of workers, mixed, under load.
sub never_fall {
	my $server = Prefork->start({%plain}, qw(-w 3 -p 0 -4));
	my $path   = control_socket($server);
	my @clients = map { $server->tcp_socket } 1 .. 6;
	my (undef, $was) = scrape($server);
	my ($echoes, @wrong) = (0);
	my @events = (
		sub { kill 'KILL', (current_workers($server))[0] },
		sub { ctl('-s', $path, 'reload') },
		sub { kill 'SEGV', (current_workers($server))[0] },
		sub { ctl('-s', $path, 'workers', 2) },
		sub { ctl('-s', $path, 'workers', 4) },
		sub { kill 'TERM', (current_workers($server))[0] },
	);

	for my $round (1 .. ROUNDS) {
		$events[ $round % @events ]->();
		for my $client (@clients) {
			# One that was being served at a crash is closed.
			if ((echo_once($client, "round $round") // q{}) eq "round $round") {
				$echoes++;
			} else {
				$client = $server->tcp_socket;
			}
		}
		my (undef, $is) = scrape($server);
		push @wrong, map { "$round: $_ $was->{$_} -> " . ($is->{$_} // 'none') } fallen($was, $is);
		$was = $is;
	}
	is_deeply(\@wrong, [], 'no counter falls');
	cmp_ok(total($was, 'prefork_messages_received_total'), '>=', $echoes,
		'all messages that clients saw are counted');
	cmp_ok($echoes, '>', ROUNDS, 'of which there were many');
	for my $cause (qw(killed crashed left)) {
		cmp_ok(total($was, 'prefork_restarts_total', qr/cause="$cause"/), '>=', 1,
			"restarts of workers that were $cause");
	}
	is($server->stop, 0, 'exit status');
	return;
}

# Each accepted connection is open or has ended, also when workers were killed
# meanwhile.
sub balance {
	my $server = Prefork->start(qw(-w 2 -p 0 -4));
	my @open = map { $server->tcp_socket } 1 .. 8;

	echo_once($_, 'x') for @open;
	close pop @open for 1 .. 3;
	kill 'KILL', (current_workers($server))[0];
	is(echo_once($_, 'y'), 'y', 'it goes on') for @open;
	is((ctl('-s', control_socket($server), 'reload'))[0], 0, 'a reload');
	is(echo_once($_, 'z'), 'z', 'a connection goes on after the reload') for @open;
	my $sample;
	ok(wait_for(sub {
		(undef, $sample) = scrape($server);
		my $in = total($sample, 'prefork_connections_accepted_total')
		    + total($sample, 'prefork_connections_resumed_total');
		my $out = total($sample, 'prefork_connections_closed_total')
		    + total($sample, 'prefork_connections_handed_over_total');
		return $in - $out == total($sample, 'prefork_connections') && $in - $out == 5;
	}, 20), 'accepted + resumed = open + closed + handed over');
	is(total($sample, 'prefork_connections_accepted_total'), 8, 'accepted');
	is($server->stop, 0, 'exit status');
	return;
}

# Those of a program that is built on the library.
sub own {
	my $server = Prefork->start({ program => "$Prefork::O/examples/kv" }, '-p', 0, '-4');
	my $socket = $server->tcp_socket;
	my $put = sub { syswrite $socket, "SET a b\n"; sysread $socket, my $answer, 100; $answer };

	is($put->(), "a=b\n", 'a request') for 1 .. 3;
	my ($text, $sample) = scrape($server);
	is($sample->{'kv_requests_total{slot="0"}'}, 3, 'a counter');
	is($sample->{'kv_store_bytes{slot="0"}'}, 4, 'a gauge');
	like($text, qr/^[#]\sHELP\skv_requests_total\sLines[.]\n
		[#]\sTYPE\skv_requests_total\scounter$/mx, 'they are described');
	is_deeply(status($server)->{slots}[0]{metrics}, { kv_requests_total => 3, kv_store_bytes => 4 },
		'the status has them');
	like((ctl('-s', control_socket($server), 'status'))[1], qr/^kv_requests_total:\s3$/mx, 'as text');
	is((ctl('-s', control_socket($server), 'reload'))[0], 0, 'a reload');
	$socket = $server->tcp_socket;
	is($put->(), "a=b\n", 'after a reload');
	(undef, $sample) = scrape($server);
	is($sample->{'kv_requests_total{slot="0"}'}, 4, 'the counter goes on');
	is($server->stop, 0, 'exit status');
	return;
}

# Rates: of one second where there is no terminal, else until q.
sub top {
	my $server = Prefork->start(qw(-w 2 -p 0 -4));
	my @clients = map { $server->tcp_socket } 1 .. 3;
	my @ctl = (Prefork::program('prefork-ctl'), '-s', control_socket($server), 'top');

	echo_once($_, 'x') for @clients;
	my ($code, $output, $errors) = run_cmd({ timeout => 30 }, @ctl);
	is("$code$errors", '0', 'top, once');
	like($output, qr/\A\s+SLOT\s+CONNS\s[^\n]*\n(?:\s+[01]\s+\d[^\n]*\n){2}
		\s+all\s+3\s+0\s[^\n]*%\s+0\n\z/x, 'a row a slot, and their sum');
	SKIP: {
		skip 'no script(1)', 2 if !have('script');
		($code, $output) = run_cmd({ timeout => 30, input => 'q' }, '/usr/bin/env', 'script',
			'-qec', "@ctl", '/dev/null');
		is($code, 0, 'on a terminal, until q');
		like($output, qr/\e\[[?]1049h.*\e\[[?]1049l/xs, 'whose screen comes back');
	}
	is($server->stop, 0, 'exit status');
	return;
}

# The file of the textfile collector.
sub textfile {
	my $server = Prefork->start(qw(-w 1 -p 0 -4));
	my $dir  = File::Temp->newdir('prefork-XXXXXX', TMPDIR => 1);
	my $file = write_file("$dir/prefork.prom", 'old');
	my @ctl  = ('-s', control_socket($server), 'metrics', '--output');

	is_deeply([ ctl(@ctl, $file) ], [ 0, q{}, q{} ], 'metrics --output');
	like(slurp($file), qr/\A[#]\sHELP\sprefork_up\s/x, 'the file is replaced');
	is_deeply([ glob "$dir/*" ], [$file], 'no temporary file is left beside the written one');
	is((stat $file)[2] & oct 777, oct 644, 'others may read it');
	my ($code, undef, $errors) = ctl(@ctl, "$dir/none/prefork.prom");
	is($code, 73, 'no such directory: exit 73');
	like($errors, qr/cannot\swrite\s\S+prom:\sNo\ssuch/x, 'the error says that there is no such directory');
	# Longer than a buffer, so that the last write is not the one that fails.
	my $ctl = Prefork::program('prefork-ctl');
	($code, undef, $errors) = run_cmd('sh', '-c', 'exec "$@" >/dev/full', 'sh', $ctl, @ctl[ 0, 1 ], 'metrics');
	is($code, 74, 'a full disk: exit 74');
	is($errors, "prefork-ctl: cannot write: No space left on device\n", 'the error says that there is no space left');
	mkdir "$dir/full";
	my ($failed) = ctl(@ctl, "$dir/full");
	is($failed, 73, 'a directory is in the way');
	is_deeply([ sort glob "$dir/*" ], [ "$dir/full", $file ], 'no temporary file is left beside the directory');
	is($server->stop, 0, 'exit status');
	return;
}

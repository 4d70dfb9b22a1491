#!/usr/bin/perl

# A real Prometheus scrapes prefork-exporter while workers are killed and the
# service is reloaded and upgraded: no counter falls and no scrape fails. The alert
# rules and the dashboard are tried on it, too.
#
# 	EVENTS=1000 prove contrib/operate/prometheus.t    for so many events

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../t/lib";

use HTTP::Tiny;
use JSON::PP ();
use Prefork;
use Prefork::Control;
use Prefork::Life;
use Prefork::Sockets qw(have sockets_of);
use Prefork::Tools   qw(spawn_process);
use Test::More;

use constant EVENTS   => 20;
use constant INTERVAL => '200ms';
use constant PATIENCE => 60;

my $exporter_program = Prefork::program('prefork-exporter');
plan skip_all => 'prefork-exporter is not built' if !-x $exporter_program;
local $ENV{PATH} = "$Prefork::ROOT/build-operate/usr/bin:$ENV{PATH}";
plan skip_all => 'prometheus is not here; contrib/setup operate unpacks it'
    if !have('prometheus') || !have('promtool');

my $http     = HTTP::Tiny->new(timeout => PATIENCE);
my $monitors = "$Prefork::ROOT/contrib/monitoring";
my $server   = Prefork->start(qw(-w 2 -p 0 -4 --name operate));
my $exporter = Prefork->spawn({ program => $exporter_program }, '-l', '127.0.0.1:0',
	control_socket($server));
$exporter->wait_log(qr/\]\sready$/mx) or BAIL_OUT('no exporter');
my ($target) = $exporter->log_text =~ m{http://(127[.]0[.]0[.]1:\d+)/};
my $dir = temp_dir();
my ($pid, $api) = prometheus();

rules();
ok(wait_for(sub { value('prefork_up') }, PATIENCE), 'prometheus has scraped');
events($ENV{EVENTS} // EVENTS);
counters();
dashboard();
kill 'TERM', $pid;
waitpid $pid, 0;
is($exporter->stop, 0, 'exit status of the exporter');
is($server->stop, 0, 'exit status');
done_testing();

# A private one on a port of the kernel's choice: its pid, and the address.
sub prometheus {
	my $port;

	write_file("$dir/prometheus.yml", 'global:', "  scrape_interval: ${\INTERVAL}",
		"  scrape_timeout: ${\INTERVAL}", 'scrape_configs:', '  - job_name: prefork',
		'    scrape_interval: ' . INTERVAL, '    static_configs:', "      - targets: ['$target']");
	open my $log, '>', "$dir/log" or die "log: $!\n";
	my $child = spawn_process({ stdout => $log, stderr => $log }, pathname('prometheus'),
		"--config.file=$dir/prometheus.yml", "--storage.tsdb.path=$dir/data",
		'--web.listen-address=127.0.0.1:0');
	ok(wait_for(sub {
		($port) = map { $_->{port} } grep { $_->{state} eq 'listening' } sockets_of($child);
		return $port && $http->get("http://127.0.0.1:$port/-/ready")->{success};
	}, PATIENCE), 'prometheus is ready') or BAIL_OUT(slurp("$dir/log"));
	return ($child, "http://127.0.0.1:$port/api/v1");
}

sub pathname {
	my ($name) = @_;

	return (grep { -x } map { "$_/$name" } split /:/, $ENV{PATH})[0];
}

# The series of a query's answer.
sub series {
	my ($query) = @_;
	my $answer = $http->post_form("$api/query", { query => $query });
	my $result = JSON::PP::decode_json($answer->{content});

	die "$query: $result->{error}\n" if $result->{status} ne 'success';
	return @{ $result->{data}{result} };
}

sub value {
	my ($query) = @_;
	my ($first) = series($query);

	return $first ? $first->{value}[1] : undef;
}

sub rules {
	for my $command ([qw(check rules alerts.yml)], [qw(test rules alerts.test.yml)]) {
		my ($code, $output, $errors) =
		    run_cmd({ dir => $monitors, timeout => PATIENCE }, pathname('promtool'), @{$command});
		is($code, 0, "promtool @{$command}") or diag($output . $errors);
	}
	my ($code, $output, $errors) = run_cmd({ input => $http->get("http://$target/metrics")->{content} },
		pathname('promtool'), qw(check metrics));
	is($output . $errors, q{}, 'promtool check metrics is silent');
	return;
}

# Reloads, killed workers and upgrades, with clients between them.
sub events {
	my ($n) = @_;
	my @control = ('-s', control_socket($server));
	my %happened;

	for my $i (1 .. $n) {
		my $what = (qw(kill reload kill upgrade))[ $i % 4 ];
		if ($what eq 'kill') {
			my ($victim) = grep { $_->{slot} == $i / 2 % 2 } @{ status($server)->{slots} };
			kill 'KILL', $victim->{pid};
			ok(wait_for(sub { is_replaced($victim) }, PATIENCE), "event $i: killed, and replaced")
			    or last;
		} else {
			my ($code, $output, $errors) = ctl(@control, $what);
			is($code, 0, "event $i: $what") or diag($errors);
		}
		$happened{$what}++;
		is(echo_once($server->tcp_socket, "event $i"), "event $i", 'it serves') or last;
	}
	is(value('sum(prefork_restarts_total)') // 'none', $happened{kill}, 'each death was counted')
	    if wait_for(sub { value('sum(prefork_restarts_total)') == $happened{kill} }, PATIENCE);
	return;
}

sub is_replaced {
	my ($victim) = @_;
	my ($slot) = grep { $_->{slot} == $victim->{slot} } @{ status($server)->{slots} };

	return $slot->{state} eq 'serving' && $slot->{pid} != $victim->{pid};
}

# Each counter has been scraped many times, and has never fallen.
sub counters {
	my %types = $http->get("http://$target/metrics")->{content} =~ /^\#\sTYPE\s(\S+)\s(\S+)$/gmx;
	my @names = map { $types{$_} eq 'counter' ? $_ : ("${_}_bucket", "${_}_sum", "${_}_count") }
	    grep { $types{$_} ne 'gauge' } sort keys %types;

	cmp_ok(scalar @names, '>', 20, 'counters: ' . @names);
	ok(wait_for(sub { value('count_over_time(prefork_up[1d])') > 20 }, PATIENCE), 'they were scraped');
	for my $name (@names) {
		is_deeply([ map { JSON::PP->new->canonical->encode($_) } series("resets($name\[1d]) > 0") ], [],
			"$name has never fallen");
		cmp_ok(value("max(count_over_time($name\[1d]))"), '>', 5, 'of many samples');
	}
	is(value('min_over_time(up[1d])'), 1, 'no scrape has failed');
	is(value('min_over_time(prefork_up[1d])'), 1, 'and the service was always up');
	return;
}

# All queries of the dashboard find something.
sub dashboard {
	my $board = JSON::PP::decode_json(slurp("$monitors/grafana.json"));
	my @queries = map { $_->{expr} } map { @{ $_->{targets} // [] } } @{ $board->{panels} };

	cmp_ok(scalar @queries, '>', 8, 'the dashboard has queries');
	for my $query (@queries) {
		$query =~ s/\$__rate_interval/5m/g;
		$query =~ s/\$service/.*/g;
		ok(scalar(series($query)), "$query finds something");
	}
	return;
}

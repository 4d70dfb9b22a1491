#!/usr/bin/perl

# The page of prefork-exporter in a real Chromium: it shows slots, deaths and
# findings, follows the service, fits into 360 px, has a dark mode, and obeys the
# keyboard; nothing of it is refused by its own policy.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../t/lib";

use Fcntl qw(F_DUPFD);
use IO::Handle;
use JSON::PP ();
use MIME::Base64 qw(decode_base64);
use POSIX        ();
use Prefork;
use Prefork::Control;
use Prefork::Life;
use Prefork::Sockets qw(have);
use Prefork::Tools   qw(spawn_process now);
use Test::More;

use constant PATIENCE => 60;
use constant PHONE    => 360;

my $exporter_program = Prefork::program('prefork-exporter');
plan skip_all => 'prefork-exporter is not built' if !-x $exporter_program;
my ($browser) = grep { have($_) } qw(chromium-headless-shell chromium chromium-browser);
plan skip_all => 'chromium is not here; contrib/setup operate installs it' if !$browser;

my $server   = Prefork->start(qw(-w 2 -p 0 -4 --name operate));
my $exporter = Prefork->spawn({ program => $exporter_program }, '-l', '127.0.0.1:0',
	control_socket($server));
$exporter->wait_log(qr/\]\sready$/mx) or BAIL_OUT('no exporter');
my ($target) = $exporter->log_text =~ m{(http://127[.]0[.]0[.]1:\d+/)};
my $dir = temp_dir();
my ($to, $from, $buffer, $number, $session, @events) = (undef, undef, q{}, 0);
my $pid = browse();

page();
phone();
dark();
keyboard();
follows();
is_deeply([ map { $_->{params}{entry}{text} // $_->{params}{exceptionDetails}{text} } @events ],
	[], 'the browser has no complaint');
close $to;
kill 'TERM', $pid;
waitpid $pid, 0;
is($exporter->stop, 0, 'exit status');
done_testing();

# A browser that is commanded by descriptors 3 and 4, at the page.
sub browse {
	my ($path) = grep { -x } map { "$_/$browser" } split /:/, $ENV{PATH};

	pipe my $in, $to or die "pipe: $!\n";
	pipe $from, my $out or die "pipe: $!\n";
	$to->autoflush;
	my @copies = map { fcntl($_, F_DUPFD, 10) } $in, $out;
	open my $log, '>', "$dir/log" or die "log: $!\n";
	my $child = spawn_process(
		{
			stdout => $log,
			stderr => $log,
			setup  => sub { POSIX::dup2($copies[$_], 3 + $_) for 0, 1 },
		},
		$path, qw(--headless --no-sandbox --disable-dev-shm-usage --disable-gpu
		    --remote-debugging-pipe), "--user-data-dir=$dir/profile", 'about:blank'
	);
	POSIX::close($_) for @copies;
	close $_ for $in, $out;
	my ($page) = grep { $_->{type} eq 'page' } @{ call('Target.getTargets')->{targetInfos} };
	$session = call('Target.attachToTarget', targetId => $page->{targetId},
		flatten => JSON::PP::true())->{sessionId};
	call("$_.enable") for qw(Page Runtime Log);
	call('Page.navigate', url => $target);
	ok(wait_for(sub { value('document.documentElement.dataset.ready') }, PATIENCE), 'the page has data')
	    or diag(slurp("$dir/log"));
	return $child;
}

# call($method, %parameters): the result.
sub call {
	my ($method, %parameters) = @_;
	my $message = { id => ++$number, method => $method, params => \%parameters };
	my $deadline = now() + PATIENCE;

	$message->{sessionId} = $session if $session;
	print {$to} JSON::PP::encode_json($message), "\0" or die "the browser has gone: $!\n";
	while (now() < $deadline) {
		while ($buffer =~ s/\A([^\0]*)\0//x) {
			my $answer = JSON::PP::decode_json($1);
			my $name = $answer->{method} // q{};
			push @events, $answer if $name eq 'Log.entryAdded' || $name eq 'Runtime.exceptionThrown';
			next if ($answer->{id} // 0) != $number;
			die "$method: $answer->{error}{message}\n" if $answer->{error};
			return $answer->{result};
		}
		my $set = q{};
		vec($set, fileno $from, 1) = 1;
		next if !select $set, undef, undef, 1;
		sysread $from, $buffer, 65_536, length $buffer or die "the browser has gone\n" . slurp("$dir/log");
	}
	die "$method: no answer\n";
}

# The value of an expression in the page.
sub value {
	my ($expression) = @_;

	return call('Runtime.evaluate', expression => $expression,
		returnByValue => JSON::PP::true())->{result}{value};
}

sub text { return value('document.body.innerText') }

sub page {
	is(value('document.querySelectorAll("tbody tr").length'), 2, 'a row for each slot');
	like(text(), qr/operate\s.*running,\sprefork-echo/sx, 'the service and its state');
	like(text(), qr/Last\sdeaths\s+none/x, 'no death');
	like(text(), qr/Findings\s.*(?:warn|info|none)/sx, 'the findings');
	is(value('getComputedStyle(document.querySelector("h1")).fontSize'), '20.8px',
		'its style is in force');
	my $shot = decode_base64(call('Page.captureScreenshot')->{data});
	like($shot, qr/\A\x89PNG/, 'a screenshot');
	cmp_ok(length $shot, '>', 10_000, 'which is not empty');
	return;
}

sub width {
	my ($width) = @_;

	return call('Emulation.setDeviceMetricsOverride', width => $width, height => 800,
		deviceScaleFactor => 1, mobile => JSON::PP::true());
}

sub phone {
	width(PHONE);
	is(value('innerWidth'), PHONE, 'a window of ' . PHONE . ' px');
	cmp_ok(value('document.documentElement.scrollWidth'), '<=', PHONE,
		'does not scroll sideways');
	cmp_ok(value('document.querySelector(".table").scrollWidth'), '>', PHONE, 'but its table does');
	width(1024);
	return;
}

sub dark {
	my %paper;

	for my $scheme (qw(light dark)) {
		call('Emulation.setEmulatedMedia', features =>
			[ { name => 'prefers-color-scheme', value => $scheme } ]);
		$paper{$scheme} = value('getComputedStyle(document.body).backgroundColor');
	}
	is_deeply(\%paper, { light => 'rgb(255, 255, 255)', dark => 'rgb(13, 17, 23)' },
		'a light and a dark mode');
	return;
}

sub press {
	my ($key, $code, $text) = @_;

	for my $type (qw(keyDown keyUp)) {
		call('Input.dispatchKeyEvent', type => $type, key => $key, code => $key,
			windowsVirtualKeyCode => $code, $type eq 'keyDown' && $text ? (text => $text) : ());
	}
	return;
}

sub keyboard {
	press('Tab', 9);
	is(value('document.activeElement.id'), 'pause', 'Tab goes to the button');
	is_visible(value('getComputedStyle(document.activeElement).outlineStyle'));
	press('Enter', 13, "\r");
	is(value('document.activeElement.getAttribute("aria-pressed")'), 'true', 'Enter presses it');
	press('Tab', 9);
	is(value('document.activeElement.className'), 'table', 'the next stop is the table');
	value('document.getElementById("pause").click()');
	return;
}

sub is_visible {
	my ($style) = @_;

	return cmp_ok($style, 'ne', 'none', 'and the focus is seen');
}

# A death, a row that is replaced, and a service that is gone.
sub follows {
	my ($victim) = @{ status($server)->{slots} };

	kill 'KILL', $victim->{pid};
	ok(wait_for(sub { text() =~ /worker\s0\s\($victim->{pid}\):\s.*SIGKILL/x }, PATIENCE),
		'a death is shown');
	ok(wait_for(sub { value('document.querySelector("tbody td:nth-child(13)").innerText') eq '1' },
		PATIENCE), 'and counted in its row');
	is($server->stop, 0, 'the service stops');
	ok(wait_for(sub { text() =~ /it\sis\snot\srunning/x }, PATIENCE), 'that is shown, too');
	is(value('document.querySelector("table").offsetParent === null'), 1, 'without old rows');
	return;
}

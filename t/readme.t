#!/usr/bin/perl

# Every command in README.md and contrib/HACKING.md runs, and each path that they
# or contrib/DESIGN.md name exists. Commands that would take long or need root only
# prove that they could: make's targets with -n, prove's with --dry.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Test::More;

chdir $Prefork::ROOT or die "chdir: $!\n";

my $server;
my @rules = (
	[ qr/^make\b/         => sub { runs("$_[0] -n SETUP=true O=$Prefork::O") } ],
	[ qr/^prove\b/        => sub { local $ENV{PREFORK_BUILT} = 1; runs("$_[0] --dry") } ],
	[ qr/^man\s(\S+)$/    => sub { ok(-e $1, $_[0]) } ],
	[ qr/^\S+\s.*&$/      => \&starts ],
	[ qr/^echo\s(\w+)\s[|]/ => sub { echoes($_[0], "$1\n") } ],
	[ qr/-s\sreload\b/    => sub { logs($_[0], qr/\]\sreloaded:/) } ],
	[ qr/-s\sstop\b/      => sub { runs($_[0]); is($server->wait_exit, 0, 'it stops') } ],
	[ qr{^build/prefork-ctl\s.*\sstop$} => sub { runs($_[0]); is($server->wait_exit, 0, 'it stops') } ],
	[ qr{^build/(?:echo-(?:check|client)|prefork-ctl)\s} => \&runs ],
	[ qr{^contrib/torture/} => sub { runs("$_[0] --dry-run") } ],
	[ qr{^contrib/cases/run\s-l$} => \&runs ],
	[ qr{^build/\S+\s(?:--help|-[tT]\s)} => \&runs ],
);

my %page = map { $_ => page($_) } qw(README.md contrib/HACKING.md contrib/DESIGN.md);
my @commands = grep { /\S/ } map { split /\n/ } map { blocks('sh', $page{$_}) } qw(README.md contrib/HACKING.md);
cmp_ok(scalar @commands, '>', 5, 'the pages have commands');
for my $command (@commands) {
	my ($rule) = grep { $command =~ $_->[0] } @rules;
	if ($rule && $command =~ $rule->[0]) {
		$rule->[1]->($command);
	} else {
		fail("nobody knows how to check: $command");
	}
}
for my $name (sort keys %page) {
	for my $path (grep { m{/} } map { split q{ } } inline($page{$name})) {
		$path =~ s{[/:]$}{};
		ok(-e $path, "$name: $path exists")
		    if $path =~ m{^(?:cmd|lib|t|contrib)(?:/|$)} && $path !~ m{^t/(?:unit-)?x[.]};
	}
}
my $help = join q{}, map { (run_cmd(Prefork::program($_), '--help'))[1] }
    qw(prefork-echo prefork-ctl echo-check echo-client);
for my $option (grep { /^--?\w/ } map { split q{ } } inline($page{'README.md'})) {
	like($help, qr/(?<![\w-])\Q$option\E(?![\w-])/, "$option is an option")
	    if $option !~ /^--(?:cflags|libs)$/;
}
my ($version) = (run_cmd(Prefork::program('prefork-echo'), '--version'))[1] =~ /\s(\S+)$/;
like($page{'README.md'}, qr/^This is \Q$version\E,/m, 'README.md has the version');
done_testing();

sub page {
	my ($path) = @_;

	open my $file, '<', $path or die "$path: $!\n";
	return join q{}, <$file>;
}

# The texts between ```KIND and ```.
sub blocks { my ($kind, $text) = @_; return $text =~ /^```$kind\n(.*?)^```$/gms }

# The texts between single back-quotes.
sub inline {
	my ($text) = @_;

	$text =~ s/^```.*?^```$//gms;
	return $text =~ /`([^`\n]+)`/g;
}

# The command with our own port, pid file and build.
sub adapt {
	my ($command) = @_;

	if ($server) {
		my $port = $server->port;
		$command =~ s/\b8888\b/$port/g;
		$command =~ s{\becho[.]pid\b}{$server->{pid_file}}g;
		$command =~ s{\becho[.]sock\b}{$server->{pid_dir}/echo.sock}g;
	}
	$command =~ s{^build/}{$Prefork::O/};
	return $command;
}

sub runs {
	my ($command) = @_;
	my ($status, $output, $errors) = run_cmd('/bin/sh', '-c', adapt($command));

	is($status, 0, $command) or diag($errors);
	return $output;
}

sub starts {
	my ($command) = @_;
	my ($program, @arguments) = split q{ }, $command =~ s/\s*&$//r;
	my $dir = File::Temp->newdir;

	like($program, qr{^build/prefork-echo$}, $command);
	s/^8888$/0/ for @arguments;
	s{^echo[.](pid|sock)$}{$dir/echo.$1} for @arguments;
	$server = Prefork->start(@arguments);
	$server->{pid_file} = "$dir/echo.pid";
	$server->{pid_dir}  = $dir;
	return;
}

sub echoes {
	my ($command, $text) = @_;
	my ($tool) = $command =~ /[|]\s(\w+)/;

	SKIP: {
		skip "$tool is not installed", 2
		    if !grep { -x "$_/$tool" } split /:/, $ENV{PATH};
		is(runs($command), $text, 'it comes back');
	}
	return;
}

sub logs {
	my ($command, $pattern) = @_;
	my $from = $server->log_size;

	runs($command);
	ok($server->wait_log($pattern, undef, $from), 'the log says so');
	return;
}

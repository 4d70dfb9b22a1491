package Bench::Build;

# Builds the floor, the load and every peer that has its packages, when its
# source is newer, and names the missing packages of Debian.

use strict;
use warnings;

use Cwd            ();
use Exporter       'import';
use File::Basename ();
use File::Path     ();
use Prefork::Tools qw(run_cmd compiler);

our @EXPORT_OK = qw(built missing);

use constant TIMEOUT => 120;

our $ROOT = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../../..');
our $O    = $ENV{PREFORK_O} // 'build';
$O = "$ROOT/$O" if $O !~ m{^/};

my $here = "$ROOT/contrib/bench";
my @c    = ('/usr/bin/env', compiler(), qw(-std=gnu11 -O2 -g -D_GNU_SOURCE -o));
my @cxx  = ('/usr/bin/env', split(q{ }, $ENV{CXX} // 'c++'), qw(-std=c++17 -O2 -DASIO_STANDALONE -o));
my %missing;

# Sources, the command up to the target, the words after the sources, and the
# package that it needs.
my %recipes = (
	floor    => [ 'floor.c',          \@c,               [],          'gcc' ],
	load     => [ 'load/*.c',         \@c,               [],          'gcc' ],
	libuv    => [ 'peers/libuv.c',    \@c,               ['-luv'],    'libuv1-dev' ],
	libevent => [ 'peers/libevent.c', \@c,               ['-levent'], 'libevent-dev' ],
	libev    => [ 'peers/libev.c',    \@c,               ['-lev'],    'libev-dev' ],
	uring    => [ 'peers/uring.c',    \@c,               ['-luring'], 'liburing-dev' ],
	asio     => [ 'peers/asio.cc',    \@cxx,             ['-pthread'], 'g++ and libasio-dev' ],
	go       => [ 'peers/echo.go',    [qw(go build -o)], [],          'golang-go' ],
);

# The path of a built program, or nothing when it cannot be built.
sub built {
	my ($name) = @_;
	my ($from, $command, $libs, $package) = @{ $recipes{$name} };
	my $target  = "$O/bench/$name";
	my @sources = glob "$here/$from";

	return $target if -x $target && !grep { -M $_ < -M $target } @sources, glob "$here/load/*.h";
	File::Path::make_path("$O/bench");
	my ($code, undef, $errors) = run_cmd(
		{
			timeout => TIMEOUT,
			env     => { GO111MODULE => 'off', GOCACHE => "$O/bench/go-cache" },
		},
		@{$command}, $target, @sources, @{$libs}
	);
	return $target if $code eq '0';
	die "$name cannot be built:\n$errors" if $name eq 'floor' || $name eq 'load';
	missing($name, $package);
	return;
}

# missing(NAME, PACKAGE) notes it; missing() is all of them.
sub missing {
	my ($name, $package) = @_;

	$missing{$name} = $package if defined $name;
	return %missing;
}

1;

#!/usr/bin/perl

# Completion in bash: it offers the options that the program's --help has, and
# values that fit. bash is asked as if Tab had been pressed.

use strict;
use warnings;

use File::Temp ();
use FindBin;
use lib "$FindBin::Bin/lib";

use Prefork;
use Prefork::Life;
use Prefork::Sockets qw(have);
use Test::More;

plan skip_all => 'bash is not installed' if !have('bash');

my $SCRIPT = "$Prefork::ROOT/contrib/completion.bash";

# $1 is the script and the others are the words, of which the last is completed;
# the function is called as bash does it.
my $ASK = <<'END';
source "$1" || exit 1
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
f=$(complete -p "${1##*/}") && f=${f#*-F } && f=${f%% *} || exit 2
"$f" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" || :
[ ${#COMPREPLY[@]} -eq 0 ] || printf '%s\n' "${COMPREPLY[@]}"
END

my $dir = temp_dir();
write_file("$dir/some file", 'x');
write_file("$dir/some.conf", 'x');
write_file("$dir/hosts", '127.0.0.1 some.example', '127.0.0.1 other.example');
mkdir "$dir/somewhere" or die "mkdir: $!\n";

options($_) for grep { -x Prefork::program($_) }
    qw(prefork-echo echo-client echo-check prefork-ctl prefork-exporter);

my @cases = (
	[ 'prefork-echo --poll'       => '--poller' ],
	[ 'prefork-echo --poller '    => qw(auto epoll poll) ],
	[ 'prefork-echo --poller e'   => 'epoll' ],
	[ 'prefork-echo --poller ='   => qw(auto epoll poll) ],
	[ 'prefork-echo --poller = p' => 'poll' ],
	[ 'prefork-echo --nodelay '   => qw(off on) ],
	[ 'prefork-echo --nodelay of' => 'off' ],
	[ 'prefork-echo --keepalive ' => 'off' ],
	[ 'prefork-echo -w '          => 'auto' ],
	[ 'prefork-echo -w 4 --workers a' => 'auto' ],
	[ 'prefork-echo -s '          => qw(quit reload reopen stop upgrade) ],
	[ 'prefork-echo -P some -s re' => qw(reload reopen) ],
	[ 'prefork-echo -c some'      => 'some file', qw(some.conf somewhere) ],
	[ 'prefork-echo --config some.' => 'some.conf' ],
	[ 'prefork-echo -P somew'     => 'somewhere' ],
	[ 'prefork-echo -l '          => '-', 'hosts', 'some file', qw(some.conf somewhere syslog) ],
	[ 'prefork-echo -l sys'       => 'syslog' ],
	[ 'prefork-echo -u roo'       => 'root' ],
	[ 'prefork-echo -b some'      => 'some.example' ],
	[ 'prefork-echo -p '          => () ],
	[ 'prefork-echo '             => () ],
	[ 'prefork-echo --control '   => 'hosts', 'off', 'some file', qw(some.conf somewhere) ],
	[ 'prefork-echo --control of' => 'off' ],
	[ 'prefork-echo --control-group roo' => 'root' ],
	[ 'prefork-ctl '              => qw(connections doctor drain dump kill loglevel metrics reload reopen status stop top undrain upgrade why workers) ],
	[ 'prefork-ctl st'            => qw(status stop) ],
	[ 'prefork-ctl -s some.'      => 'some.conf' ],
	[ 'prefork-ctl -s some.conf re' => qw(reload reopen) ],
	[ 'prefork-ctl loglevel '     => qw(debug error info warning) ],
	[ 'prefork-ctl loglevel d'    => 'debug' ],
	[ 'prefork-ctl connections --by s' => qw(slot source) ],
	[ 'prefork-ctl workers '      => () ],
	[ 'prefork-ctl status --j'    => '--json' ],
	[ 'prefork-ctl stop '         => () ],
	[ 'prefork-echo -v -no'       => () ],
	[ 'echo-client --api '        => qw(poll protocol stream) ],
	[ 'echo-client --api p'       => qw(poll protocol) ],
	[ 'echo-client --nodelay '    => qw(off on) ],
	[ 'echo-client -4 some'       => 'some.example' ],
	[ 'echo-client --source oth'  => 'other.example' ],
	[ 'echo-client -p 7 o'        => 'other.example' ],
	[ 'echo-check -c other'       => 'other.example' ],
	[ 'echo-check --js'           => '--json' ],
);
for my $case (@cases) {
	my ($line, @wanted) = @{$case};
	is_deeply([ offered(split q{ }, $line, -1) ], [ sort @wanted ], $line);
}
is_deeply([ run_cmd('bash', '-uc', "source '$SCRIPT'; declare -F | grep -v __prefork") ],
	[ 1, q{}, q{} ], 'it defines nothing else');
done_testing();

sub offered {
	my ($program, @words) = @_;
	my ($code, $output, $errors) = run_cmd(
		{ dir => "$dir", env => { HOSTFILE => "$dir/hosts" } },
		'bash', '--norc', '-c', $ASK, 'bash', $SCRIPT,
		Prefork::program($program), @words
	);

	is("$code$errors", '0', 'bash says nothing') if "$code$errors" ne '0';
	return sort split /\n/, $output;
}

# All that --help has, short and long.
sub options {
	my ($program) = @_;
	my (undef, $help) = run_cmd(Prefork::program($program), '--help');
	my @options = map { grep { defined } @{$_} }
	    map { [/^\s+(?:(-\w),\s)?(--[\w-]+)/] } split /\n/, $help;

	cmp_ok(scalar @options, '>', 5, "$program has options");
	is_deeply([ offered($program, q{-}) ], [ sort @options ], "$program: each option of --help is offered");
	is_deeply([ offered($program, q{--}) ], [ sort grep { /^--/ } @options ], 'the long ones, too');
	return;
}

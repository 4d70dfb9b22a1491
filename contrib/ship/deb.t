#!/usr/bin/perl

# Debian's packages of `make deb`: lintian has no complaint; on a copy of this system
# they are installed, upgraded under a connected client, removed and purged.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../t/lib";

use Prefork;
use Prefork::Life;
use Test::More;

use constant TIMEOUT => 500;

chdir $Prefork::ROOT or die "$Prefork::ROOT: $!\n";
-e '.git' or plan skip_all => 'this is no clone: make deb packs a commit';
for my $tool (qw(dpkg-buildpackage dh fakeroot lintian)) {
	system("command -v $tool >/dev/null") == 0
	    or plan skip_all => "$tool is missing: contrib/setup ship installs it";
}
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL CFLAGS LDFLAGS O)};

my $dir  = temp_dir();
my @names = qw(libprefork-dev libprefork0 prefork-ctl prefork-echo prefork-exporter);
my ($code, $output, $errors) = run_cmd({ timeout => TIMEOUT }, 'make', 'deb', "O=$dir/o", 'SETUP=true');
is($code, 0, 'make deb') or BAIL_OUT($errors);
my %deb = map { m{/([a-z0-9-]+)_[^/]*\z} ? ($1 => $_) : () } grep { !/-dbgsym_/ } glob "$dir/o/deb/*.deb";
is_deeply([ sort keys %deb ], \@names, 'the packages');

($code, $output, $errors) = run_cmd({ timeout => TIMEOUT }, qw(lintian --allow-root --fail-on), 'error,warning',
	glob "$dir/o/deb/*.changes");
is("$code$output$errors", '0', 'lintian: no error, no warning');

SKIP: {
	skip 'a system of its own takes root', 1 if !is_root();
	mkdir "$dir/$_" or die "$_: $!\n" for qw(system next);
	my $mount = "mount -t tmpfs none $dir/system && mkdir $dir/system/up $dir/system/work $dir/system/root && " .
	    "mount -t overlay overlay -o lowerdir=/,upperdir=$dir/system/up,workdir=$dir/system/work $dir/system/root";
	skip 'no overlay of the root can be mounted here', 1 if system("unshare -m sh -c '$mount' 2>/dev/null") != 0;
	next_version($_) for @names;
	my $run = "$mount && cd $dir/system/root && mount -t proc proc proc && mount --rbind /dev dev && " .
	    "mount -t tmpfs none run && mount -t tmpfs none tmp && mkdir tmp/old tmp/next && " .
	    "cp $dir/o/deb/*.deb tmp/old/ && rm -f tmp/old/*-dbgsym* && cp $dir/next/*.deb tmp/next/ && " .
	    'ip link set lo up && exec chroot . bash -s';
	($code, $output, $errors) = run_cmd({ timeout => TIMEOUT, input => join q{}, <DATA> },
		qw(unshare -m -n --pid --fork --kill-child sh -c), $run);
	is($code, 0, 'installed, upgraded, removed and purged') or diag($output . $errors);
	is_deeply([ $output =~ /^-\s(.*)$/gm ], [
			'user prefork-echo', 'user prefork-exporter', 'serves', 'answers one', 'the old program runs', 'upgraded', 'answers two', 'the new program runs',
			'the same master', 'the exporter answers', 'a program is built', 'removed', 'purged' ],
		'step by step');
}
done_testing();

# The same package with a later version.
sub next_version {
	my ($name) = @_;

	is(system("dpkg-deb -R $deb{$name} $dir/next/$name && " .
		    "sed -i 's/1[.]0[.]0~rc1/1.0.0~rc2/' $dir/next/$name/DEBIAN/control && " .
		    "dpkg-deb --root-owner-group -b $dir/next/$name $dir/next/$name.deb >/dev/null && rm -r $dir/next/$name"),
		0, "$name, a later version");
	return;
}

__DATA__
set -eu
export DEBIAN_FRONTEND=noninteractive
wait_for() {
	for try in $(seq 300); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.1
	done
	echo "not in 30 s: $*"
	exit 1
}
dpkg -i /tmp/old/*.deb
for user in prefork-echo prefork-exporter; do
	getent passwd $user | grep -q ':/usr/sbin/nologin$' && echo "- user $user"
done
[ -f /etc/prefork-echo.conf ] && [ -f /etc/logrotate.d/prefork-echo ]
prefork-echo -t -c /etc/prefork-echo.conf
man -w prefork-echo prefork-ctl prefork-exporter libprefork echo-client echo-check >/dev/null

# As the unit would.
mkdir -m 755 /run/prefork-echo
chown prefork-echo /run/prefork-echo
RUNTIME_DIRECTORY=/run/prefork-echo setpriv --reuid prefork-echo --regid prefork-echo --clear-groups \
    prefork-echo --name prefork-echo -c /etc/prefork-echo.conf -w 2 -l /run/prefork-echo/log &
wait_for prefork-ctl --name prefork-echo status
wait_for echo-client -p 9999 127.0.0.1 hello
echo '- serves'
master=$(prefork-ctl --name prefork-echo status --json | grep -o '"pid": [0-9]*' | head -1 | tr -dc 0-9)
exec 3<>/dev/tcp/127.0.0.1/9999
echo one >&3
read -r -t 10 answer <&3
echo "- answers $answer"
[ "$(readlink "/proc/$master/exe")" = /usr/bin/prefork-echo ] && echo '- the old program runs'
before=$(stat -Lc %i "/proc/$master/exe")
dpkg -i /tmp/next/*.deb
dpkg-query -W -f '${Version}' prefork-echo | grep -q rc2 && echo '- upgraded'
echo two >&3
read -r -t 10 answer <&3
echo "- answers $answer"
now=$(prefork-ctl --name prefork-echo status --json | grep -o '"pid": [0-9]*' | head -1 | tr -dc 0-9)
installed=$(stat -c %i /usr/bin/prefork-echo)
[ "$(stat -Lc %i "/proc/$now/exe")" = "$installed" ] && [ "$before" != "$installed" ] &&
    echo '- the new program runs'
[ "$now" = "$master" ] && echo '- the same master'

setpriv --reuid prefork-exporter --regid prefork-exporter --clear-groups prefork-exporter -l 127.0.0.1:9488 &
exporter=$!
scrape() {
	exec 4<>/dev/tcp/127.0.0.1/9488 &&
	    printf 'GET /metrics HTTP/1.0\r\n\r\n' >&4 && head -1 <&4 | grep -q '200 OK'
}
wait_for scrape
echo '- the exporter answers'
kill $exporter
wait $exporter || true

cd /tmp
cc -o discard /usr/share/doc/prefork/examples/discard.c $(pkg-config --cflags --libs libprefork)
./discard --version >/dev/null && ldd ./discard | grep -q libprefork.so.0 && echo '- a program is built'

prefork-ctl --name prefork-echo stop >/dev/null
dpkg -r prefork-echo prefork-ctl prefork-exporter libprefork-dev libprefork0
[ ! -e /usr/bin/prefork-echo ] && [ -e /etc/prefork-echo.conf ] && echo '- removed'
dpkg -P prefork-echo prefork-ctl prefork-exporter libprefork-dev libprefork0
[ ! -e /etc/prefork-echo.conf ] && [ ! -e /usr/share/doc/prefork ] && echo '- purged'

#!/usr/bin/perl

# Debian's packages in a copy of this system that systemd has booted: the units start,
# tell their state, reload, survive kills of workers, of the master and of all, are
# restarted by the watchdog, and stop.
#
#	DEBS=DIRECTORY prove contrib/ship/systemd.t    with packages that are built

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../t/lib";

use Prefork;
use Prefork::Life;
use Test::More;

use constant BUILD => 500;
use constant BOOT  => 300;

chdir $Prefork::ROOT or die "$Prefork::ROOT: $!\n";
is_root() or plan skip_all => 'a system of its own takes root';
my ($systemd) = grep { -x } '/lib/systemd/systemd', '/usr/lib/systemd/systemd';
plan skip_all => 'systemd is missing' if !$systemd;
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL CFLAGS LDFLAGS O)};

my $dir  = temp_dir();
my $debs = $ENV{DEBS} // build();
mkdir "$dir/$_" or die "$_: $!\n" for qw(system out);
my $boot = write_file("$dir/boot", join q{}, <DATA>);
my ($code, $output, $errors) =
    run_cmd({ timeout => BOOT }, qw(unshare -m -n -u -i -p -f --kill-child sh), $boot, $dir, $debs, $systemd);
remove_group();
if (!-e "$dir/out/booted") {
	diag($output . $errors . slurp("$dir/out/console"));
	plan skip_all => 'no system can be booted here';
}
my $said = slurp("$dir/out/said");
pass($1) while $said =~ /^-\s(.*)$/gm;
like($said, qr/^-\sall\ssteps$/m, 'to the end') or diag($said);
done_testing();

# Of the processes, which the kernel has ended.
sub remove_group {
	my $name = "$dir" =~ tr{/}{-}r;

	for my $group (grep { -d } map { "/sys/fs/cgroup/$_$name" } 'unified/', q{}) {
		wait_for(sub { system("find $group -depth -type d -exec rmdir {} + 2>/dev/null") == 0 }, 20);
	}
	return;
}

sub build {
	-e '.git' or plan skip_all => 'this is no clone: make deb packs a commit';
	for my $tool (qw(dpkg-buildpackage dh fakeroot)) {
		system("command -v $tool >/dev/null") == 0
		    or plan skip_all => "$tool is missing: contrib/setup ship installs it";
	}
	my ($code, $output, $errors) = run_cmd({ timeout => BUILD }, 'make', 'deb', "O=$dir/o", 'SETUP=true');
	is($code, 0, 'make deb') or BAIL_OUT($errors);
	return "$dir/o/deb";
}

__DATA__
set -eu
dir=$1 debs=$2 systemd=$3
mount --make-rprivate /
mount -t tmpfs none "$dir/system"
cd "$dir/system"
mkdir up work root
mount -t overlay overlay -o "lowerdir=/,upperdir=$PWD/up,workdir=$PWD/work" root
cd root
# A control group of its own, and below it those of the units.
for base in /sys/fs/cgroup/unified /sys/fs/cgroup; do
	[ -e $base/cgroup.procs ] && break
done
group=$base/$(echo "$dir" | tr / -)
mkdir "$group"
echo 0 >"$group/cgroup.procs"
mkdir -p mnt old
mount --bind "$dir/out" mnt
mount -t tmpfs none tmp
mkdir mnt/debs
cp "$debs"/*.deb mnt/debs/
rm -f mnt/debs/*-dbgsym*
mount -t tmpfs -o mode=755 none dev
for name in null zero full random urandom tty; do
	: >"dev/$name"
	mount --bind "/dev/$name" "dev/$name"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 none dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs none dev/shm
cat >etc/systemd/system/prefork-test.service <<'END'
[Unit]
Requires=basic.target
After=basic.target dbus.service
[Service]
Type=oneshot
ExecStart=/bin/bash /mnt/steps
StandardOutput=file:/mnt/said
StandardError=file:/mnt/errors
ExecStopPost=/bin/systemctl --no-block exit
END
cat >mnt/steps <<'END_OF_STEPS'
exec 2>&1
export DEBIAN_FRONTEND=noninteractive
touch /mnt/booted
say() {
	echo "- $*"
}
check() { # NAME COMMAND...: a step
	name=$1
	shift
	"$@" || {
		echo "FAILED: $name: $*"
		systemctl status prefork-echo
		journalctl --no-pager -n 60
		exit 1
	}
	say "$name"
}
fails() {
	! "$@"
}
within() { # SECONDS COMMAND...: until the command succeeds
	tries=$(($1 * 10))
	shift
	while ! "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || {
			echo "not in time: $*"
			return 1
		}
		sleep 0.1
	done
}
property() { # UNIT NAME
	systemctl show --value -p "$2" "$1"
}
is_pid() { # the master's pid is another one than $1, and it is ready
	[ "$(property prefork-echo MainPID)" != "$1" ] && systemctl is-active prefork-echo &&
	    prefork-ctl --name prefork-echo status | grep -q running
}
stored() {
	[ "$(property prefork-echo NFileDescriptorStore)" = "$1" ]
}
# A client of the port 9999 on descriptor 3.
connect() {
	exec 3<>/dev/tcp/127.0.0.1/9999
}
talk() {
	echo "$1" >&3
	read -r -t 20 answer <&3 && [ "$answer" = "$1" ]
}
all_served() {
	for i in $(seq 40); do
		echo-client -p 9999 127.0.0.1 "n $i" || return 1
	done
}
worker() { # the pid of slot $1
	prefork-ctl --name prefork-echo status --json | grep -o '"slot": *'"$1"'[^}]*' | grep -o '"pid": *[0-9]*' | head -1 | tr -dc 0-9
}


rm -f /usr/sbin/policy-rc.d
check installed dpkg -i /mnt/debs/*.deb
sed -i 's/^# workers .*/workers 2/' /etc/prefork-echo.conf
systemctl restart prefork-echo
check 'prefork-echo is active' systemctl is-active prefork-echo
check 'prefork-exporter is active' systemctl is-active prefork-exporter
tells() {
	property prefork-echo StatusText | grep '^2 of 2 workers serve'
}
check 'it tells its state' tells
check '6 listeners are stored' within 5 stored 6
connect
check serves talk one
score() {
	master=$(cat "/proc/$(property prefork-echo MainPID)/oom_score_adj")
	# A container may not lower it.
	[ "$master" -le 0 ] && [ "$(cat "/proc/$(worker 0)/oom_score_adj")" = $((master + 500)) ]
}
check 'a worker goes before the master where memory runs out' score
check 'the doctor is content' prefork-ctl --name prefork-echo doctor
scrape() {
	exec 4<>/dev/tcp/127.0.0.1/9488
	printf 'GET /metrics HTTP/1.0\r\n\r\n' >&4
	grep '^prefork_up{service="prefork-echo"} 1' <&4
}
check 'a scrape' within 10 scrape

check reloaded systemctl reload prefork-echo
check 'with its client' talk two
cp /etc/prefork-echo.conf /tmp/conf
echo 'colour blue' >>/etc/prefork-echo.conf
check 'a bad file is refused' fails systemctl reload prefork-echo
error() {
	journalctl -u prefork-echo | grep colour
}
check 'with its error' within 10 error
cp /tmp/conf /etc/prefork-echo.conf
check 'and the service runs' talk three

# A kill of a worker, of the master, and of all.
victim=$(worker 0)
kill -KILL "$victim"
died() {
	prefork-ctl --name prefork-echo why 0 | grep "$victim"
}
check 'a killed worker is replaced' within 5 died
check 'the client stays' talk four
check 'and the service is active' systemctl is-active prefork-echo
master=$(property prefork-echo MainPID)
kill -KILL "$master"
check 'the master is killed: the client stays' talk five
check 'the next master comes' within 30 is_pid "$master"
check 'and has it' talk six
check 'the same listeners are stored' within 5 stored 6
master=$(property prefork-echo MainPID)
systemctl kill --kill-who=all --signal=KILL prefork-echo
all_dead() {
	! pgrep -u prefork-echo -x prefork-echo
}
within 5 all_dead
check 'all are killed: a client connects' connect
echo early >&3
early() {
	read -r -t 30 answer <&3 && [ "$answer" = early ]
}
check 'and is served' early
within 30 is_pid "$master"
master=$(property prefork-echo MainPID)
kill -STOP "$master"
check 'a stopped master is replaced' within 60 is_pid "$master"
check 'with its client' talk seven

prefork-ctl --name prefork-echo workers 1
check 'a worker less: its listeners are closed' within 20 stored 3
check 'all new clients are served' all_served
prefork-ctl --name prefork-echo workers 2
check 'a worker more: its listeners are stored' within 20 stored 6
check 'all new clients are served' all_served
pid=$(property prefork-echo MainPID)
check upgraded prefork-ctl --name prefork-echo upgrade
check 'with its client' talk eight
check 'the same process' [ "$(property prefork-echo MainPID)" = "$pid" ]
check 'and the listeners' within 10 stored 6

# An instance with a log file, which is rotated.
mkdir -p /etc/prefork-echo /var/log/prefork-echo
chown prefork-echo /var/log/prefork-echo
echo 'bind tcp:127.0.0.1:7777' >/etc/prefork-echo/one.conf
mkdir -p /etc/systemd/system/prefork-echo@.service.d
printf '[Service]\nReadWritePaths=/var/log/prefork-echo\n' >/etc/systemd/system/prefork-echo@.service.d/log.conf
echo 'OPTIONS="--log /var/log/prefork-echo/one.log -w 1"' >/etc/default/prefork-echo-one
systemctl daemon-reload
check 'an instance' systemctl start prefork-echo@one
check 'it serves' echo-client -p 7777 127.0.0.1 hello
check 'the log is rotated' logrotate -f /etc/logrotate.d/prefork-echo
check 'and reopened' grep -q reopened /var/log/prefork-echo/one.log
systemctl stop prefork-echo@one

systemctl stop prefork-echo
check 'stopped: refused' fails connect
check 'nothing is left' all_dead
check 'no listener is stored' stored 0

# One whose master does not obey: it is killed alone (KillMode=process), and its
# workers end with the time of orphans.
mkdir -p /etc/systemd/system/prefork-echo.service.d
printf '[Service]\nTimeoutStopSec=2\nKillSignal=SIGWINCH\n' >/etc/systemd/system/prefork-echo.service.d/short.conf
echo 'OPTIONS="--orphan-timeout 3"' >/etc/default/prefork-echo
systemctl daemon-reload
systemctl start prefork-echo
systemctl stop prefork-echo
check 'a stop that is late is a kill' [ "$(property prefork-echo Result)" = timeout ]
check 'nothing is left after the time of orphans' within 20 all_dead
check 'and the port is free' fails connect
rm -r /etc/systemd/system/prefork-echo.service.d /etc/default/prefork-echo
systemctl daemon-reload
systemctl reset-failed prefork-echo

for unit in prefork-echo prefork-exporter; do
	check "exposure of $unit" systemd-analyze security --threshold=16 $unit
done
systemctl start prefork-echo
check removed dpkg -r prefork-echo prefork-exporter
check 'and stopped' all_dead
check purged dpkg -P prefork-echo prefork-exporter prefork-ctl libprefork-dev libprefork0
check 'without a unit' fails systemctl cat prefork-echo
echo '- all steps'
END_OF_STEPS
ip link set lo up
echo prefork-test >etc/hostname
: >etc/machine-id
: >etc/fstab
exec unshare -C sh -ec '
	mount -t proc proc proc
	mount -t sysfs -o ro sysfs sys
	mount -t cgroup2 cgroup2 sys/fs/cgroup
	mount -t tmpfs -o mode=755 none run
	pivot_root . old
	umount -l old
	exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin "$1" --unit=prefork-test.service \
	    --log-target=console --show-status=no >/mnt/console 2>&1 </dev/null' sh "$systemd"

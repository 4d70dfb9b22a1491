#!/bin/bash
# At boot an IPv6 address is still tentative (duplicate address detection takes 1
# to 2 s), or the name server does not answer yet. Both causes pass, so a start
# waits for them, or fails with a status (75) after which the unit tries again.
# shellcheck source=contrib/cases/case.bash disable=SC2317,SC2119
. "${0%/*}/case.bash"
need ip

carrier() {
	ip -6 addr show dev d0 | grep fe80 | grep -qv tentative
}

usable() {
	! ip -6 addr show dev d0 | grep -q 'db8.*tentative'
}

ip link add d0 type veth peer name d1 || skip "no veth devices here"
ip link set d0 up
ip link set d1 up
within 10 carrier || skip "no link"
ip addr add 2001:db8::5/64 dev d0
usable && skip "duplicate addresses are not looked for here"
timeout 8 "$B/prefork-echo" -q -w 1 -p 9008 -b '[2001:db8::5]'
status=$?
case $status in
0 | 75 | 124) ;;
*) fault "tentative address: status $status" ;;
esac
within 10 usable || skip "the address stays tentative"
serve -w 1 -p 9008 -b '[2001:db8::5]'
stop || fault "usable address: status $?"

echo 'nameserver 127.0.0.9' >"$D/resolv.conf"
mount --bind "$D/resolv.conf" /etc/resolv.conf || skip "no bind mounts here"
timeout 60 "$B/prefork-echo" -w 1 -p 9008 -b echo.example.org
status=$?
case $status in
75 | 124) ;;
*) fault "no name server: status $status" ;;
esac
grep -q RestartSec= "$HERE"/../*.service ||
    fault "the unit has no RestartSec: five starts in 10 s are the end"
finish

#!/bin/bash
# -b '*' and -b '*:PORT' mean every address of both families, as in nginx, Apache
# and haproxy. getaddrinfo(3) takes "*" for no name, which is loopback only.
# shellcheck source=contrib/cases/case.bash disable=SC2317,SC2119
. "${0%/*}/case.bash"
need ip

ip link add d0 type veth peer name d1 || skip "no veth devices here"
ip addr add 192.0.2.1/24 dev d0
ip addr add 2001:db8::1/64 dev d0 nodad
ip link set d0 up
ip link set d1 up
for bind in '*:9050' '*'; do
	serve -w 1 -p 9050 -b "$bind"
	for address in 192.0.2.1 2001:db8::1 127.0.0.1; do
		within 5 echoes -p 9050 "$address" hi || fault "-b $bind: $address is not served"
	done
	stop
done
finish

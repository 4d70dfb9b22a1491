#!/bin/bash
# The ephemeral port of a client is the port that it connects to, and nobody
# listens there: TCP connects the socket to itself (a simultaneous open), and the
# client reports that everything came back. A server cannot have the port then.
# shellcheck source=contrib/cases/case.bash disable=SC2317,SC2119
. "${0%/*}/case.bash"
need pgrep ss

# A client that notices it closes the connection at once, so one look may meet it.
held_by_client() {
	local look
	for look in 1 2 3 4 5; do
		[ -n "$(ss -Htn state established \
		    '( sport = :45002 and dport = :45002 )')" ] || return 1
		[ "$look" = 5 ] || sleep 0.1
	done
}

for options in "--api protocol" "--api stream" "--api poll" "-u"; do
	# shellcheck disable=SC2086 # a list of words
	timeout 10 "$B/echo-client" $options -p 45001 --source 127.0.0.1:45001 \
	    127.0.0.1 hello >/dev/null 2>&1 &&
	    fault "echo-client $options: status 0 without a server"
done
# By chance: the port of the server is among the ephemeral ones, of which there are
# 16 here, and clients connect again and again.
sysctl -qw net.ipv4.ip_local_port_range="45000 45015" || skip "no sysctl here"
serve -w 1 -p 45002 -b 127.0.0.1
"$B/echo-check" -q -n 8 -d 12 -p 45002 127.0.0.1 &
check=$!
within 5 test -n "$(ss -Htn state established '( dport = :45002 )')"
family="$S $(below "$S")"
# shellcheck disable=SC2086 # a list of words
kill -9 $family
wait "$S" 2>/dev/null
within 10 held_by_client && fault "echo-check is connected to itself"
kill "$check" 2>/dev/null
wait "$check" 2>/dev/null
finish

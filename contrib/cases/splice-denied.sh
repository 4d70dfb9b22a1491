#!/bin/bash
# A sandbox answers splice(2) with EPERM or ENOSYS. If only EINVAL makes the server
# copy instead, each bulky connection is reset after some 300 kB.
# shellcheck source=contrib/cases/case.bash disable=SC2317,SC2119
. "${0%/*}/case.bash"
deny splice

head -c 20000000 /dev/urandom >"$D/big"
for error in 1 38 22; do
	serve_as "$D/deny" splice $error "$B/prefork-echo" -w 1 -p 9012 -b 127.0.0.1
	timeout 30 "$B/echo-client" --verify -p 9012 127.0.0.1 - <"$D/big" >/dev/null ||
	    fault "splice fails by error $error: echo-client's status is $?"
	stop
done
finish

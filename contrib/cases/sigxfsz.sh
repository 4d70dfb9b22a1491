#!/bin/bash
# A limit of file sizes (ulimit -f, LimitFSIZE=) sends SIGXFSZ, which kills the
# master and workers: a line of the log, the pid file, or the file of a hand-over
# is enough.
# shellcheck source=contrib/cases/case.bash disable=SC2317,SC2119
. "${0%/*}/case.bash"

limited() {
	ulimit -c 0
	ulimit -f "$1"
	shift
	exec "$@"
}

up() {
	echoes -p 9000 127.0.0.1 a || gone "$S"
}

(limited 8 "$B/prefork-echo" -w 2 -p 9000 -b 127.0.0.1 -v -l "$D/log") &
S=$!
within 20 up
for i in $(seq 60); do
	echoes -p 9000 127.0.0.1 "message $i ......................." ||
	    { fault "client $i is not served"; break; }
done
running "$S" || fault "the log reached its limit, and the master is gone"
stop
(limited 0 timeout 2 "$B/prefork-echo" -q -w 1 -p 9001 -b 127.0.0.1 -P "$D/pid") 2>/dev/null
status=$?
[ $status -le 128 ] || fault "no room for the pid file: status $status"
finish

#!/bin/bash
# A sandbox answers close_range(2) with EPERM, as older profiles of Docker do. If
# that failure is ignored, workers keep the ends of each other's channels, so none
# sees that the master has died, and all stay for ever.
# shellcheck source=contrib/cases/case.bash disable=SC2317,SC2119
. "${0%/*}/case.bash"
need pgrep
deny close_range

all_gone() {
	local pid
	for pid in $W; do
		gone "$pid" || return 1
	done
}

options=()
"$B/prefork-echo" --help | grep -q orphan-timeout && options=(--orphan-timeout 1)
serve_as "$D/deny" close_range 1 "$B/prefork-echo" "${options[@]}" -w 4 -p 9005 \
    -b 127.0.0.1
W=$(below "$S")
kill -9 "$S"
within 6 all_gone || fault "workers are alive 6 s after their master was killed"
finish

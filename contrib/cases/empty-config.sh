#!/bin/bash
# A reload finds a configuration of 0 bytes (a full disk, an editor that crashed).
# If it is taken for a good one, the service leaves its addresses for the default.
# shellcheck source=contrib/cases/case.bash disable=SC2317,SC2119
. "${0%/*}/case.bash"

answered() {
	says 'reload' && says 'changed\|reloaded'
}

printf 'bind 127.0.0.1:9014\nworkers 1\n' >"$D/c"
serve -c "$D/c"
echoes -p 9014 127.0.0.1 a || fault "not served before the reload"
: >"$D/c"
kill -HUP "$S"
within 10 answered
echoes -p 9014 127.0.0.1 a || fault "not served after the reload: $(tail -n 2 "$LOG")"
stop
"$B/prefork-echo" -t -c "$D/c" 2>/dev/null && fault "an empty file passes -t"
finish

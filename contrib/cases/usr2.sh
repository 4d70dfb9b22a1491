#!/bin/bash
# A signal that the master does not know kills it without a line in the log:
# SIGUSR2, say, which nginx, unicorn, puma and haproxy take.
# shellcheck source=contrib/cases/case.bash disable=SC2317,SC2119
. "${0%/*}/case.bash"

for signal in USR2 ALRM IO PWR VTALRM PROF XCPU STKFLT RTMIN RTMAX; do
	serve -w 2 -p 9006 -b 127.0.0.1 -P "$D/pid"
	kill -s $signal "$S"
	# A reload comes after it, and is done by a master that lives.
	kill -HUP "$S" 2>/dev/null
	over() { says 'reloaded:' || gone "$S"; }
	within 10 over
	if running "$S"; then
		echoes -p 9006 127.0.0.1 a || fault "SIG$signal: not served"
		stop
	else
		wait "$S"
		fault "SIG$signal: the master's status is $?, its last line $(tail -n 1 "$LOG")"
	fi
	rm -f "$D/pid"
done
finish

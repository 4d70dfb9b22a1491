#!/bin/bash
# epoll_ctl(2) refuses the listeners (ENOSPC by fs.epoll.max_user_watches, ENOMEM
# by the cgroup). A worker that says it is ready all the same is deaf for ever. It
# fails to start, or tries again.
# shellcheck source=contrib/cases/case.bash disable=SC2317,SC2119
. "${0%/*}/case.bash"
compile "$HERE/refuse-epoll.c" "$D/refuse.so" -shared -fPIC -ldl

settled() {
	says 'ready:' || gone "$S"
}

export LD_PRELOAD=$D/refuse.so
spawn "$B/prefork-echo" -w 1 -p 9034 -b 127.0.0.1
unset LD_PRELOAD
within 20 settled
if says 'ready:'; then
	within 5 echoes -p 9034 127.0.0.1 hi || fault "ready, and TCP is not served"
	within 5 echoes -u -p 9034 127.0.0.1 hi || fault "ready, and UDP is not served"
	stop
else
	grep -q 'No space left' "$LOG" || fault "the log has no cause: $(tail -n 1 "$LOG")"
fi
finish

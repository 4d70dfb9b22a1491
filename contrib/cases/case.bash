# case.bash: shared by the cases in bash; each sources it first. A case is
# called with the build directory, prints its findings, and ends by `finish`.
# shellcheck shell=bash disable=SC2034 # its variables are used by the cases
set -u

[ -n "${CASE_DIR-}" ] || exec "${BASH_SOURCE[0]%/*}/run" -O "${1-build}" "${0##*/}"

B=$1                                        # the build
HERE=$(cd "${BASH_SOURCE[0]%/*}" && pwd)    # contrib/cases
D=$CASE_DIR                                 # files of this case
S=                                          # the server
LOG=                                        # its standard error
bad=0
ip link set lo up || exit 2

skip() {
	echo "$*"
	exit 77
}

need() {
	local tool
	for tool; do
		command -v "$tool" >/dev/null || skip "$tool is not installed"
	done
}

# A fault is seen; the case goes on, and fails.
fault() {
	echo "$*"
	bad=1
}

finish() {
	[ $bad -ne 0 ] || echo holds
	exit $bad
}

# within SECONDS COMMAND...: whether it succeeds within that time.
within() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -le $end ] || return 1
		sleep 0.05
	done
}

running() {
	kill -0 "$1" 2>/dev/null
}

gone() {
	! running "$1"
}

says() {
	grep -q -- "$1" "$LOG"
}

# spawn COMMAND...: in the background, with its log.
spawn() {
	LOG=$(mktemp "$D/log.XXXXXX")
	"$@" 2>"$LOG" &
	S=$!
}

is_ready() {
	says 'ready:' || gone "$S"
}

# serve OPTION...: prefork-echo, ready; or the case fails with its log.
serve() {
	serve_as "$B/prefork-echo" "$@"
}

serve_as() {
	spawn "$@"
	if ! within 20 is_ready || ! says 'ready:'; then
		cat "$LOG"
		fault "not ready: $*"
		finish
	fi
}

# Ends the server; its status.
stop() {
	kill "$S" 2>/dev/null
	wait "$S" 2>/dev/null
}

# The descendants of a process.
below() {
	local child
	for child in $(pgrep -P "$1"); do
		echo "$child"
		below "$child"
	done
}

# The pids of the server's workers, or of worker N.
workers() {
	local pid
	for pid in $(below "$S"); do
		tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" |
		    grep -q "worker${1:+ $1\b}" && echo "$pid"
	done
}

echoes() {
	"$B/echo-client" --timeout 2 -q "$@" >/dev/null 2>&1
}

# compile SOURCE TARGET FLAG...
compile() {
	local source=$1 target=$2 cc
	shift 2
	read -ra cc <<<"${CC:-cc}"
	need "${cc[0]}"
	"${cc[@]}" -D_GNU_SOURCE -o "$target" "$source" "$@" || exit 2
}

# deny CALL makes $D/deny CALL ERRNO COMMAND..., under which the call fails so.
deny() {
	compile "$HERE/deny.c" "$D/deny"
	if ! "$D/deny" "$1" 1 true; then
		skip "no seccomp filter here"
	fi
}

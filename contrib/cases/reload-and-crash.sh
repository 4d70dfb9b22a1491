#!/bin/bash
# A sibling that crashes while slot 0 tries a new configuration starts with the
# untried one, opens the new address first, and slot 0 fails, because the address
# is in use by its own service. "Nothing has changed" is then logged while the
# sibling serves the new address.
# shellcheck source=contrib/cases/case.bash disable=SC2317,SC2119
. "${0%/*}/case.bash"
need pgrep pkg-config
flags=$(pkg-config --cflags --libs libbsd-overlay libbsd-ctor)
# shellcheck disable=SC2086 # a list of words
compile "$HERE/slow-start.c" "$D/server" -I"$HERE/../../lib" ${CFLAGS-} \
    "$B/libprefork.a" $flags -lm ${LDFLAGS-}

trying() {
	[ "$(says reloading && grep -c 'started worker 0' "$LOG")" = 2 ]
}

over() {
	says 'reloaded:\|reload failed'
}

serve_as "$D/server"
kill -HUP "$S"
within 10 trying || fault "slot 0 does not try the new configuration"
sibling=$(workers 1)
kill -9 "$sibling"
within 40 over || fault "the reload does not end"
if says 'reloaded:'; then
	within 5 echoes -p 9018 127.0.0.1 x || fault "reloaded, and 9018 is not served"
elif says 'in use'; then
	fault "it was kept from its own address: $(grep -m 1 'in use' "$LOG")"
elif echoes -p 9018 127.0.0.1 x; then
	fault "nothing has changed, and 9018 is served"
fi
stop
finish

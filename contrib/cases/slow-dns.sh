#!/bin/bash
# A reload looks names up while the master waits: with a slow name server it is
# deaf for that long. No dead worker is replaced, no queue adopted, no stop obeyed.
# shellcheck source=contrib/cases/case.bash disable=SC2317,SC2119
. "${0%/*}/case.bash"
need pgrep python3

cat >"$D/dns.py" <<'P'
import socket, sys, threading, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.53", 53))
open(sys.argv[1], "w")
def answer(query, client):
    time.sleep(4)
    a = query[-3] == 1
    record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1" if a else b""
    count = b"\0\1" if a else b"\0\0"
    s.sendto(query[:2] + b"\x81\x80\0\1" + count + b"\0\0\0\0" + query[12:] + record, client)
while True:
    threading.Thread(target=answer, args=s.recvfrom(512), daemon=True).start()
P
python3 "$D/dns.py" "$D/up" &
within 10 test -e "$D/up" || skip "no name server can be run here"
echo 'nameserver 127.0.0.53' >"$D/resolv.conf"
mount --bind "$D/resolv.conf" /etc/resolv.conf || skip "no bind mounts here"
printf 'bind 127.0.0.1:9017\nworkers 2\n' >"$D/c"
serve -c "$D/c"
printf 'bind 127.0.0.1:9017\nworkers 2\n' >"$D/c"
for n in a b c; do
	echo "bind $n.example.org:90$((18 + $(printf %d "'$n") - 97))" >>"$D/c"
done
victim=$(workers 1)
kill -HUP "$S"
within 1 says reloading
kill -9 "$victim"
begun=$(date +%s%N)
clients=()
for _ in 1 2 3 4 5 6 7 8; do
	"$B/echo-client" --timeout 30 -p 9017 127.0.0.1 hi >/dev/null &
	clients+=($!)
done
wait "${clients[@]}"
ms=$((("$(date +%s%N)" - begun) / 1000000))
echo "the slowest of 8 clients waited $ms ms"
[ $ms -lt 2000 ] || bad=1
kill -INT "$S"
within 3 gone "$S" || fault "the master does not stop during a look-up"
finish

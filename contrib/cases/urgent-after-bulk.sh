#!/bin/bash
# Bulk, then one urgent byte: splice(2) stops at its mark with EAGAIN, or with 0
# once FIN has come. Taken for nothing and for the end, that makes a worker spin, or
# cut the connection. All bytes come back, the urgent one in its place (RFC 6093).
# shellcheck source=contrib/cases/case.bash disable=SC2317,SC2119
. "${0%/*}/case.bash"
need pgrep python3

cat >"$D/urgent.py" <<'P'
import socket, sys, threading
fin = sys.argv[1] == "fin"
size, got = 8 << 20, [0]
s = socket.create_connection(("127.0.0.1", 9101))
def read():
    try:
        while data := s.recv(1 << 20):
            got[0] += len(data)
            if not fin and got[0] == size + 101:
                return
    except OSError as e:
        print(e)
reader = threading.Thread(target=read, daemon=True)
reader.start()
s.sendall(b"x" * size)
s.send(b"!", socket.MSG_OOB)
s.sendall(b"y" * 100)
if fin:
    s.shutdown(socket.SHUT_WR)
reader.join(10)
print("with FIN" if fin else "open", "sent", size + 101, "back", got[0], flush=True)
if not fin:
    sys.stdin.read()
sys.exit(got[0] != size + 101)
P
ticks() {
	awk '{ print $14 + $15 }' "/proc/$1/stat"
}

reported() {
	grep -q back "$D/out"
}

serve -w 1 -p 9101 -b 127.0.0.1
python3 "$D/urgent.py" fin || fault "cut by FIN after urgent data"
mkfifo "$D/end"
python3 "$D/urgent.py" open <"$D/end" >"$D/out" &
client=$!
exec 9>"$D/end"
within 15 reported
worker=$(workers | head -n 1)
before=$(ticks "$worker")
sleep 1
after=$(ticks "$worker")
exec 9>&-
wait "$client" || fault "urgent data on an open connection: $(cat "$D/out")"
echo "the worker ran $((after - before)) of 100 ticks while nothing moved"
[ $((after - before)) -lt 20 ] || bad=1
stop
finish

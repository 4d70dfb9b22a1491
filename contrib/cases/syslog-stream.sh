#!/bin/bash
# /dev/log is a stream socket (unix-stream of syslog-ng): connect(2) fails with
# EPROTOTYPE, and each line is lost without a word. syslog(3) and logger(1) then
# connect a stream.
# shellcheck source=contrib/cases/case.bash disable=SC2317,SC2119
. "${0%/*}/case.bash"
need python3

mkdir "$D/dev"
mount -t tmpfs tmpfs "$D/dev" || skip "no mounts here"
for device in null zero urandom; do
	: >"$D/dev/$device"
	mount --bind "/dev/$device" "$D/dev/$device"
done
mount --rbind "$D/dev" /dev
cat >"$D/log.py" <<'P'
import socket, sys, threading
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
s.bind("/dev/log")
s.listen(16)
open(sys.argv[1], "w")
def read(connection):
    while data := connection.recv(4096):
        print(data.decode(errors="replace").strip("\0\n"), flush=True)
while True:
    threading.Thread(target=read, args=(s.accept()[0],), daemon=True).start()
P
python3 "$D/log.py" "$D/up" >"$D/out" &
within 10 test -e "$D/up" || skip "no syslog can be run here"
spawn "$B/prefork-echo" -w 1 -p 9007 -b 127.0.0.1 -l syslog
within 10 echoes -p 9007 127.0.0.1 hi || fault "it does not serve: $(cat "$LOG")"
within 5 grep -q 'prefork-echo.*ready' "$D/out" || fault "syslog has no line of it"
stop
finish

#!/usr/bin/env python3
# Answers to forged sources on the link wait for ARP in the send buffer of the
# socket, and answers to all others are then thrown away, without a line.
import os
import signal
import subprocess
import sys
from case import Server, finish, skip

CLIENT = r'''
import select, socket, struct, time
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
def forged(n, size=900):
    source = socket.inet_aton(f"10.77.{9 + n % 40}.{1 + n % 200}")
    data = struct.pack("!HHHH", 40000 + n % 1000, 9103, 8 + size, 0) + b"f" * size
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(data), n & 0xffff, 0, 64, 17, 0, source,
        socket.inet_aton("10.77.0.1"))
    raw.sendto(head + data, ("10.77.0.1", 0))
good = []
for i in range(8):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("10.77.0.1", 9103))
    s.setblocking(False)
    good.append(s)
sent = back = n = 0
end = time.time() + 5
def take(wait):
    global back
    for s in select.select(good, [], [], wait)[0]:
        try:
            while s.recv(100):
                back += 1
        except BlockingIOError:
            pass
while time.time() < end:
    for k in range(6):
        forged(n)
        n += 1
    good[sent % 8].send(b"good")
    sent += 1
    time.sleep(.002)
    take(0)
end = time.time() + 3
while back < sent and time.time() < end:
    take(.1)
print(sent, back)
'''


def ip(arguments, inside=()):
    if subprocess.run([*inside, "ip", *arguments.split()], check=False).returncode:
        skip("no veth devices here")


other = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec sleep 100"], stdout=subprocess.PIPE)
other.stdout.readline()
inside = ["nsenter", "-t", str(other.pid), "-n"]
ip("link add v0 type veth peer name v1")
ip(f"link set v1 netns {other.pid}")
ip("addr add 10.77.0.1/16 dev v0")
ip("link set v0 up")
ip("link set lo up", inside)
ip("addr add 10.77.0.2/16 dev v1", inside)
ip("link set v1 up", inside)
server = Server("-w", "2", "-p", "9103", "-b", "10.77.0.1")
result = subprocess.run([*inside, sys.executable, "-c", CLIENT], capture_output=True, text=True, check=False)
server.stop()
os.kill(other.pid, signal.SIGKILL)
if result.returncode:
    finish(True, result.stderr)
sent, back = map(int, result.stdout.split())
finish(back < sent * .98, f"good datagrams: {sent}, answered {back}")

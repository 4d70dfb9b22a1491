#!/usr/bin/env python3
# A worker stops within 5 s of a stall of its sibling. The sibling turns again, but
# is still taken for ill, so that none adopts the queue, and clients wait.
import os
import signal
import socket
import time
from case import Server, finish, within

server = Server("-w", "2", "-p", "9101", "-b", "127.0.0.1")
workers = [server.worker(0), server.worker(1)]


def once(timeout):
    """How long a connection and its echo take."""
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", 9101), timeout) as s:
        s.settimeout(timeout)
        s.sendall(b"x")
        s.recv(10)
    return time.monotonic() - begun


def state(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0]


os.kill(workers[0], signal.SIGSTOP)
for i in range(20):
    once(10)
os.kill(workers[0], signal.SIGCONT)
within(5, lambda: state(workers[0]) != "T")
time.sleep(.3)
os.kill(workers[1], signal.SIGSTOP)
late = 0
for i in range(30):
    try:
        late += once(2) > 1
    except OSError:
        late += 1
os.kill(workers[1], signal.SIGCONT)
server.stop()
finish(late, f"late by more than a second: {late} of 30")

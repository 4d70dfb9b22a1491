#!/usr/bin/env python3
# A successor is killed while it takes connections over: its predecessor keeps the
# rest for good, with the old configuration, through further reloads, and no line
# is logged. Those that were on the way to the successor are lost with it.
import os
import resource
import signal
import socket
import time
from case import Server, finish, within

CLIENTS = 6000
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
server = Server("-w", "2", "-p", "9105", "-b", "127.0.0.1")
clients = [socket.create_connection(("127.0.0.1", 9105), 10) for i in range(CLIENTS)]
for client in clients:
    client.settimeout(5)
    client.sendall(b"x")
    client.recv(5)
stay = 0
for delay in (.004, .006, .008, .012):
    old = set(server.workers())
    server.signal(signal.SIGHUP)
    new = within(10, lambda: set(server.workers()) - old)
    time.sleep(delay)
    for pid in list(new)[:1]:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    within(10, lambda: not set(server.workers()) & old)
    stay = max(stay, len(set(server.workers()) & old))
lost = 0
for client in clients:
    try:
        client.sendall(b"y")
        lost += client.recv(5) != b"y"
    except OSError:
        lost += 1
server.stop()
finish(stay, f"predecessors that stay 10 s later: {stay}; connections lost of {CLIENTS}: {lost}")

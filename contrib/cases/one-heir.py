#!/usr/bin/env python3
# A worker is removed (TTOU), and one sibling is given all of its connections, past
# --max-connections, while others have room: new clients wait in its queue.
import re
import signal
import socket
import subprocess
from case import Server, finish, within

server = Server("-w", "4", "-p", "9104", "-b", "127.0.0.1", "-n", "100", "--max-per-source", "0")


def exchange(connection):
    connection.settimeout(5)
    connection.sendall(b"x")
    return connection.recv(5)


def held():
    """How many connections each worker has."""
    out = subprocess.run("ss -Htnp state established '( sport = :9104 )'", shell=True, capture_output=True,
        text=True, check=False).stdout
    counts = dict.fromkeys(server.workers(), 0)
    for users in re.findall(r"users:(\(.*\))", out):
        for pid in set(map(int, re.findall(r"pid=(\d+)", users))):
            if pid in counts:
                counts[pid] += 1
    return sorted(counts.values())


clients = []
for i in range(240):
    clients.append(socket.create_connection(("127.0.0.1", 9104), 5))
    exchange(clients[-1])
server.signal(signal.SIGTTOU)
within(10, lambda: len(held()) == 3)
after = held()
late = 0
for i in range(40):
    try:
        with socket.create_connection(("127.0.0.1", 9104), 2) as new:
            new.settimeout(2)
            new.sendall(b"y")
            late += new.recv(5) != b"y"
    except OSError:
        late += 1
lost = sum(exchange(c) != b"x" for c in clients)
server.stop()
finish(len(after) != 3 or max(after) > 100 or late or lost,
    f"connections of each worker after 4 -> 3: {after} (limit 100); late: {late} of 40; lost: {lost} of 240")

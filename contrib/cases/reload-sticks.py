#!/usr/bin/env python3
# A worker still starts with the old configuration when the roll of a reload
# reaches its slot: the reload never ends, and each later HUP is swallowed.
import os
import signal
from case import Server, below, finish, within

ROUNDS = 15
server = Server("-w", "2", "-p", "9102", "-b", "127.0.0.1")
stuck = 0
for i in range(ROUNDS):
    reloads, before = server.count("reloaded:"), set(below(server.pid))
    server.signal(signal.SIGTTIN)
    new = within(5, lambda: set(below(server.pid)) - before)
    for pid in new:
        os.kill(pid, signal.SIGSTOP)
    reloading = server.count("reloading")
    server.signal(signal.SIGHUP)
    within(5, lambda: server.count("reloading") > reloading)
    for pid in new:
        try:
            os.kill(pid, signal.SIGCONT)
        except OSError:
            pass
    if not within(40, lambda: server.count("reloaded:") > reloads):
        stuck = i + 1
        break
    # The configuration's number counts again.
    within(10, lambda: len(server.workers()) == 2)
server.stop()
finish(stuck, f"stuck in round {stuck}" if stuck else f"{ROUNDS} reloads beside a start")

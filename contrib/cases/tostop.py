#!/usr/bin/env python3
# A background job on a terminal with `stty tostop`: write(2) raises SIGTTOU,
# and its handler means "one worker fewer"; it returns, write(2) is restarted,
# and so on for ever: a core is busy, one worker is left, and SIGTERM has no
# effect.
import fcntl
import os
import pty
import signal
import termios
import threading
import time
from case import BUILD, below, finish, title, within

master, terminal = pty.openpty()
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    mode = termios.tcgetattr(terminal)
    mode[3] |= termios.TOSTOP
    termios.tcsetattr(terminal, termios.TCSANOW, mode)
    for fd in (0, 1, 2):
        os.dup2(terminal, fd)
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        os.execv(BUILD + "/prefork-echo", ["prefork-echo", "-w", "4", "-p", "9106", "-b", "127.0.0.1"])
    os.write(write, b"%d" % job)
    os.waitpid(job, 0)
    os._exit(0)
job = int(os.read(read, 20))
os.close(terminal)
text = []


def drain():
    try:
        while data := os.read(master, 65536):
            text.append(data)
    except OSError:
        pass


def ticks():
    with open(f"/proc/{job}/stat", encoding="utf-8") as file:
        return sum(map(int, file.read().rpartition(")")[2].split()[11:13]))


def workers():
    return sum("worker" in title(pid) for pid in below(job))


def alive():
    return os.path.exists(f"/proc/{job}")


threading.Thread(target=drain, daemon=True).start()
within(10, lambda: b"ready:" in b"".join(text))
count = workers()
before = ticks()
time.sleep(1)
busy = ticks() - before
os.kill(job, signal.SIGTERM)
within(9, lambda: not alive())
left = alive()
if left:
    os.kill(job, signal.SIGKILL)
finish(left or count != 4 or busy > 50,
    f"workers: {count} of 4; CPU of the master: {busy} of 100 ticks; alive after SIGTERM: {left}")

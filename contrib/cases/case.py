"""case.py: shared by the cases in Python. A case is called with the build
directory, prints its findings, and ends by finish()."""
import os
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
if "CASE_DIR" not in os.environ:
    name = os.path.basename(sys.argv[0])
    os.execv(HERE + "/run", ["run", "-O", *sys.argv[1:2], name])
BUILD = sys.argv[1]
DIR = os.environ["CASE_DIR"]
subprocess.run("ip link set lo up", shell=True, check=True)


def skip(reason):
    print(reason)
    sys.exit(77)


def finish(bad, text):
    print(text)
    if not bad:
        print("holds")
    sys.exit(bool(bad))


def within(seconds, condition):
    """The value of the condition, once it is true, or its last one."""
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(.02)
    return value


def parent(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[1])


def below(pid):
    """All descendants of a process that run."""
    children = [int(p) for p in os.listdir("/proc") if p.isdigit() and parent(p) == pid]
    return children + [p for child in children for p in below(child)]


def title(pid):
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
            return file.read().replace("\0", " ")
    except OSError:
        return ""


class Server:
    """prefork-echo, ready, with its log; or the case fails."""

    def __init__(self, *options):
        self.path = DIR + "/log"
        with open(self.path, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen([BUILD + "/prefork-echo", *options], stderr=log)
        self.pid = self.process.pid
        within(20, lambda: "ready:" in self.log() or self.process.poll() is not None)
        if "ready:" not in self.log():
            finish(True, "not ready: " + self.log())

    def log(self):
        with open(self.path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def count(self, text):
        return self.log().count(text)

    def signal(self, number):
        os.kill(self.pid, number)

    def workers(self):
        """{pid: slot} of the workers, leaving ones as well."""
        found = {p: re.search(r"\bworker (\d+)", title(p)) for p in below(self.pid)}
        return {p: int(m[1]) for p, m in found.items() if m}

    def worker(self, slot):
        return next((p for p, s in self.workers().items() if s == slot), None)

    def stop(self):
        family = below(self.pid)
        self.signal(signal.SIGINT)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass

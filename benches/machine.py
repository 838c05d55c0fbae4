"""What the benchmark needs of the machine: processes, their CPU time and memory, free ports, sockets."""

import os
import signal
import socket
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")


def step_forward():
    """Lets this process and those that it starts run before the machine's other work, if it may (as root)."""
    try:
        os.nice(-15)
    except PermissionError:
        pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _stat(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()


def tree(pid):
    """The process and all its descendants that run now."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents[int(entry)] = int(_stat(entry)[1])
            except (OSError, IndexError):
                pass
    found, grew = {pid}, True
    while grew:
        grew = False
        for child, parent in parents.items():
            if parent in found and child not in found:
                found.add(child)
                grew = True
    return found


def cpu_seconds(pid):
    """Seconds on a CPU of a process tree: threads to the nanosecond, ended children to the tick."""
    total = 0.0
    for p in tree(pid):
        try:
            fields = _stat(p)
            total += (int(fields[13]) + int(fields[14])) / TICKS
            for task in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{task}/schedstat") as f:
                    total += int(f.read().split()[0]) / 1e9
        except (OSError, IndexError):
            pass
    return total


def run_seconds(pid):
    """Seconds on a CPU of the processes of a tree that run now, to the nanosecond."""
    total = 0
    for p in tree(pid):
        try:
            for task in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{task}/schedstat") as f:
                    total += int(f.read().split()[0])
        except OSError:
            pass
    return total / 1e9


def resident_bytes(pid):
    total = 0
    for p in tree(pid):
        try:
            with open(f"/proc/{p}/status") as f:
                for line in f:
                    if line.startswith("VmRSS:"):
                        total += int(line.split()[1]) * 1024
        except OSError:
            pass
    return total


def wait_until(what, limit, condition, every=0.02):
    """Looks at a condition until it gives something; fails after `limit` seconds."""
    end = time.monotonic() + limit
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise SystemExit(f"error: waited {limit} s in vain for {what}")
        time.sleep(every)


def wait_childless(pid, limit=10):
    """Until every process that it started has ended and been waited for: their CPU time is the parent's then."""
    wait_until(f"the children of {pid} to end", limit, lambda: tree(pid) == {pid})


def received_bytes(port):
    """Bytes that came in on connections accepted at this port of the loopback address."""
    out = subprocess.run(
        ["ss", "--no-header", "--tcp", "--info", "--numeric", "state", "established", f"sport = :{port}"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return sum(int(word.split(":")[1]) for word in out.split() if word.startswith("bytes_received:"))


def listens(port):
    with socket.socket() as s:
        s.settimeout(0.2)
        return s.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """A child with its log, ended with its context."""

    def __init__(self, arguments, log, **options):
        self.log = open(log, "ab")
        self.child = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True, **options
        )
        self.pid = self.child.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(8)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self.child.wait()
        self.log.close()

"""Delivery: the HTTP front against nginx and Varnish, with the same objects, from memory.

The server is pinned to core 0, the client (wrk, one thread, 64 connections) to core 1. Our server is the example `fixed`
of crates/http: the product's front, with objects of exact sizes behind it. What counts for a small object is requests
per CPU second of the server; for a large one CPU seconds per GB of server and client together, since on the loopback
address the kernel does a part of one's work on the other's account.
"""

import json
import os
import re
import resource
import select
import shutil
import socket
import statistics
import subprocess
import tempfile
import time

import machine
from machine import Process, free_port, wait_until

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
VARNISH = shutil.which("varnishd") or "/usr/sbin/varnishd"
OBJECTS = {"v/index.m3u8": 1500, "v/small.m4s": 100_000, "v/large.m4s": 1 << 20}
CORES = {"server": "0", "client": "1"}


def on(core, command):
    return ["taskset", "-c", CORES[core]] + command


def example_binaries():
    """The example servers, built if they are not named: the front with fixed objects, and the bare loop."""
    target = os.environ.get("CARGO_TARGET_DIR", f"{ROOT}/target")
    folder = os.environ.get("MILLSTREAM_BENCH_EXAMPLES", f"{target}/release/examples")
    if "MILLSTREAM_BENCH_EXAMPLES" not in os.environ:
        subprocess.run(["cargo", "build", "--release", "-p", "millstream-http", "--examples"], check=True, cwd=ROOT)
    return f"{folder}/fixed", f"{folder}/bare"


def certificate(folder):
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem", "-days", "30", "-subj", "/CN=localhost"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


class Ours:
    """The front; `lanes` is one runtime for each core, else all on the multi-threaded runtime."""

    def __init__(self, folder, binary, lanes=True):
        command = on("server", [binary, "--patient"] + ([] if lanes else ["--here"]))
        command += ["--tls", f"{folder}/cert.pem", f"{folder}/key.pem"]
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.child.pid
        bound = json.loads(self.child.stdout.readline())
        self.plain, self.tls = bound["http"], bound["https"]

    def publish(self):
        self.child.stdin.write(b"\n")
        self.child.stdin.flush()

    def stop(self):
        self.child.kill()
        self.child.wait()


class Bare:
    """A loop that writes one answer to each connection that waits: what a wake-up costs at least."""

    def __init__(self, binary):
        self.child = subprocess.Popen(on("server", [binary]), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.child.pid
        self.plain = json.loads(self.child.stdout.readline())["http"]

    publish, stop = Ours.publish, Ours.stop


class Nginx:
    """Debian's nginx with one worker, files in /dev/shm and open_file_cache."""

    def __init__(self, folder, sendfile):
        self.folder = tempfile.mkdtemp(prefix="nginx-", dir=folder)
        root = f"{self.folder}/root/live/a"
        os.makedirs(f"{root}/v")
        for name, size in OBJECTS.items():
            with open(f"{root}/{name}", "wb") as f:
                f.write(b"#" * size)
        plain, tls = free_port(), free_port()
        self.plain, self.tls = f"127.0.0.1:{plain}", f"127.0.0.1:{tls}"
        with open(f"{self.folder}/nginx.conf", "w") as f:
            f.write(
                "daemon off; worker_processes 1; user root; error_log stderr; worker_rlimit_nofile 20000;\n"
                f"pid {self.folder}/pid;\nevents {{ worker_connections 12000; }}\n"
                f"http {{ access_log off; sendfile {'on' if sendfile else 'off'}; tcp_nopush on; tcp_nodelay on;\n"
                "keepalive_requests 100000000; keepalive_timeout 1h; output_buffers 2 256k;\n"
                "open_file_cache max=100; open_file_cache_valid 1h;\n"
                f"client_body_temp_path {self.folder}/b; proxy_temp_path {self.folder}/p;\n"
                f"fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;\n"
                f"server {{ listen {self.plain} reuseport; listen {self.tls} ssl; root {self.folder}/root;\n"
                f"ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;\n"
                "ssl_protocols TLSv1.2 TLSv1.3; } }\n"
            )
        command = on("server", [NGINX, "-p", self.folder, "-c", f"{self.folder}/nginx.conf"])
        self.process = Process(command, f"{self.folder}/log")
        self.pid = self.process.pid
        wait_until("nginx", 10, lambda: machine.listens(tls))

    def stop(self):
        self.process.stop()


class Varnish:
    """Varnish with all objects in memory."""

    tls = None

    def __init__(self, folder, backend):
        self.folder = tempfile.mkdtemp(prefix="varnish-", dir=folder)
        os.chmod(self.folder, 0o755)
        host, port = backend.split(":")
        with open(f"{self.folder}/default.vcl", "w") as f:
            f.write(
                f'vcl 4.1; backend b {{ .host = "{host}"; .port = "{port}"; }}\n'
                "sub vcl_backend_response { set beresp.ttl = 1h; set beresp.uncacheable = false; }\n"
            )
        listen = free_port()
        self.plain = f"127.0.0.1:{listen}"
        command = [VARNISH, "-F", "-n", f"{self.folder}/work", "-f", f"{self.folder}/default.vcl", "-a", self.plain]
        command += ["-s", "malloc,64m", "-p", "thread_pools=1", "-p", "timeout_idle=3600"]
        self.process = Process(on("server", command), f"{self.folder}/log")
        self.pid = self.process.pid
        wait_until("varnish", 20, lambda: machine.listens(listen))

    def stop(self):
        self.process.stop()


def load(url, seconds, traced=False, head=None):
    """Runs wrk, with one more line of the head if one is given; gives requests, bytes, and CPU seconds of wrk."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = on("client", ["wrk", "-t1", "-c64", f"-d{max(1, round(seconds))}s", *(["-H", head] if head else []), url])
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Under strace Varnish lets some wait for longer than wrk does.
    if "Non-2xx" in out or ("Socket errors" in out and not traced):
        raise SystemExit(f"error: {url}: {out}")
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    return requests, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(server, address, scheme, name, seconds):
    """Requests per CPU second of the server, and CPU seconds per GB of both."""
    before = machine.run_seconds(server.pid)
    requests, client = load(f"{scheme}://{address}/live/a/{name}", seconds)
    spent = machine.run_seconds(server.pid) - before
    return requests / spent, (spent + client) / (requests * OBJECTS[name] / 1e9)


def system_calls(server, name, folder):
    """System calls of the server for each request, as strace counts them."""
    report = f"{folder}/strace"
    pids = [str(p) for p in sorted(machine.tree(server.pid))]
    command = ["strace", "-f", "-c", "-o", report] + [word for p in pids for word in ("-p", p)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    tracer.stderr.readline()
    requests, _ = load(f"http://{server.plain}/live/a/{name}", 2, traced=True)
    tracer.terminate()
    tracer.wait()
    with open(report) as f:
        total = [line for line in f if line.rstrip().endswith("total")][-1]
    return int(total.split()[3]) / requests


def connect(address, count, path):
    host, port = address.split(":")
    request = f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    out = []
    for _ in range(count):
        s = socket.create_connection((host, int(port)), timeout=10)
        s.sendall(request)
        out.append(s)
    return out


def read_answers(connections):
    for s in connections:
        got = b""
        while b"\r\n\r\n" not in got or len(got.split(b"\r\n\r\n", 1)[1]) < OBJECTS["v/index.m3u8"]:
            more = s.recv(65536)
            if not more:
                raise SystemExit("error: a connection was closed")
            got += more


def idle_bytes(server, count=2000):
    """Resident bytes of an idle connection that had one answer."""
    path = "/live/a/v/index.m3u8"
    warm = connect(server.plain, 100, path)
    read_answers(warm)
    before = machine.resident_bytes(server.pid)
    idle = connect(server.plain, count, path)
    read_answers(idle)
    after = machine.resident_bytes(server.pid)
    for s in warm + idle:
        s.close()
    return (after - before) / count


def wake_up(server, count):
    """Of `count` blocked requests: milliseconds from the first answer to the last, milliseconds of the server's CPU for
    it, and resident bytes of each while it waits."""
    before = machine.resident_bytes(server.pid)
    waiting = connect(server.plain, count, "/live/a/wait.m3u8")
    # All have arrived once an answer that was asked for last is there.
    last = connect(server.plain, 1, "/live/a/v/index.m3u8")
    read_answers(last)
    time.sleep(0.5)
    held = (machine.resident_bytes(server.pid) - before) / count
    poll = select.epoll()
    for s in waiting:
        poll.register(s, select.EPOLLIN | select.EPOLLONESHOT)
    spent = machine.run_seconds(server.pid)
    server.publish()
    left, first = count, None
    while left:
        events = poll.poll(10, count)
        now = time.monotonic()
        if not events:
            raise SystemExit(f"error: {left} of {count} blocked requests were not woken")
        first = first or now
        left -= len(events)
    # The last one is counted when its thread sleeps.
    time.sleep(0.05)
    spent = machine.run_seconds(server.pid) - spent
    read_answers(waiting)
    for s in waiting + last:
        s.close()
    return (now - first) * 1000, spent * 1000, held


def show(values, digits=2):
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}..{max(values):.{digits}f}]"


def run(rounds, seconds):
    """All comparisons; gives the lines of the tables."""
    machine.step_forward()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(10_000, hard - 1000)
    folder = tempfile.mkdtemp(prefix="millstream-bench-", dir="/dev/shm")
    os.chmod(folder, 0o755)
    certificate(folder)
    servers = {}
    try:
        binary, bare = example_binaries()
        servers["millstream"] = Ours(folder, binary)
        servers["millstream, multi-thread runtime"] = Ours(folder, binary, lanes=False)
        servers["nginx, sendfile off"] = Nginx(folder, False)
        servers["nginx, sendfile on"] = Nginx(folder, True)
        servers["varnish"] = Varnish(folder, servers["nginx, sendfile on"].plain)
        servers["a bare loop of sends"] = Bare(bare)
        return compare(servers, folder, rounds, seconds, count)
    finally:
        for server in servers.values():
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def compare(servers, folder, rounds, seconds, count):
    loop = servers["a bare loop of sends"]
    servers = {who: server for who, server in servers.items() if server is not loop}
    figures = {}
    for number in range(rounds):
        for scheme in ("http", "https"):
            for name in OBJECTS:
                for who, server in servers.items():
                    address = server.plain if scheme == "http" else server.tls
                    if not address:
                        continue
                    got = measure(server, address, scheme, name, seconds)
                    figures.setdefault((scheme, name), {}).setdefault(who, []).append(got)
                    print(f"  round {number + 1}: {scheme} {name} {who}: {got[0]:.0f}/s {got[1]:.3f} s/GB", flush=True)
    lines = []
    for (scheme, name), results in figures.items():
        small = name.endswith("m3u8")
        column, unit, digits = (0, "requests per server CPU second", 0) if small else (1, "CPU s per GB, both", 3)
        lines += [f"### {scheme}, {OBJECTS[name]:,} bytes", "", f"| | {unit} | millstream is, of it |", "|---|---|---|"]
        values = {who: [figure[column] for figure in got] for who, got in results.items()}
        base = statistics.median(values["millstream"])
        for who, got in values.items():
            lines.append(f"| {who} | {show(got, digits)} | {base / statistics.median(got):.2f} |")
        goal = "at least 1.0 of nginx, sendfile off; aim 1.3" if small else "at most 1.0 of Varnish; TLS: of nginx"
        lines += ["", f"Goal: {goal}.", ""]
    lines += ["### Connections", "", "| | system calls a request: 1,500 B / 1 MiB | memory of an idle connection |", "|---|---|---|"]
    for who, server in servers.items():
        calls = [system_calls(server, name, folder) for name in ("v/index.m3u8", "v/large.m4s")]
        lines.append(f"| {who} | {calls[0]:.2f} / {calls[1]:.1f} | {idle_bytes(server):,.0f} B |")
        print(lines[-1], flush=True)
    lines += [
        "",
        f"### {count:,} blocked playlist reloads, woken by one new part",
        "",
        "| | ms from the first answer to the last | ms of the server's CPU | memory of each while it waits |",
        "|---|---|---|---|",
    ]
    os.sched_setaffinity(0, {int(CORES["client"])})
    woken = {}
    for _ in range(rounds):
        for who, server in (("millstream", servers["millstream"]), ("a bare loop of sends", loop)):
            woken.setdefault(who, []).append(wake_up(server, count))
    for who, got in woken.items():
        spread, spent, held = zip(*got)
        memory = f"{held[0]:,.0f} B" if who == "millstream" else ""
        lines.append(f"| {who} | {show(spread, 1)} | {show(spent, 1)} | {memory} |")
        print(lines[-1], flush=True)
    lines += [
        "",
        "Goal: at most 4 system calls for the playlist, 2 kB for an idle connection, 50 ms from the first woken to the last.",
        "",
    ]
    return lines

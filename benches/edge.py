"""The edge on a cache hit, against Varnish, Traffic Server and nginx with proxy_cache: requests per CPU second of the server.

All stand before the same origin (nginx with files in memory), and hold its objects in their caches before the clock
starts. Server and client have a core each, as in delivery.py.

    scripts/bench --only edge [--rounds 3] [--seconds 5]

MILLSTREAM_BIN names the binary; otherwise target/release/millstream.
"""

import os
import shutil
import statistics
import tempfile
import urllib.request

import machine
from delivery import NGINX, OBJECTS, ROOT, Varnish, measure, on, show
from machine import Process, free_port, wait_until

TRAFFIC_SERVER = shutil.which("traffic_server") or "/usr/bin/traffic_server"
BASE = (
    "daemon off; worker_processes 1; user root; error_log stderr; worker_rlimit_nofile 20000;\n"
    "pid {folder}/pid;\nevents {{ worker_connections 12000; }}\n"
    "http {{ access_log off; sendfile {sendfile}; tcp_nodelay on; keepalive_requests 100000000; keepalive_timeout 1h;\n"
    "output_buffers 2 256k; open_file_cache max=100; open_file_cache_valid 1h;\n"
    "client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;\n"
    "uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
)


class Nginx:
    """nginx as the origin, or as a cache in front of `backend`."""

    def __init__(self, folder, backend=None, sendfile=False):
        self.folder = tempfile.mkdtemp(prefix="nginx-", dir=folder)
        port = free_port()
        self.plain = f"127.0.0.1:{port}"
        text = BASE.format(folder=self.folder, sendfile="on" if sendfile else "off")
        if backend:
            text += (
                f"proxy_cache_path {self.folder}/cache keys_zone=z:10m max_size=64m inactive=1h use_temp_path=off;\n"
                f"upstream o {{ server {backend}; keepalive 8; }}\n"
                f"server {{ listen {self.plain}; location / {{ proxy_pass http://o; proxy_http_version 1.1;\n"
                'proxy_set_header Connection ""; proxy_cache z; proxy_cache_valid 200 1h; proxy_cache_lock on; } } }\n'
            )
        else:
            for name, size in OBJECTS.items():
                path = f"{self.folder}/root/live/a/{name}"
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "wb") as f:
                    f.write(b"#" * size)
            text += (
                f"server {{ listen {self.plain}; root {self.folder}/root;\n"
                'add_header Cache-Control "public, max-age=36000"; } }\n'
            )
        with open(f"{self.folder}/nginx.conf", "w") as f:
            f.write(text)
        command = on("server", [NGINX, "-p", self.folder, "-c", f"{self.folder}/nginx.conf"])
        self.process = Process(command, f"{self.folder}/log")
        self.pid = self.process.pid
        wait_until("nginx", 10, lambda: machine.listens(port))

    def stop(self):
        self.process.stop()


class TrafficServer:
    """Traffic Server with its cache in memory and on /dev/shm, one event thread."""

    def __init__(self, folder, backend):
        self.folder = tempfile.mkdtemp(prefix="trafficserver-", dir=folder)
        port = free_port()
        self.plain = f"127.0.0.1:{port}"
        for name in ("etc", "cache", "log", "run"):
            os.makedirs(f"{self.folder}/{name}")
        files = {
            "storage.config": f"{self.folder}/cache 128M\n",
            "ip_allow.yaml": "ip_allow:\n  - {apply: in, ip_addrs: 127.0.0.1, action: allow, methods: ALL}\n",
            "remap.config": f"map / http://{backend}/\n",
            "records.config": "".join(
                f"CONFIG proxy.config.{name} {kind} {value}\n"
                for name, kind, value in (
                    ("http.server_ports", "STRING", f"{port}:ip-in=127.0.0.1"),
                    ("local_state_dir", "STRING", f"{self.folder}/run"),
                    ("log.logfile_dir", "STRING", f"{self.folder}/log"),
                    ("log.logging_enabled", "INT", 0),
                    ("admin.user_id", "STRING", "#-1"),
                    ("exec_thread.autoconfig", "INT", 0),
                    ("exec_thread.limit", "INT", 1),
                    ("accept_threads", "INT", 0),
                    ("net.connections_throttle", "INT", 20000),
                    ("cache.ram_cache.size", "INT", 64 << 20),
                    ("cache.ram_cache_cutoff", "INT", 4 << 20),
                    ("http.cache.required_headers", "INT", 0),
                    ("http.keep_alive_no_activity_timeout_in", "INT", 3600),
                    ("http.insert_response_via_str", "INT", 0),
                )
            ),
        }
        for name, text in files.items():
            with open(f"{self.folder}/etc/{name}", "w") as f:
                f.write(text)
        paths = {"sysconfdir": "etc", "runtimedir": "run", "logdir": "log", "cachedir": "cache", "localstatedir": "run"}
        with open(f"{self.folder}/runroot.yaml", "w") as f:
            f.write("prefix: /usr\nexec_prefix: /usr\nbindir: /usr/bin\nsbindir: /usr/bin\n")
            f.writelines(f"{key}: {self.folder}/{name}\n" for key, name in paths.items())
        command = [TRAFFIC_SERVER, f"--run-root={self.folder}/runroot.yaml"]
        self.process = Process(on("server", command), f"{self.folder}/output")
        self.pid = self.process.pid
        wait_until("traffic_server", 30, lambda: machine.listens(port))

    def stop(self):
        self.process.stop()


class Edge:
    """Ours."""

    def __init__(self, folder, backend):
        self.folder = tempfile.mkdtemp(prefix="edge-", dir=folder)
        port = free_port()
        self.plain = f"127.0.0.1:{port}"
        binary = os.environ.get("MILLSTREAM_BIN", f"{ROOT}/target/release/millstream")
        command = [binary, "serve", "--role", "edge", "--http", self.plain, "--data-dir", f"{self.folder}/data"]
        self.process = Process(on("server", command + ["--origin", f"http://{backend}"]), f"{self.folder}/log")
        self.pid = self.process.pid
        wait_until("millstream", 20, lambda: machine.listens(port))

    def stop(self):
        self.process.stop()


def run(rounds, seconds):
    """The comparison; gives the lines of its tables."""
    folder = tempfile.mkdtemp(prefix="millstream-bench-", dir="/dev/shm")
    os.chmod(folder, 0o755)
    machine.step_forward()
    servers, figures = {}, {}
    origin = Nginx(folder)
    try:
        servers["millstream edge"] = Edge(folder, origin.plain)
        servers["varnish"] = Varnish(folder, origin.plain)
        servers["traffic server"] = TrafficServer(folder, origin.plain)
        servers["nginx proxy_cache, sendfile off"] = Nginx(folder, origin.plain)
        servers["nginx proxy_cache, sendfile on"] = Nginx(folder, origin.plain, sendfile=True)
        for server in servers.values():
            for name, size in OBJECTS.items():
                for _ in range(3):
                    got = urllib.request.urlopen(f"http://{server.plain}/live/a/{name}").read()
                    assert len(got) == size
        for number in range(rounds):
            for name in OBJECTS:
                for who, server in servers.items():
                    got = measure(server, server.plain, "http", name, seconds)
                    figures.setdefault(name, {}).setdefault(who, []).append(got)
                    print(f"  round {number + 1}: {name} {who}: {got[0]:.0f}/s {got[1]:.3f} s/GB", flush=True)
    finally:
        for server in [*servers.values(), origin]:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    lines = []
    for name, results in figures.items():
        lines += [
            f"### Edge, cache hit, {OBJECTS[name]:,} bytes",
            "",
            "| | requests per server CPU second | the edge is, of it | CPU s per GB, both |",
            "|---|---|---|---|",
        ]
        base = statistics.median(rate for rate, _ in results["millstream edge"])
        for who, got in results.items():
            rates, costs = zip(*got)
            ratio = base / statistics.median(rates)
            lines.append(f"| {who} | {show(rates, 0)} | {ratio:.2f} | {show(costs, 3)} |")
        lines.append("")
    return lines + ["Goal: at least 1.0 of each.", ""]

"""Signed cookies on against off: requests per CPU second of a warm edge, with the same binary, objects and client.

    scripts/bench --only signed [--rounds 5] [--seconds 5]

wrk sends the cookies of one viewer with every request, so that the policy is remembered, as it is with a player. The edge
without the check is asked with the same cookies: the length of the head is not what is compared.
"""

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import urllib.error
import urllib.request

import delivery
import edge
import machine
from delivery import OBJECTS, ROOT, show

GOAL = 0.9


class Edge(edge.Edge):
    """An edge with or without the check."""

    def __init__(self, folder, backend, keys=None):
        variables = {"MILLSTREAM_ACCESS_REQUIRE": "true", "MILLSTREAM_ACCESS_KEYS": keys} if keys else {}
        os.environ.update(variables)
        try:
            super().__init__(folder, backend)
        finally:
            for name in variables:
                del os.environ[name]


def key_pair(folder):
    """Makes a key that edges trust. Gives its id, the private key's file and the folder of public ones."""
    binary = os.environ.get("MILLSTREAM_BIN", f"{ROOT}/target/release/millstream")
    keys = f"{folder}/keys"
    environment = {**os.environ, "MILLSTREAM_ACCESS_KEYS": keys}
    command = [os.path.abspath(binary), "key", "create", "--json", "--out", f"{folder}/private.pem"]
    out = subprocess.run(command, env=environment, cwd=folder, check=True, capture_output=True, text=True).stdout
    made = json.loads(out)
    return os.path.abspath(binary), made["key_pair_id"], f"{folder}/private.pem", keys


def cookies(binary, identifier, private, address):
    command = [binary, "sign", f"http://{address}/live/a/*", "--cookies", "--json", "--expires", "1d"]
    command += ["--key-file", private, "--key-pair-id", identifier]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return "; ".join(f"{name}={value}" for name, value in json.loads(out)["cookies"].items())


def rate(server, name, seconds, cookie):
    """Requests per CPU second of the server."""
    before = machine.run_seconds(server.pid)
    requests, _ = delivery.load(f"http://{server.plain}/live/a/{name}", seconds, head=f"Cookie: {cookie}")
    return requests / (machine.run_seconds(server.pid) - before)


def run(rounds, seconds):
    """The comparison; gives the lines of its table."""
    folder = tempfile.mkdtemp(prefix="millstream-bench-", dir="/dev/shm")
    os.chmod(folder, 0o755)
    machine.step_forward()
    servers, figures = {}, {}
    origin = edge.Nginx(folder)
    try:
        binary, identifier, private, keys = key_pair(folder)
        servers["off"] = Edge(folder, origin.plain)
        servers["on"] = Edge(folder, origin.plain, keys)
        cookie = {who: cookies(binary, identifier, private, server.plain) for who, server in servers.items()}
        for who, server in servers.items():
            for name, size in OBJECTS.items():
                request = urllib.request.Request(f"http://{server.plain}/live/a/{name}", headers={"Cookie": cookie[who]})
                for _ in range(3):
                    assert len(urllib.request.urlopen(request).read()) == size
        try:
            urllib.request.urlopen(f"http://{servers['on'].plain}/live/a/v/index.m3u8")
            raise SystemExit("error: the edge with the check answers without cookies")
        except urllib.error.HTTPError as error:
            assert error.code == 403
        for number in range(rounds):
            for name in ("v/index.m3u8", "v/small.m4s"):
                # Neighbours in time are compared, the first of two in turns: the machine is not alike all the time.
                turn = ("off", "on") if number % 2 == 0 else ("on", "off")
                got = {who: rate(servers[who], name, seconds, cookie[who]) for who in turn}
                figures.setdefault(name, []).append((got["off"], got["on"]))
                ratio = got["on"] / got["off"]
                print(f"  round {number + 1}: {name}: off {got['off']:.0f}/s on {got['on']:.0f}/s {ratio:.3f}", flush=True)
    finally:
        for server in [*servers.values(), origin]:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    lines = [
        "### Signed cookies on a warm edge",
        "",
        "| | requests per server CPU second, off | on | on is, of off | µs of CPU a request |",
        "|---|---|---|---|---|",
    ]
    for name, got in figures.items():
        off, on = zip(*got)
        ratio = statistics.median(b / a for a, b in got)
        cost = statistics.median(1e6 / b - 1e6 / a for a, b in got)
        lines.append(f"| {OBJECTS[name]:,} bytes | {show(off, 0)} | {show(on, 0)} | {ratio:.2f} | {cost:.2f} |")
    return lines + ["", f"Goal: at least {GOAL} of it without, and less than 2 µs.", ""]

"""What encryption costs: CPU of a passthrough server with clear channels, and with encrypted ones, in one run.

    scripts/bench --only protect [--rounds 3] [--seconds 20] [--streams 10]

The figure is CPU seconds for each gigabyte of media that comes in: receiving, packaging, encrypting and recording it.
"""

import os
import shutil
import statistics
import tempfile
import time
import urllib.request

import machine
import peers

KEYS = "a0112233445566778899aabbccddeeff:0f0e0d0c0b0a09080706050403020100\n"
GOAL = 1.5


class Protected(peers.Millstream):
    """Passthrough channels under one key, or clear."""

    def __init__(self, folder, binary, channels, scheme):
        self.scheme = scheme
        os.makedirs(f"{folder}/data/content-keys")
        with open(f"{folder}/data/content-keys/bench.keys", "w") as f:
            f.write(KEYS)
        super().__init__(folder, binary, channels, "passthrough")

    def settings(self):
        if self.scheme is None:
            return ""
        return f'[channel.protection]\nkeys = "bench.keys"\nscheme = "{self.scheme}"'


def received(peer):
    """Bytes of contributions."""
    text = urllib.request.urlopen(f"http://{peer.bound['http']}/metrics", timeout=5).read().decode()
    lines = [line for line in text.splitlines() if line.startswith("millstream_ingest_bytes_total{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def per_gigabyte(make, path, publish, streams, seconds):
    folder = tempfile.mkdtemp(prefix="millstream-bench-", dir="/dev/shm")
    peer = make(f"{folder}/peer")
    publishers = []
    try:
        publishers = [publish(path, peer.publish_url(n), f"{folder}/publisher.log") for n in range(streams)]
        for n in range(streams):
            listed = lambda: answers(peer.playlist_url(n).replace("index.m3u8", "manifest.mpd"))
            machine.wait_until("the first list", 30, listed, 0.1)
        before = received(peer), machine.cpu_seconds(peer.pid)
        time.sleep(seconds)
        after = received(peer), machine.cpu_seconds(peer.pid)
        return (after[1] - before[1]) / ((after[0] - before[0]) / 1e9)
    finally:
        for publisher in publishers:
            publisher.stop()
        peer.stop()
        shutil.rmtree(folder, ignore_errors=True)


def answers(url):
    try:
        return urllib.request.urlopen(url, timeout=2).status == 200
    except OSError:
        return False


def run(rounds, seconds, streams, binary, recording, publish, show):
    """The comparison; gives the lines of its table."""
    folder = tempfile.mkdtemp(prefix="millstream-bench-", dir="/dev/shm")
    machine.step_forward()
    figures = {name: [] for name in ("clear", "cbcs", "cenc")}
    try:
        path = recording(folder, "1080p", (1920, 1080), 60, 6000, 20)
        for number in range(rounds):
            for name, values in figures.items():
                scheme = None if name == "clear" else name
                make = lambda f: Protected(f, binary, streams, scheme)
                values.append(per_gigabyte(make, path, publish, streams, seconds))
                print(f"  round {number + 1}: {name}: {values[-1]:.2f} CPU s per GB", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    clear = statistics.median(figures["clear"])
    lines = [
        f"### Encryption of passthrough channels, 1080p30 at 6 Mb/s, {streams} streams", "",
        "| | CPU seconds per GB of contribution | it is, of clear |", "|---|---|---|",
    ]  # fmt: skip
    for name, values in figures.items():
        lines.append(f"| {name} | {show(values)} | {statistics.median(values) / clear:.2f} |")
    return lines + ["", f"Goal: at most {GOAL} of clear."]

"""Whether the origin's requests grow with the viewers behind an edge: 100 and 10,000 of them, HLS and LL-HLS.

One origin with a passthrough channel, one edge in front of it, `millstream load` as the viewers; the origin counts its
answers. Each segment, part and version of a playlist should be asked for once, however many watch.

    scripts/bench --only growth [--seconds 30]

MILLSTREAM_BIN names the binary; otherwise target/release/millstream.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.request

import machine
from delivery import ROOT, on
from edge import Edge
from machine import Process, free_port, wait_until

CROWDS = (100, 10_000)
MEDIA = ("multivariant", "playlist", "iframe_playlist", "init", "segment", "part", "mpd")
RAMP = 5
COUNTER = re.compile(r'^millstream_http_requests_total\{([^}]*)\} (\d+)', re.M)
LABEL = re.compile(r'(\w+)="([^"]*)"')
BINARY = os.environ.get("MILLSTREAM_BIN", f"{ROOT}/target/release/millstream")


class Origin:
    """One passthrough channel, and ffmpeg that publishes to it."""

    def __init__(self, folder):
        port, rtmp = free_port(), free_port()
        self.plain = f"127.0.0.1:{port}"
        config = f"{folder}/origin.toml"
        with open(config, "w") as f:
            f.write(
                f'[server]\nhttp = "{self.plain}"\ndata_dir = "{folder}/origin"\n'
                f'[ingest]\nrtmp = "127.0.0.1:{rtmp}"\nsrt = "off"\nwebrtc = "off"\n'
                '[[channel]]\nname = "a"\nstream_key = "bench-key"\nmode = "passthrough"\n'
            )
        self.process = Process(on("server", [BINARY, "serve", "--config", config]), f"{folder}/origin.log")
        wait_until("the origin", 20, lambda: machine.listens(port) and machine.listens(rtmp))
        command = [
            "ffmpeg", "-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30",
            "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-b:v", "300k", "-g", "30",
            "-pix_fmt", "yuv420p", "-f", "flv", f"rtmp://127.0.0.1:{rtmp}/live/bench-key",
        ]  # fmt: skip
        self.publisher = Process(command, f"{folder}/publisher.log")

    def answered(self):
        """Answers so far, by kind; the operator's own questions left out."""
        text = urllib.request.urlopen(f"http://{self.plain}/metrics").read().decode()
        out = {}
        for labels, value in COUNTER.findall(text):
            kind = dict(LABEL.findall(labels))["kind"]
            out[kind] = out.get(kind, 0) + int(value)
        return {kind: count for kind, count in out.items() if kind in MEDIA}

    def stop(self):
        self.publisher.stop()
        self.process.stop()


def crowd(edge, viewers, mode, seconds):
    """The report of a crowd that watches for so long."""
    command = [BINARY, "load", f"http://{edge.plain}/live/a/index.m3u8", "--viewers", str(viewers), "--mode", mode]
    command += ["--duration", f"{seconds + RAMP}s", "--ramp", f"{RAMP}s", "--json"]
    # More than one address, so that no limit of one client is met.
    command += ["--connect-from", "127.0.0.2-127.0.0.101"]
    done = subprocess.run(on("client", command), capture_output=True, text=True)
    return json.loads(done.stdout)


def run(_rounds, seconds):
    """Gives the lines of the table."""
    folder = tempfile.mkdtemp(prefix="millstream-bench-", dir="/dev/shm")
    machine.step_forward()
    seconds = max(seconds, 30)
    lines = [
        f"### Requests to the origin in {seconds + RAMP} s, through one edge",
        "",
        "| viewers | | requests to the edge | failed | requests to the origin | by kind |",
        "|---|---|---|---|---|---|",
    ]
    origin = edge = None
    try:
        origin = Origin(folder)
        wait_until("a list of ten segments", 60, lambda: listed(origin) >= 10, 0.5)
        for mode in ("hls", "ll-hls"):
            for viewers in CROWDS:
                # An edge of its own: none finds what the crowd before it has left.
                edge = Edge(folder, origin.plain)
                before = origin.answered()
                report = crowd(edge, viewers, mode, seconds)
                after = origin.answered()
                grown = {kind: count - before.get(kind, 0) for kind, count in after.items()}
                grown = {kind: count for kind, count in sorted(grown.items()) if count}
                asked = sum(r["count"] for r in report["requests"].values())
                by_kind = ", ".join(f"{count} {kind}" for kind, count in grown.items())
                lines.append(f"| {viewers:,} | {mode} | {asked:,} | {report['errors']} | {sum(grown.values())} | {by_kind} |")
                print(f"  {lines[-1]}", flush=True)
                edge.stop()
    finally:
        for one in (edge, origin):
            if one:
                one.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return lines + ["", "Goal: the same number.", ""]


def listed(origin):
    """Segments in the list of the first rendition; 0 while there is none."""
    try:
        return listing(origin)
    except OSError:
        return 0


def listing(origin):
    text = urllib.request.urlopen(f"http://{origin.plain}/live/a/index.m3u8").read().decode()
    uri = next(line for line in text.splitlines() if line and not line.startswith("#"))
    return urllib.request.urlopen(f"http://{origin.plain}/live/a/{uri}").read().decode().count("#EXTINF")

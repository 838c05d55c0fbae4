#!/usr/bin/env python3
"""Compares millstream with its peers on this machine, within one run, and prints ratios.

Peers take turns in several rounds; the median of the rounds counts. Everything is on the loopback address and on
/dev/shm. Usage: benches/run.py [--rounds N] [--seconds N] [--streams N] [--only NAME] [--write]
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
import urllib.request

import delivery
import edge
import growth
import imports
import machine
import peers
import protect
import signed
from machine import Process, wait_until

BINARY = os.environ.get("MILLSTREAM_BIN", os.path.abspath(os.path.join(os.path.dirname(__file__), "../target/release/millstream")))
PAGE = os.path.abspath(os.path.join(os.path.dirname(__file__), "../docs/performance.md"))
GROUPS = ("delivery", "edge", "signed", "protect", "growth", "import")


def marks(group):
    """Between what a group's tables stand in the page."""
    return f"<!-- made by make bench, {group}: begin -->", f"<!-- made by make bench, {group}: end -->"


def recording(folder, name, size, gop, kbps, seconds):
    """A contribution, encoded once, so that the broadcaster's own work is small and the same for everybody."""
    path = f"{folder}/{name}.flv"
    width, height = size
    command = [
        "ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=size={width}x{height}:rate=30",
        "-f", "lavfi", "-i", "sine=sample_rate=48000", "-t", str(seconds),
        "-vf", "noise=alls=12:allf=t,format=yuv420p", "-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency",
        "-b:v", f"{kbps}k", "-maxrate", f"{kbps}k", "-bufsize", f"{kbps}k", "-g", str(gop), "-keyint_min", str(gop),
        "-sc_threshold", "0", "-c:a", "aac", "-b:a", "128k", "-ac", "2", path,
    ]  # fmt: skip
    subprocess.run(command, check=True)
    return path


def publish(path, url, log):
    command = ["ffmpeg", "-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i", path, "-c", "copy"]
    return Process(command + ["-f", "flv", url], log)


def cpu_of(peer):
    pids = peer.pids if hasattr(peer, "pids") else [peer.pid]
    return sum(machine.cpu_seconds(p) for p in pids)


def cpu_per_stream_second(make, path, streams, seconds):
    """CPU milliseconds of the server's process tree for each second of each stream."""
    folder = tempfile.mkdtemp(prefix="millstream-bench-", dir="/dev/shm")
    peer = make(f"{folder}/peer")
    publishers = []
    try:
        publishers = [publish(path, peer.publish_url(n), f"{folder}/publisher.log") for n in range(streams)]
        wait_until("the first playlist", 30, lambda: all(body(peer, n) for n in range(streams)), 0.1)
        started, before = time.monotonic(), cpu_of(peer)
        time.sleep(seconds)
        spent, took = cpu_of(peer) - before, time.monotonic() - started
        if any(p.child.poll() is not None for p in publishers):
            raise SystemExit(f"error: a publisher to {peer.name} ended; see {folder}/publisher.log")
        return spent * 1000 / (took * streams)
    finally:
        for publisher in publishers:
            publisher.stop()
        peer.stop()
        shutil.rmtree(folder, ignore_errors=True)


def body(peer, n):
    """The playlist of a stream, if it is there."""
    if hasattr(peer, "playlist_url"):
        try:
            return urllib.request.urlopen(peer.playlist_url(n), timeout=2).read().decode()
        except OSError:
            return None
    path = peer.playlist_path(n)
    if peer.name.startswith("ffmpeg, same"):
        # It encodes into nothing; it works once it has taken the connection.
        return machine.received_bytes(peer.ports[n]) > BEFORE_MEDIA
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return None


def first_media(make, path):
    """Seconds from the first media byte of the broadcaster to the first media listed in a playlist."""
    folder = tempfile.mkdtemp(prefix="millstream-bench-", dir="/dev/shm")
    peer = make(f"{folder}/peer")
    publisher = None
    try:
        publisher = publish(path, peer.publish_url(0), f"{folder}/publisher.log")
        wait_until("the first media", 10, lambda: machine.received_bytes(peer.rtmp_port) > BEFORE_MEDIA, 0.001)
        started = time.monotonic()
        wait_until("the first media", 30, lambda: lists_media(peer), 0.005)
        return time.monotonic() - started
    finally:
        if publisher:
            publisher.stop()
        peer.stop()
        shutil.rmtree(folder, ignore_errors=True)


def lists_media(peer):
    text = body(peer, 0)
    if not text:
        return False
    if "#EXT-X-STREAM-INF" in text:
        variant = [line for line in text.splitlines() if line and not line.startswith("#")][0]
        try:
            url = peer.playlist_url(0).rsplit("/", 1)[0] + "/" + variant
            text = urllib.request.urlopen(url, timeout=2).read().decode()
        except OSError:
            return False
    return "#EXTINF" in text or "#EXT-X-PART:" in text


def resident_per_channel(path, channels):
    """Bytes of a passthrough channel beyond those of its window, and the window's."""
    folder = tempfile.mkdtemp(prefix="millstream-bench-", dir="/dev/shm")
    peer = peers.Millstream(f"{folder}/peer", BINARY, channels, "passthrough")
    publishers = []
    try:
        idle = machine.resident_bytes(peer.pid)
        publishers = [publish(path, peer.publish_url(n), f"{folder}/publisher.log") for n in range(channels)]
        # Twice the window and more: what is listed, and what stays a while after it left the list.
        time.sleep(50)
        busy = machine.resident_bytes(peer.pid)
        metrics = urllib.request.urlopen(f"http://{peer.bound['http']}/metrics", timeout=5).read().decode()
        windows = [line for line in metrics.splitlines() if line.startswith("millstream_window_bytes{")]
        window = sum(float(line.rsplit(" ", 1)[1]) for line in windows) / channels
        return (busy - idle) / channels, window
    finally:
        for publisher in publishers:
            publisher.stop()
        peer.stop()
        shutil.rmtree(folder, ignore_errors=True)


RECORDED_SECONDS = 20
# What a broadcaster sends before its first picture: the handshake (3,073 bytes), commands, metadata, sequence headers.
BEFORE_MEDIA = 5000


def rounds(makes, measure, count):
    """Each contender's measurements, taken in turns."""
    out = {name: [] for name, _ in makes}
    for number in range(count):
        for name, make in makes:
            value = measure(make)
            out[name].append(value)
            print(f"  round {number + 1}: {name}: {value:.2f}", flush=True)
    return out


def show(values):
    return f"{statistics.median(values):.2f} [{min(values):.2f}..{max(values):.2f}]"


def table(title, unit, results, goal):
    base = statistics.median(results[peers.Millstream.name])
    lines = [f"### {title}", "", f"| | {unit} | millstream is, of it |", "|---|---|---|"]
    for name, values in results.items():
        ratio = "" if name == peers.Millstream.name else f"{base / statistics.median(values):.2f}"
        lines.append(f"| {name} | {show(values)} | {ratio} |")
    return lines + ["", goal, ""]


def main():
    parser = argparse.ArgumentParser(description="Compares millstream with its peers, as ratios in one run.")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender")
    parser.add_argument("--seconds", type=float, default=20, help="measured seconds of a turn")
    parser.add_argument("--streams", type=int, default=10, help="streams in the passthrough comparison of many")
    parser.add_argument("--only", choices=["passthrough", "ladder", "memory", "start", "delivery", "edge", "signed", "protect", "growth", "import"], help="one comparison only")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/performance.md")
    options = parser.parse_args()
    if options.only != "delivery" and not os.path.exists(BINARY):
        raise SystemExit("error: target/release/millstream is not built, or MILLSTREAM_BIN names nothing; run scripts/build")
    folder = tempfile.mkdtemp(prefix="millstream-bench-", dir="/dev/shm")
    try:
        groups = run(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for group, lines in groups.items():
        print(f"\n{group}\n" + "\n".join(lines))
        if options.write:
            write(group, lines)


def run(options, folder):
    """Lines of the page, by group."""
    wanted = lambda name: options.only in (None, name)
    short = min(options.seconds, 5)
    measures = {
        "delivery": lambda: delivery.run(options.rounds, short),
        "edge": lambda: edge.run(options.rounds, short),
        "signed": lambda: signed.run(options.rounds, short),
        "protect": lambda: protect.run(options.rounds, options.seconds, options.streams, BINARY, recording, publish, show),
        "growth": lambda: growth.run(options.rounds, options.seconds),
        "import": lambda: imports.run(options.rounds, BINARY, show),
    }
    groups = {}
    for group in GROUPS:
        if wanted(group):
            print(group, flush=True)
            groups[group] = headline(options) + measures[group]()
    if options.only not in GROUPS:
        groups["media"] = headline(options) + media(options, folder, wanted)
    return groups


def headline(options):
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return [
        f"Commit {commit}, {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores ({cpu_model()}), Linux "
        f"{platform.release()}, load average {os.getloadavg()[0]:.1f} at the start. Median [least..most] of "
        f"{options.rounds} rounds of {options.seconds:g} s.",
        "",
    ]


def media(options, folder, wanted):
    """RTMP to HLS: passthrough, ladder, start, memory."""
    lines = []
    hd = recording(folder, "1080p", (1920, 1080), 60, 6000, RECORDED_SECONDS)
    serve = lambda mode, n, segment=2: lambda f: peers.Millstream(f, BINARY, n, mode, segment)
    if wanted("passthrough"):
        for streams in sorted({1, options.streams}):
            makes = [
                (peers.Millstream.name, serve("passthrough", streams)),
                ("millstream, not recording", lambda f: peers.Millstream(f, BINARY, streams, "passthrough", record=False)),
                (peers.Nginx.name, lambda f: peers.Nginx(f, streams)),
            ]
            if streams == 1:
                makes.append((peers.FfmpegCopy.name, lambda f: peers.FfmpegCopy(f, streams)))
            measure = lambda make: cpu_per_stream_second(make, hd, streams, options.seconds)
            print(f"passthrough, {streams} streams", flush=True)
            results = rounds(makes, measure, options.rounds)
            title = f"Passthrough, 1080p30 at 6 Mb/s, {streams} stream{'s' if streams > 1 else ''}"
            lines += table(title, "CPU ms per stream-second", results, "Goal: at most 0.8 of nginx-rtmp.")
    if wanted("ladder"):
        sd = recording(folder, "720p", (1280, 720), 60, 4000, RECORDED_SECONDS)
        makes = [(peers.Millstream.name, serve("abr", 1)), (peers.FfmpegLadder.name, lambda f: peers.FfmpegLadder(f, 1))]
        print("ladder", flush=True)
        results = rounds(makes, lambda make: cpu_per_stream_second(make, sd, 1, options.seconds), options.rounds)
        title = "Ladder, 720p30 to 720p + 480p + 360p + AAC"
        lines += table(title, "CPU ms per stream-second", results, "Goal: at most 1.0 of the ffmpeg command line.")
    if wanted("start"):
        for gop, seconds in ((30, 1), (60, 2)):
            path = recording(folder, f"gop{gop}", (640, 360), gop, 1000, 10)
            makes = [
                (peers.Millstream.name, serve("passthrough", 1, seconds)),
                (peers.Nginx.name, lambda f: peers.Nginx(f, 1, seconds)),
                (peers.FfmpegCopy.name, lambda f: peers.FfmpegCopy(f, 1, seconds)),
            ]
            print(f"first media, {seconds} s GOP", flush=True)
            results = rounds(makes, lambda make: first_media(make, path), options.rounds)
            goal = f"Goal: one GOP and 50 ms, {seconds}.05 s."
            lines += table(f"First media byte to first media listed, passthrough, {seconds} s GOP", "seconds", results, goal)
    if wanted("memory"):
        print("memory", flush=True)
        taken, window = resident_per_channel(hd, options.streams)
        lines += [
            f"### Memory of a passthrough channel, {options.streams} channels of 6 Mb/s, 20 s window",
            "",
            "| resident memory per channel | bytes of its window | beyond the window |",
            "|---|---|---|",
            f"| {taken / 1e6:.2f} MB | {window / 1e6:.2f} MB | {(taken - window) / 1e6:.2f} MB |",
            "",
            "Goal: the window's bytes and 1 MB.",
            "",
        ]
    return lines


def cpu_model():
    with open("/proc/cpuinfo") as f:
        names = [line.split(":", 1)[1].strip() for line in f if line.startswith("model name")]
    return names[0] if names else platform.machine()


def write(group, lines):
    begin, end = marks(group)
    with open(PAGE) as f:
        page = f.read()
    head, rest = page.split(begin, 1)
    tail = rest.split(end, 1)[1]
    with open(PAGE, "w") as f:
        f.write(head + begin + "\n" + "\n".join(lines).rstrip() + "\n" + end + tail)
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()

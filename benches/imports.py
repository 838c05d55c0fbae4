"""Import of a file against the ffmpeg command line with the same ladder and settings: CPU seconds and time taken."""

import json
import os
import resource
import subprocess
import tempfile
import time

import machine
import peers

SECONDS = 60
# Name, width, height, kbit/s, encoder threads: the ladder of 1080p, as crates/encode and crates/encoder make it.
# crates/encoder/src/options.rs.
X264 = "scenecut=0:rc-lookahead=0:sync-lookahead=0:sliced-threads=0:bframes=0:open-gop=0:force-cfr=1:nal-hrd=none:aud=0:repeat-headers=0"
LADDER = [("1080p", 1920, 1080, 5000, 2), ("720p", 1280, 720, 3000, 1), ("480p", 854, 480, 1400, 1), ("360p", 640, 360, 800, 1)]


def clip(folder):
    """60 s of 1080p30 with sound, as a camera would have encoded it."""
    path = f"{folder}/import.mp4"
    command = ["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=1920x1080:rate=30"]
    command += ["-f", "lavfi", "-i", "sine=sample_rate=48000", "-t", str(SECONDS), "-vf", "noise=alls=12:allf=t,format=yuv420p"]
    command += ["-c:v", "libx264", "-preset", "veryfast", "-b:v", "8M", "-g", "60", "-c:a", "aac", "-b:a", "128k", "-ac", "2"]
    subprocess.run(command + ["-movflags", "+faststart", path], check=True)
    return path


def ours(folder, binary, path):
    """CPU seconds and seconds of `asset import`, from the call to the asset that plays: server, worker and client."""
    server = peers.Millstream(f"{folder}/server", binary, 0, "abr")
    try:
        before = machine.cpu_seconds(server.pid)
        clients, began = children(), time.monotonic()
        command = [binary, "asset", "import", path, "--json", "--data-dir", f"{folder}/server/data"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        took = time.monotonic() - began
        state = json.loads(done.stdout)
        if state["state"] != "done" or state["notes"]:
            raise SystemExit(f"error: the import ended as {state}")
        machine.wait_childless(server.pid)
        return machine.cpu_seconds(server.pid) - before + children() - clients, took
    finally:
        server.stop()


def children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ffmpeg(folder, path):
    """The same by the ffmpeg command: one decode, scaling in the same cascade, fragmented MP4 files of every rendition."""
    graph = "[0:v]split=2[a][b];[b]scale=1280:720:flags=bilinear,split=2[c][d];"
    graph += "[d]scale=854:480:flags=bilinear,split=2[e][f];[f]scale=640:360:flags=bilinear[g]"
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", path, "-filter_complex", graph]
    for label, (name, _, _, kbps, threads) in zip("aceg", LADDER):
        command += ["-map", f"[{label}]", "-c:v", "libx264", "-preset", "veryfast", "-threads", str(threads)]
        command += ["-b:v", f"{kbps}k", "-maxrate", f"{kbps * 11 // 10}k", "-bufsize", f"{kbps}k"]
        command += ["-g", "60", "-keyint_min", "60", "-x264-params", X264]
        command += ["-movflags", "+frag_keyframe+empty_moov", f"{folder}/{name}.mp4"]
    command += ["-map", "0:a", "-c:a", "aac", "-b:a", "128k", "-ar", "48000", "-ac", "2", f"{folder}/audio.mp4"]
    before, began = children(), time.monotonic()
    subprocess.run(command, check=True)
    return children() - before, time.monotonic() - began


def run(rounds, binary, show):
    folder = tempfile.mkdtemp(prefix="millstream-bench-import-", dir="/dev/shm")
    try:
        path = clip(folder)
        results = {"millstream asset import": [], "ffmpeg, same ladder and settings": []}
        for n in range(rounds):
            os.makedirs(f"{folder}/{n}")
            results["millstream asset import"].append(ours(f"{folder}/{n}", binary, path))
            results["ffmpeg, same ladder and settings"].append(ffmpeg(f"{folder}/{n}", path))
            subprocess.run(["rm", "-r", f"{folder}/{n}"], check=True)
    finally:
        subprocess.run(["rm", "-rf", folder], check=True)
    lines = [f"### Import, {SECONDS} s of 1080p30 to 1080p + 720p + 480p + 360p + AAC", ""]
    lines += ["| | CPU seconds | seconds | times real time |", "|---|---|---|---|"]
    for name, values in results.items():
        cpu, took = [v[0] for v in values], [v[1] for v in values]
        speed = [SECONDS / t for t in took]
        lines.append(f"| {name} | {show(cpu)} | {show(took)} | {show(speed)} |")
    mine, theirs = (sorted(v[0] for v in values)[len(values) // 2] for values in results.values())
    lines += ["", f"Ratio of the CPU seconds: {mine / theirs:.2f}.", ""]
    return lines

"""The programs that are compared: each takes RTMP and writes or serves HLS."""

import json
import os

from machine import Process, free_port, listens, wait_until

# libx264 as millstream-encoder sets it (crates/encoder/src/options.rs).
X264 = (
    "scenecut=0:rc-lookahead=0:sync-lookahead=0:sliced-threads=0:bframes=0:open-gop=0:force-cfr=1:nal-hrd=none:aud=0"
)
LADDER = [("720p", 1280, 720, 3000), ("480p", 854, 480, 1400), ("360p", 640, 360, 800)]


class Millstream:
    name = "millstream"

    def __init__(self, folder, binary, channels, mode, segment=2, record=True):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        recorded = "true" if record else "false"
        lines = [
            '[server]\nhttp = "127.0.0.1:0"',
            f'data_dir = "{folder}/data"',
            '[ingest]\nrtmp = "127.0.0.1:0"\nsrt = "off"\nwebrtc = "off"',
            '[log]\nlevel = "warn"',
        ]
        for n in range(channels):
            lines.append(f'[[channel]]\nname = "c{n}"\nstream_key = "bench-key-{n}"\nmode = "{mode}"')
            lines.append(f"segment_seconds = {segment}\nwindow_seconds = 20\nrecord = {recorded}\n{self.settings()}")
        with open(f"{folder}/millstream.toml", "w") as f:
            f.write("\n".join(lines) + "\n")
        self.process = Process([binary, "serve", "--config", f"{folder}/millstream.toml"], f"{folder}/log.txt")
        self.bound = wait_until("millstream to listen", 20, self._listening)
        self.rtmp_port = int(self.bound["rtmp"].rsplit(":", 1)[1])

    def settings(self):
        """More lines for each channel."""
        return ""

    def _listening(self):
        try:
            with open(f"{self.folder}/data/listening.json") as f:
                return json.load(f)
        except (OSError, ValueError):
            return None

    def publish_url(self, n):
        return f"rtmp://{self.bound['rtmp']}/live/bench-key-{n}"

    def playlist_url(self, n):
        return f"http://{self.bound['http']}/live/c{n}/index.m3u8"

    def stop(self):
        self.process.stop()

    @property
    def pid(self):
        return self.process.pid


class FfmpegCopy:
    """One ffmpeg for each stream: an RTMP listener that packages into fMP4 HLS."""

    name = "ffmpeg -c copy -f hls"

    def __init__(self, folder, channels, segment=2):
        os.makedirs(folder)
        self.folder = folder
        self.segment = segment
        self.ports = [free_port() for _ in range(channels)]
        self.processes = []
        for n, port in enumerate(self.ports):
            out = f"{folder}/{n}"
            os.makedirs(out)
            self.processes.append(Process(self.command(port, out), f"{folder}/log{n}.txt", cwd=out))
        # The listener takes one connection only, so it is not probed with one.
        wait_until("ffmpeg to listen", 10, lambda: all(_is_listening(p) for p in self.ports))

    def command(self, port, out):
        return [
            "ffmpeg", "-nostdin", "-v", "error", "-listen", "1", "-i", f"rtmp://127.0.0.1:{port}/live/x", "-c", "copy",
            "-f", "hls", "-hls_time", str(self.segment), "-hls_list_size", "10", "-hls_flags", "delete_segments",
            "-hls_segment_type", "fmp4", f"{out}/index.m3u8",
        ]  # fmt: skip

    def publish_url(self, n):
        return f"rtmp://127.0.0.1:{self.ports[n]}/live/x"

    def playlist_path(self, n):
        return f"{self.folder}/{n}/index.m3u8"

    @property
    def rtmp_port(self):
        return self.ports[0]

    @property
    def pids(self):
        return [p.pid for p in self.processes]

    def stop(self):
        for process in self.processes:
            process.stop()


class FfmpegLadder(FfmpegCopy):
    """The ffmpeg command line with the worker's own x264 settings, scaling in the same cascade."""

    name = "ffmpeg, same x264 settings"

    def command(self, port, out):
        graph = (
            "[0:v]split=2[a][b];[b]scale=854:480:flags=bilinear,split=2[c][d];[d]scale=640:360:flags=bilinear[e]"
        )
        command = ["ffmpeg", "-nostdin", "-v", "error", "-listen", "1", "-i", f"rtmp://127.0.0.1:{port}/live/x"]
        command += ["-filter_complex", graph]
        for label, (name, _, _, kbps) in zip("ace", LADDER):
            command += ["-map", f"[{label}]", "-c:v", "libx264", "-preset", "veryfast", "-threads", "1"]
            command += ["-b:v", f"{kbps}k", "-maxrate", f"{kbps * 11 // 10}k", "-bufsize", f"{kbps}k"]
            command += ["-g", "60", "-keyint_min", "60", "-x264-params", X264]
            # One AAC encode, as in the worker.
            if name == "720p":
                command += ["-map", "0:a", "-c:a", "aac", "-b:a", "128k", "-ar", "48000", "-ac", "2"]
            command += ["-f", "null", "-"]
        return command


class Nginx:
    name = "nginx-rtmp"

    def __init__(self, folder, channels, segment=2):
        os.makedirs(f"{folder}/hls")
        self.folder = folder
        self.rtmp_port = free_port()
        module = "/usr/lib/nginx/modules/ngx_rtmp_module.so"
        # Started by root it would give its worker away to a user who may not write here.
        user = "user root;\n" if os.geteuid() == 0 else ""
        with open(f"{folder}/nginx.conf", "w") as f:
            f.write(
                f"{user}load_module {module};\ndaemon off;\nworker_processes 1;\npid {folder}/pid;\n"
                f"error_log {folder}/error.log error;\nevents {{}}\n"
                f"rtmp {{ server {{ listen 127.0.0.1:{self.rtmp_port}; application live {{ live on; hls on; "
                f"hls_path {folder}/hls; hls_fragment {segment}s; hls_playlist_length 20s; }} }} }}\n"
            )
        self.process = Process(["/usr/sbin/nginx", "-p", folder, "-c", f"{folder}/nginx.conf"], f"{folder}/log.txt")
        wait_until("nginx to listen", 10, lambda: listens(self.rtmp_port))

    def publish_url(self, n):
        return f"rtmp://127.0.0.1:{self.rtmp_port}/live/c{n}"

    def playlist_path(self, n):
        return f"{self.folder}/hls/c{n}.m3u8"

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        self.process.stop()


def _is_listening(port):
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as f:
            if any(fields[1].endswith(f":{port:04X}") and fields[3] == "0A" for fields in map(str.split, f)):
                return True
    return False

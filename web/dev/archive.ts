// Recordings of the mock: the looped media as an asset that has ended, a clip of it, and one that is being recorded.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { LOOP_SECONDS, RENDITIONS, SEGMENT_SECONDS } from "./media.ts";

const SHEET_SECONDS = 60;

interface MockAsset {
  id: string;
  kind: string;
  state: string;
  title: string;
  /** Number of its first segment, and how many it has. */
  first: number;
  segments: number;
  bytes: number;
}

export class MockArchive {
  readonly assets: MockAsset[] = [];
  private picture: Buffer | undefined;

  constructor(private readonly sheet: string) {
    const first = Math.floor(Date.now() / 1000 / SEGMENT_SECONDS) - 3000;
    this.add("harbour-20261121-180000", "recording", "ended", "Harbour festival, first night", first, 450);
    this.add("choir-20261122-100000", "recording", "recording", "Sunday choir", first + 2000, 60);
  }

  private add(
    id: string,
    kind: string,
    state: string,
    title: string,
    first: number,
    segments: number,
  ): MockAsset {
    const asset = {
      id,
      kind,
      state,
      title,
      first,
      segments,
      bytes: kind === "clip" ? 0 : segments * 600_000,
    };
    this.assets.unshift(asset);
    return asset;
  }

  clip(of: string, start: string, end: string, title: string): Record<string, unknown> | null {
    if (!this.find(of)) return null;
    const number = (iso: string) => Math.floor(Date.parse(iso) / 1000 / SEGMENT_SECONDS) + 1;
    const count = Math.max(1, number(end) - number(start));
    const id = `${of.slice(0, 40)}-clip-${this.assets.length}`;
    return this.view(this.add(id, "clip", "ended", title || "Clip", number(start), count));
  }

  find(id: string): MockAsset | undefined {
    return this.assets.find((a) => a.id === id);
  }

  remove(id: string): void {
    const at = this.assets.findIndex((a) => a.id === id);
    if (at >= 0) this.assets.splice(at, 1);
  }

  view(a: MockAsset): Record<string, unknown> {
    const start = (a.first - 1) * SEGMENT_SECONDS * 1000;
    const seconds = a.segments * SEGMENT_SECONDS;
    return {
      id: a.id,
      kind: a.kind,
      state: a.state,
      channel: a.id.split("-")[0],
      title: a.title,
      created: new Date(start).toISOString(),
      start: new Date(start).toISOString(),
      end: new Date(start + seconds * 1000).toISOString(),
      duration_seconds: seconds,
      bytes: a.bytes,
      lost_segments: a.state === "recording" ? 2 : 0,
      playback: {
        watch: `/watch/vod/${a.id}`,
        hls: `/vod/${a.id}/index.m3u8`,
        dash: `/vod/${a.id}/manifest.mpd`,
        download: a.state === "recording" ? null : `/vod/${a.id}/asset.mp4`,
      },
    };
  }

  /** A file of an asset: its type and text or bytes; `null` if there is none. Media is the live one's. */
  file(a: MockAsset, path: string): { type: string; body: string | Buffer } | null {
    const hls = "application/vnd.apple.mpegurl";
    const [track = "", file = ""] = path.split("/");
    if (path === "index.m3u8") {
      const lines = RENDITIONS.flatMap((r) => [
        `#EXT-X-STREAM-INF:BANDWIDTH=${r.bitRate},RESOLUTION=${r.width}x${r.height},CODECS="avc1.64001f"`,
        `${r.name}/index.m3u8`,
      ]);
      return { type: hls, body: ["#EXTM3U", ...lines, ""].join("\n") };
    }
    if (path === "storyboard.m3u8") {
      const lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:60", "#EXT-X-IMAGES-ONLY"];
      const at = (n: number) => Math.floor(((n - 1) * SEGMENT_SECONDS) / SHEET_SECONDS);
      for (let n = at(a.first); n <= at(a.first + a.segments); n++) {
        lines.push(`#EXT-X-PROGRAM-DATE-TIME:${new Date(n * SHEET_SECONDS * 1000).toISOString()}`);
        lines.push(
          "#EXT-X-TILES:RESOLUTION=256x144,LAYOUT=1x12,DURATION=5",
          "#EXTINF:60,",
          `storyboard-${n}.jpg`,
        );
      }
      return { type: hls, body: `${lines.join("\n")}\n` };
    }
    if (/^storyboard-\d+\.jpg$/.test(path)) {
      this.picture ??= this.makeSheet();
      return { type: "image/jpeg", body: this.picture };
    }
    if (file !== "index.m3u8") return null;
    const lines = ["#EXTM3U", "#EXT-X-VERSION:7", `#EXT-X-TARGETDURATION:${SEGMENT_SECONDS}`];
    lines.push("#EXT-X-PLAYLIST-TYPE:VOD", `#EXT-X-MAP:URI="/live/demo/${track}/init.mp4"`);
    const start = new Date((a.first - 1) * SEGMENT_SECONDS * 1000).toISOString();
    lines.push(`#EXT-X-PROGRAM-DATE-TIME:${start}`);
    for (let n = a.first; n < a.first + a.segments; n++) {
      lines.push(`#EXTINF:${SEGMENT_SECONDS.toFixed(3)},`, `/live/demo/${track}/${n}.m4s`);
    }
    return { type: hls, body: `${lines.join("\n")}\n#EXT-X-ENDLIST\n` };
  }

  private makeSheet(): Buffer {
    if (!existsSync(this.sheet)) {
      const source = `testsrc2=size=256x144:rate=1/5:duration=${LOOP_SECONDS + 12}`;
      const args = ["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", source, "-vf", "tile=1x12"];
      execFileSync("ffmpeg", [...args, "-frames:v", "1", "-q:v", "5", this.sheet]);
    }
    return readFileSync(this.sheet);
  }
}

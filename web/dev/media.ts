// Media for the mock: 48 s of test picture in three sizes and a tone, made once by ffmpeg, then repeated for ever by
// moving each segment's decode time. 48 s is a whole number of 2 s segments and of AAC frames.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";

export const LOOP_SECONDS = 48;
export const SEGMENT_SECONDS = 2;
const PER_LOOP = LOOP_SECONDS / SEGMENT_SECONDS;

export interface Rendition {
  name: string;
  width: number;
  height: number;
  bitRate: number;
}

export const RENDITIONS: readonly Rendition[] = [
  { name: "720p", width: 1280, height: 720, bitRate: 1_600_000 },
  { name: "480p", width: 854, height: 480, bitRate: 800_000 },
  { name: "360p", width: 640, height: 360, bitRate: 450_000 },
];
/** The HLS muxer of ffmpeg chooses these itself. */
const TIMESCALE: Record<string, number> = { audio: 48_000 };
const VIDEO_TIMESCALE = 15_360;

export class LoopedMedia {
  private readonly files = new Map<string, Buffer>();

  constructor(directory: string) {
    if (!existsSync(directory)) make(directory);
    for (const name of readdirSync(directory)) this.files.set(name, readFileSync(join(directory, name)));
  }

  init(track: string): Buffer | undefined {
    return this.files.get(`${track}-init.mp4`);
  }

  /** Segment `number` counts from 1970 in steps of two seconds, from 1. */
  segment(track: string, number: number): Buffer | undefined {
    const at = (number - 1) % PER_LOOP;
    const base = this.files.get(`${track}-${at}.m4s`);
    if (base === undefined) return undefined;
    const loops = Math.floor((number - 1) / PER_LOOP);
    const shift = BigInt(loops) * BigInt(LOOP_SECONDS) * BigInt(TIMESCALE[track] ?? VIDEO_TIMESCALE);
    return shifted(base, shift);
  }
}

/** A copy with every `tfdt` (version 1) moved by `ticks`. */
function shifted(segment: Buffer, ticks: bigint): Buffer {
  const out = Buffer.from(segment);
  for (let at = out.indexOf("tfdt"); at > 0; at = out.indexOf("tfdt", at + 4)) {
    if (out[at + 4] !== 1) throw new Error("a tfdt of 32 bits");
    out.writeBigUInt64BE(out.readBigUInt64BE(at + 8) + ticks, at + 8);
    if (out.indexOf("mdat") < at + 400) break;
  }
  return out;
}

function make(directory: string): void {
  const partial = `${directory}.partial`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  const hls = (track: string) => [
    "-f",
    "hls",
    "-hls_time",
    String(SEGMENT_SECONDS),
    "-hls_segment_type",
    "fmp4",
    "-hls_list_size",
    "0",
    "-start_number",
    "0",
    "-hls_fmp4_init_filename",
    `${track}-init.mp4`,
    "-hls_segment_filename",
    join(partial, `${track}-%d.m4s`),
    join(partial, `${track}.m3u8`),
  ];
  const args = ["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30"];
  args.push("-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000");
  for (const r of RENDITIONS) {
    args.push("-map", "0:v", "-t", String(LOOP_SECONDS), "-s", `${r.width}x${r.height}`, "-c:v", "libx264");
    args.push("-preset", "veryfast", "-pix_fmt", "yuv420p", "-bf", "0", "-g", "60", "-sc_threshold", "0");
    args.push("-b:v", String(r.bitRate), "-maxrate", String(r.bitRate), "-bufsize", String(r.bitRate));
    args.push(...hls(r.name));
  }
  args.push(
    "-map",
    "1:a",
    "-t",
    String(LOOP_SECONDS),
    "-c:a",
    "aac",
    "-b:a",
    "96k",
    "-ac",
    "2",
    ...hls("audio"),
  );
  execFileSync("ffmpeg", args, { stdio: "inherit" });
  renameSync(partial, directory);
}

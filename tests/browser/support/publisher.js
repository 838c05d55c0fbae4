// ffmpeg as the broadcaster: a moving picture and a tone, in real time.

import { tmpdir } from "node:os";
import { join } from "node:path";
import { start, stop } from "./process.js";

const PICTURE = "testsrc2=size=1280x720:rate=30";
let count = 0;

export class Publisher {
  /**
   * @param {string} url where to publish to, with the key
   * @param {{ picture?: string, seconds?: number }} [options] `picture` is a lavfi source
   */
  constructor(url, { picture = PICTURE, seconds = 600 } = {}) {
    const input = (source) => ["-re", "-f", "lavfi", "-i", source];
    const args = ["-nostdin", "-hide_banner", "-loglevel", "warning"];
    args.push(...input(picture), ...input("sine=frequency=440:sample_rate=48000"), "-t", String(seconds));
    args.push("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p");
    args.push("-g", "60", "-b:v", "2500k", "-maxrate", "2500k", "-bufsize", "2500k");
    args.push("-c:a", "aac", "-b:a", "128k", "-ac", "2", "-f", "flv", url);
    this.child = start("ffmpeg", args, join(tmpdir(), `millstream-publisher-${process.pid}-${++count}.log`));
  }

  /** The broadcaster's machine dies: the connection ends without a goodbye. */
  async drop() {
    await stop(this.child, "SIGKILL");
  }

  /** The broadcaster presses stop. */
  async end() {
    await stop(this.child, "SIGINT");
  }
}

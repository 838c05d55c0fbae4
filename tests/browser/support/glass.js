// A lens and an eye: a picture that carries the time at which it was made, and a page's reading of it.

import { start } from "./process.js";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Bits of the time in the picture, in ms: it comes round after 4.6 hours. */
const BITS = 24;
/** Width of a cell in a picture of this width. */
const CELL = 20;
const WIDTH = 1280;

/**
 * ffmpeg as a camera: over a moving picture it draws, in black and white cells along the upper edge, the time of day in
 * milliseconds at which each frame was made.
 *
 * @param {string} url where to publish to
 * @param {number} [width] of the picture, which is 16:9
 */
export function camera(url, width = WIDTH) {
  const cell = (CELL * width) / WIDTH;
  const clock =
    `scale=${BITS}:1,format=gray,geq=lum='255*mod(floor(T*1000/pow(2,X)),2)',` +
    `scale=${BITS * cell}:${cell}:flags=neighbor,format=yuv420p`;
  const picture =
    `testsrc2=size=${width}x${(width * 9) / 16}:rate=30,format=yuv420p,settb=1/1000,setpts=RTCTIME/1000,split[p][t];` +
    `[t]${clock}[c];[p][c]overlay=0:0,setpts=N/30/TB`;
  const args = ["-nostdin", "-hide_banner", "-loglevel", "warning"];
  args.push("-re", "-f", "lavfi", "-i", picture);
  args.push("-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000");
  args.push("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p");
  args.push("-g", "30", "-b:v", "2500k", "-maxrate", "2500k", "-bufsize", "1250k");
  args.push("-c:a", "aac", "-b:a", "128k", "-ac", "2", "-t", "600", "-f", "flv", url);
  return start("ffmpeg", args, join(tmpdir(), `millstream-camera-${process.pid}.log`));
}

/**
 * Runs in the page: reads the time off each frame that is shown, and keeps it as `window.frames`.
 * @param {{ bits: number, cell: number, wide: number }} picture
 */
function watch({ bits, cell, wide }) {
  const video = document.querySelector("video");
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  window.frames = [];
  const look = () => {
    // The picture may be of any rendition: cells shrink with it.
    const scale = video.videoWidth / wide;
    const width = Math.ceil(bits * cell * scale);
    const height = Math.ceil(cell * scale);
    if (width > 0) {
      if (canvas.width !== width || canvas.height !== height) {
        canvas.width = width;
        canvas.height = height;
      }
      const now = Date.now();
      context.drawImage(video, 0, 0, width, height, 0, 0, width, height);
      const row = context.getImageData(0, Math.floor(height / 2), width, 1).data;
      let made = 0;
      for (let bit = 0; bit < bits; bit++) {
        const x = Math.floor((bit + 0.5) * cell * scale);
        if (row[4 * x] > 127) made += 2 ** bit;
      }
      const round = 2 ** bits;
      const age = (((now % round) - made) % round + round) % round;
      window.frames.push({ age, made: now - age });
    }
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
}

/** Begins to read the frames of the page's video. */
export async function readFrames(page) {
  await page.evaluate(watch, { bits: BITS, cell: CELL, wide: WIDTH });
}

/**
 * Takes the frames shown since the last call: when each was made and how old it was then, in ms.
 * @returns {Promise<{ made: number, age: number }[]>}
 */
export function takeFrames(page) {
  return page.evaluate(() => window.frames.splice(0));
}

/** Takes the ages of the frames shown since the last call, in ms. */
export async function takeAges(page) {
  return (await takeFrames(page)).map((frame) => frame.age);
}

/** The value below which this share of the values lies. */
export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

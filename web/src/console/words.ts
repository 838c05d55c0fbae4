// What the console says about a channel. Pure.

import { bitRate, duration, frameRate } from "../player/format";
import type { Channel, Input } from "./model";

export type Tone = "live" | "warn" | "bad" | "quiet";

export function chip(channel: Pick<Channel, "state" | "enabled">): { text: string; tone: Tone } {
  switch (channel.state) {
    case "live":
      return { text: "Live", tone: "live" };
    case "input_loss":
      return { text: "Input lost", tone: "warn" };
    case "starting":
      return { text: "Starting", tone: "warn" };
    case "draining":
      return { text: "Ending", tone: "warn" };
    case "error":
      return { text: "Fault", tone: "bad" };
    case "offline":
      return channel.enabled ? { text: "Off air", tone: "quiet" } : { text: "Stopped", tone: "quiet" };
  }
}

/** A sentence about the state, with how long it has lasted. */
export function stateSentence(channel: Channel, now: number): string {
  const lasted = channel.since === null || channel.since > now ? "" : duration((now - channel.since) / 1000);
  const since = lasted === "" ? "" : ` for ${lasted}`;
  switch (channel.state) {
    case "live":
      return `On air${since}.`;
    case "input_loss":
      return `The contribution was lost${lasted === "" ? "" : ` ${lasted} ago`}. Viewers see the last picture, then a slate.`;
    case "starting":
      return "The contribution has begun. The first segments are being made.";
    case "draining":
      return "Going off air. The last segments are being made.";
    case "error":
      return channel.error ?? "The channel has a fault.";
    case "offline":
      return channel.enabled
        ? `Off air${since}. It goes on air when an encoder sends to it.`
        : "Stopped: encoders are refused until it is started.";
  }
}

/** "1280 × 720, 29.97 fps". */
export function picture(of: {
  width: number | null;
  height: number | null;
  frameRate: number | null;
}): string {
  const size = of.width !== null && of.height !== null ? `${of.width} × ${of.height}` : "";
  const rate = of.frameRate !== null ? `${frameRate(usualRate(of.frameRate))} fps` : "";
  return [size, rate].filter((s) => s !== "").join(", ");
}

const USUAL_RATES = [24000 / 1001, 24, 25, 30000 / 1001, 30, 48, 50, 60000 / 1001, 60];

/** A measured rate wobbles: within half a percent of a usual one it is the nearest usual one. */
function usualRate(measured: number): number {
  const off = (rate: number) => Math.abs(rate - measured) / rate;
  const nearest = USUAL_RATES.reduce((a, b) => (off(b) < off(a) ? b : a));
  return off(nearest) < 0.005 ? nearest : measured;
}

const CODECS: [RegExp, string][] = [
  [/^avc[13]/, "H.264"],
  [/^h\.?264$/i, "H.264"],
  [/^(hvc1|hev1|hevc|h\.?265)/i, "H.265"],
  [/^av0?1/i, "AV1"],
  [/^mp4a/, "AAC"],
  [/^aac/i, "AAC"],
  [/^opus/i, "Opus"],
];

/** "H.264" for `avc1.640028`; an unknown codec as it is. */
export function codecName(codec: string): string {
  return CODECS.find(([pattern]) => pattern.test(codec))?.[1] ?? codec;
}

/** The line under a channel's name in the list. */
export function listLine(channel: Channel): string {
  const { input } = channel;
  if (input === null) return { abr: "", passthrough: "Passthrough", cmaf: "CMAF ingest" }[channel.mode];
  const height = input.height === null ? "" : `${input.height}p`;
  return [height, input.bitRate === null ? "" : bitRate(input.bitRate)].filter((s) => s !== "").join(", ");
}

/** Figures of the contribution as label and value. */
export function inputFigures(input: Input): [string, string][] {
  const rows: [string, string | null][] = [
    ["Protocol", input.protocol.toUpperCase()],
    ["Video", input.codec === null ? null : `${codecName(input.codec)} (${input.codec})`],
    ["Picture", picture(input)],
    ["Audio", input.audioCodec === null ? "none" : `${codecName(input.audioCodec)} (${input.audioCodec})`],
    ["Bit rate", input.bitRate === null ? null : bitRate(input.bitRate)],
    ["From", input.remote],
  ];
  return rows.flatMap(([label, value]) => (value ? [[label, value]] : []));
}

// The channels of the mock and what can be done to them. Times are in ms since 1970.

import { randomBytes } from "node:crypto";
import { RENDITIONS, SEGMENT_SECONDS } from "./media.ts";

export interface MockChannel {
  name: string;
  title: string | null;
  mode: string;
  state: string;
  error?: string;
  since: number;
  enabled: boolean;
  segment_seconds: number;
  reconnect_seconds: number;
  warnings: string[];
  /** Broadcasts, newest last; `end` is null while it runs. */
  sessions: { start: number; end: number | null }[];
}

const WINDOW = 15;
const ON_AIR = ["live", "input_loss", "draining"];

export class MockChannels {
  readonly all = new Map<string, MockChannel>();

  add(name: string, fields: Partial<MockChannel> = {}): MockChannel {
    const channel: MockChannel = {
      name,
      title: null,
      mode: "abr",
      state: "offline",
      since: Date.now(),
      enabled: true,
      segment_seconds: SEGMENT_SECONDS,
      reconnect_seconds: 30,
      warnings: [],
      sessions: [],
      ...fields,
    };
    this.all.set(name, channel);
    return channel;
  }

  setState(channel: MockChannel, state: string, backdate = 0): void {
    const now = Date.now() - backdate;
    const open = channel.sessions.at(-1);
    if (ON_AIR.includes(state) && (open === undefined || open.end !== null))
      channel.sessions.push({ start: now, end: null });
    if (!ON_AIR.includes(state) && open !== undefined && open.end === null) open.end = now;
    channel.state = state;
    channel.since = now;
  }

  /** Numbers of the listed segments, or `null` if there is nothing to list. */
  window(channel: MockChannel, now: number): { first: number; last: number; ended: boolean } | null {
    const session = channel.sessions.at(-1);
    if (session === undefined) return null;
    const step = SEGMENT_SECONDS * 1000;
    const last = Math.floor(Math.min(now, session.end ?? now) / step);
    const first = Math.max(Math.ceil(session.start / step) + 1, last - WINDOW + 1);
    if (last < first) return null;
    return { first, last, ended: session.end !== null };
  }

  status(channel: MockChannel): Record<string, unknown> {
    const on = ON_AIR.includes(channel.state);
    const window = this.window(channel, Date.now());
    const wobble = 1 + Math.sin(Date.now() / 7000) / 20;
    return {
      name: channel.name,
      title: channel.title,
      mode: channel.mode,
      state: channel.state,
      error: channel.error,
      since: new Date(channel.since).toISOString(),
      enabled: channel.enabled,
      segment_seconds: channel.segment_seconds,
      reconnect_seconds: channel.reconnect_seconds,
      input:
        channel.state === "live"
          ? {
              protocol: "rtmp",
              codec: "avc1.640028",
              audio_codec: "mp4a.40.2",
              width: 1280,
              height: 720,
              frame_rate: 29.97,
              bit_rate: Math.round(4_480_000 * wobble),
              remote: "192.0.2.14:50822",
            }
          : null,
      renditions: on
        ? RENDITIONS.map((r) => ({
            name: r.name,
            codec: "avc1.64001f",
            width: r.width,
            height: r.height,
            frame_rate: 29.97,
            target_bit_rate: r.bitRate,
            measured_bit_rate: Math.round(r.bitRate * 0.96 * wobble),
          }))
        : [],
      newest_segment:
        on && window !== null
          ? { number: window.last, time: new Date(window.last * SEGMENT_SECONDS * 1000).toISOString() }
          : null,
      viewers: on ? 128 : 0,
      latency: on ? { ingest_to_listed_ms: 2350 } : {},
      warnings: channel.warnings,
    };
  }

  key(): string {
    return randomBytes(18).toString("base64url");
  }
}

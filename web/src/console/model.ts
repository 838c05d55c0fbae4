// Channels as the API tells them, read tolerantly: what is missing is absent, never an error. Pure.

import { CHANNEL_STATES, type ChannelState } from "../player/status";

/** How a channel is made. */
export type Mode = "abr" | "passthrough" | "cmaf";

export interface Input {
  protocol: string;
  codec: string | null;
  audioCodec: string | null;
  width: number | null;
  height: number | null;
  frameRate: number | null;
  bitRate: number | null;
  remote: string | null;
}

export interface Rendition {
  name: string;
  codec: string;
  width: number | null;
  height: number | null;
  frameRate: number | null;
  targetBitRate: number | null;
  measuredBitRate: number | null;
}

/** A rendition of a channel's own ladder; fields that the form does not show are kept as they are. */
export type LadderRow = Record<string, unknown> & { height: number; bit_rate?: number };

export interface Settings {
  title: string;
  mode: Mode;
  segmentSeconds: number;
  reconnectSeconds: number;
  /** `null`: the renditions follow the input. */
  ladder: (Record<string, unknown> & { video: LadderRow[] }) | null;
}

export interface Channel {
  name: string;
  title: string;
  mode: Mode;
  state: ChannelState;
  error: string | null;
  /** ms since 1970, `null` if unknown. */
  since: number | null;
  enabled: boolean;
  /** Defined in the configuration file: not to be changed here. */
  fixed: boolean;
  revision: string | null;
  input: Input | null;
  renditions: Rendition[];
  newestSegment: { number: number; time: number | null } | null;
  viewers: number;
  /** From the camera's clock to the playlist, ms. */
  latencyMs: number | null;
  warnings: string[];
  settings: Settings;
}

export interface ServerInfo {
  version: string;
  listening: Record<string, string>;
  uptimeSeconds: number | null;
}

type Fields = Record<string, unknown>;

function fields(value: unknown): Fields | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : null;
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function time(value: unknown): number | null {
  const ms = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? null : ms;
}

function mode(value: unknown): Mode {
  return value === "passthrough" || value === "cmaf" ? value : "abr";
}

function input(value: unknown): Input | null {
  const f = fields(value);
  if (f === null) return null;
  return {
    protocol: text(f.protocol) ?? "",
    codec: text(f.codec),
    audioCodec: text(f.audio_codec),
    width: number(f.width),
    height: number(f.height),
    frameRate: number(f.frame_rate),
    bitRate: number(f.bit_rate),
    remote: text(f.remote),
  };
}

function rendition(value: unknown): Rendition[] {
  const f = fields(value);
  const name = text(f?.name);
  if (f === null || name === null) return [];
  return [
    {
      name,
      codec: text(f.codec) ?? "",
      width: number(f.width),
      height: number(f.height),
      frameRate: number(f.frame_rate),
      targetBitRate: number(f.target_bit_rate),
      measuredBitRate: number(f.measured_bit_rate),
    },
  ];
}

function ladder(value: unknown): Settings["ladder"] {
  const f = fields(value);
  if (f === null) return null;
  const video = list(f.video).flatMap((row) => {
    const r = fields(row);
    return r !== null && number(r.height) !== null ? [r as LadderRow] : [];
  });
  return { ...f, video };
}

/** One channel; `null` if it has no name. */
export function parseChannel(value: unknown): Channel | null {
  const f = fields(value);
  const name = text(f?.name);
  if (f === null || name === null) return null;
  const config = fields(f.config) ?? f;
  const segment = fields(f.newest_segment);
  const segmentNumber = number(segment?.number);
  return {
    name,
    title: text(f.title) ?? name,
    mode: mode(f.mode),
    state: CHANNEL_STATES.find((s) => s === f.state) ?? "offline",
    error: text(f.error),
    since: time(f.since),
    enabled: f.enabled !== false,
    fixed: f.managed_by === "config",
    revision: text(f.revision),
    input: input(f.input),
    renditions: list(f.renditions).flatMap(rendition),
    newestSegment: segmentNumber === null ? null : { number: segmentNumber, time: time(segment?.time) },
    viewers: number(f.viewers) ?? 0,
    latencyMs: number(fields(f.latency)?.total_ms),
    warnings: list(f.warnings).flatMap((w) => text(w) ?? []),
    settings: {
      title: text(config.title) ?? "",
      mode: mode(config.mode ?? f.mode),
      segmentSeconds: number(config.segment_seconds) ?? 2,
      reconnectSeconds: number(config.reconnect_seconds) ?? 30,
      ladder: ladder(config.ladder),
    },
  };
}

export function parseChannels(value: unknown): Channel[] {
  return list(fields(value)?.channels).flatMap((c) => parseChannel(c) ?? []);
}

export function parseServer(value: unknown): ServerInfo {
  const f = fields(value) ?? {};
  const listening: Record<string, string> = {};
  for (const [protocol, address] of Object.entries(fields(f.listening) ?? {})) {
    if (typeof address === "string") listening[protocol] = address;
  }
  return { version: text(f.version) ?? "", listening, uptimeSeconds: number(f.uptime_seconds) };
}

/**
 * The RTMP server as it is typed into an encoder: the port the server listens on, at its address, or at the host
 * this page was opened by where it listens on every address. `null` if there is no RTMP listener.
 */
export function rtmpServer(server: ServerInfo, pageHost: string): string | null {
  const address = server.listening.rtmp;
  const match = /^(.*):(\d+)$/.exec(address ?? "");
  if (match === null) return null;
  const [, host = "", port = ""] = match;
  const everywhere = host === "0.0.0.0" || host === "[::]" || host === "";
  const shown = everywhere ? pageHost : host;
  return `rtmp://${shown}${port === "1935" ? "" : `:${port}`}/live`;
}

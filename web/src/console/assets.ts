// Recordings, clips and imports as the API tells them, read as tolerantly as channels. Pure.

export interface Asset {
  id: string;
  kind: "recording" | "import" | "clip";
  state: "recording" | "ended" | "deleting";
  channel: string | null;
  title: string;
  /** ms since 1970; `null` while there is no media. */
  start: number | null;
  end: number | null;
  /** The date to show: of a broadcast; where media has no date of its own, as in an import, that of the asset. */
  date: number | null;
  seconds: number | null;
  bytes: number;
  lostSegments: number;
  /** The watch page; `null` while it cannot be watched. */
  watch: string | null;
  /** One MP4 file of it; `null` while there is none. */
  download: string | null;
}

export interface Storage {
  bytes: number;
  deletingBytes: number;
  keepSeconds: number | null;
  keepBytes: number | null;
}

type Fields = Record<string, unknown>;

function fields(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

function time(value: unknown): number | null {
  const ms = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? null : ms;
}

function oneOf<T extends string>(value: unknown, known: readonly T[], otherwise: T): T {
  return known.includes(value as T) ? (value as T) : otherwise;
}

/** Media times before this, a year after 1970, are positions in a file and no dates. */
const DATELESS_MS = 365 * 86_400_000;

export function parseAsset(value: unknown): Asset | null {
  const f = fields(value);
  const id = text(f.id);
  if (id === null) return null;
  return {
    id,
    kind: oneOf(f.kind, ["recording", "import", "clip"] as const, "recording"),
    state: oneOf(f.state, ["recording", "ended", "deleting"] as const, "ended"),
    channel: text(f.channel),
    title: text(f.title) ?? id,
    start: time(f.start),
    end: time(f.end),
    date: (time(f.start) ?? 0) > DATELESS_MS ? time(f.start) : time(f.created),
    seconds: number(f.duration_seconds),
    bytes: number(f.bytes) ?? 0,
    lostSegments: number(f.lost_segments) ?? 0,
    watch: text(fields(f.playback).watch),
    download: text(fields(f.playback).download),
  };
}

export function parseAssets(value: unknown): { assets: Asset[]; next: string | null } {
  const f = fields(value);
  const list = Array.isArray(f.assets) ? f.assets : [];
  return { assets: list.map(parseAsset).filter((a) => a !== null), next: text(f.next) };
}

export function parseStorage(value: unknown): Storage {
  const f = fields(value);
  return {
    bytes: number(f.bytes) ?? 0,
    deletingBytes: number(f.deleting_bytes) ?? 0,
    keepSeconds: number(f.keep_seconds),
    keepBytes: number(f.keep_bytes),
  };
}

/** What is chosen of a recording, in seconds from its beginning. */
export interface Selection {
  from: number;
  to: number;
}

/** Shortest clip, in seconds: about a segment. */
const LEAST_SECONDS = 1;

/** The selection with one end moved: inside the recording, never crossed. */
export function moved(selection: Selection, handle: keyof Selection, to: number, length: number): Selection {
  const inside = Math.min(length, Math.max(0, to));
  return handle === "from"
    ? { ...selection, from: Math.max(0, Math.min(inside, selection.to - LEAST_SECONDS)) }
    : { ...selection, to: Math.min(length, Math.max(inside, selection.from + LEAST_SECONDS)) };
}

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
  seconds: number | null;
  bytes: number;
  lostSegments: number;
  /** The watch page; `null` while it cannot be watched. */
  watch: string | null;
}

export interface Storage {
  bytes: number;
  deletingBytes: number;
  keepSeconds: number | null;
  keepBytes: number | null;
}

/** A file on its way to becoming an asset. */
export interface Import {
  id: string;
  title: string;
  state: string;
  /** 0 to 1; `null` if unknown. */
  share: number | null;
  error: string | null;
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
    seconds: number(f.duration_seconds),
    bytes: number(f.bytes) ?? 0,
    lostSegments: number(f.lost_segments) ?? 0,
    watch: text(fields(f.playback).watch),
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

/** Those that are not done: what is done is in the list of assets. */
export function parseImports(value: unknown): Import[] {
  const { imports } = fields(value);
  return (Array.isArray(imports) ? imports : []).flatMap((entry) => {
    const f = fields(entry);
    const id = text(f.id);
    const state = text(f.state) ?? "";
    if (id === null || ["done", "finished", "cancelled"].includes(state)) return [];
    const progress = fields(f.progress);
    return [
      {
        id,
        title: text(f.title) ?? text(f.name) ?? id,
        state,
        share: number(f.done) ?? number(f.share) ?? number(progress.done) ?? number(progress.share),
        error: text(f.error) ?? text(fields(f.error).detail),
      },
    ];
  });
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

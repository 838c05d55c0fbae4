// The form of a channel's settings, and what it sends. Pure.

import type { LadderRow, Mode, Settings } from "./model";

/** One line of the ladder as it is being typed. */
export interface RowDraft {
  height: string;
  /** kb/s; empty for the server's own choice. */
  kilobits: string;
  /** What the form does not show. */
  rest: Record<string, unknown>;
}

/** Everything as typed. */
export interface Draft {
  name: string;
  title: string;
  mode: Mode;
  segmentSeconds: string;
  reconnectSeconds: string;
  ownLadder: boolean;
  rows: RowDraft[];
}

/** Heights offered for another line, highest first. */
export const HEIGHTS = [2160, 1440, 1080, 720, 480, 360, 240] as const;

export function emptyDraft(): Draft {
  return {
    name: "",
    title: "",
    mode: "abr",
    segmentSeconds: "2",
    reconnectSeconds: "30",
    ownLadder: false,
    rows: [],
  };
}

export function draftOf(name: string, settings: Settings): Draft {
  return {
    name,
    title: settings.title,
    mode: settings.mode,
    segmentSeconds: String(settings.segmentSeconds),
    reconnectSeconds: String(settings.reconnectSeconds),
    ownLadder: (settings.ladder?.video.length ?? 0) > 0,
    rows: (settings.ladder?.video ?? []).map(({ height, bit_rate, ...rest }) => ({
      height: String(height),
      kilobits: typeof bit_rate === "number" ? String(Math.round(bit_rate / 1000)) : "",
      rest,
    })),
  };
}

/** The next line: the first usual height that is not there yet. */
export function nextRow(rows: readonly RowDraft[]): RowDraft {
  const lowest = Math.min(...rows.map((r) => Number(r.height) || Number.POSITIVE_INFINITY));
  const height = rows.length === 0 ? 720 : (HEIGHTS.find((h) => h < lowest) ?? 240);
  return { height: String(height), kilobits: "", rest: {} };
}

function number(text: string): number | string {
  // What is no number is sent as it was typed, so that the server's words are about it.
  const value = Number(text);
  return text.trim() !== "" && Number.isFinite(value) ? value : text;
}

function row(draft: RowDraft): LadderRow {
  const kilobits = number(draft.kilobits);
  const bitRate =
    draft.kilobits.trim() === ""
      ? {}
      : { bit_rate: typeof kilobits === "number" ? kilobits * 1000 : kilobits };
  return { ...draft.rest, height: number(draft.height), ...bitRate } as LadderRow;
}

/** What to send for a new channel. */
export function creation(draft: Draft): Record<string, unknown> {
  const { name, ...rest } = { name: draft.name.trim(), ...change(draft, null) };
  const settings: Record<string, unknown> = { name };
  for (const [key, value] of Object.entries(rest)) if (value !== null) settings[key] = value;
  return settings;
}

/** What to send for a change: a merge patch, where `null` puts a setting back to its default. */
export function change(draft: Draft, before: Settings | null): Record<string, unknown> {
  const settings: Record<string, unknown> = {
    title: draft.title.trim(),
    mode: draft.mode,
    segment_seconds: number(draft.segmentSeconds),
    reconnect_seconds: number(draft.reconnectSeconds),
  };
  const own = draft.mode === "abr" && draft.ownLadder && draft.rows.length > 0;
  if (own) settings.ladder = { ...before?.ladder, video: draft.rows.map(row) };
  else if (before === null || draft.mode !== "abr" || !onlyAudio(before)) settings.ladder = null;
  return settings;
}

/** A ladder that only sets the sound is none of the form's business. */
function onlyAudio(settings: Settings): boolean {
  return settings.ladder !== null && settings.ladder.video.length === 0;
}

// What the player needs from the thing that reads a playlist: hls.js, or the browser itself.

import type { Level } from "./format";

/**
 * What is played: a channel's live list, its list of the past from a moment on (ms since 1970; `after` is how many
 * seconds of that list lie before it, as far as is known), or a recording from its beginning.
 */
export type Play = { kind: "live" } | { kind: "past"; from: number; after: number } | { kind: "recorded" };

export interface EngineEvents {
  /** It gave up on this source; words for the console of a developer, and the HTTP status if there was one. */
  failed(reason: string, status: number | null): void;
  /** The playlist was complete at its first reading: an old session's, not the one that is on the air. */
  complete(): void;
  /** Levels, or the level that is playing, changed. */
  changed(): void;
}

export interface Engine {
  /** Lowest bit rate first; empty where the browser does not tell. */
  levels(): Level[];
  /** Index of the level on the screen, -1 if unknown. */
  current(): number;
  /** Index of the level the viewer chose, -1 for automatic. */
  selected(): number;
  select(index: number): void;
  /** Programme date-time of the playhead. */
  playingDate(): Date | null;
  /** Where the playhead is to be for live, in seconds; `null` if unknown. */
  livePosition(): number | null;
  /** Programme date-time of a position, ms since 1970; `null` if unknown. */
  dateAt(position: number): number | null;
  /** Where a moment (ms since 1970) lies, in seconds; `null` if it is not listed. */
  positionAt(date: number): number | null;
  /** Seconds that a live player stays behind the newest media; `null` if unknown. */
  holdBack(): number | null;
  /** The playlist says that nothing will follow. */
  finished(): boolean;
  destroy(): void;
}

// Where the viewer is, and where else they may go: in a recording, in a channel's live list, or in its whole past.
// Positions on the bar are seconds of the media element; of a channel that can be rewound, seconds since 1970.

import type { ServerClock } from "./clock";
import type { Engine } from "./engine";
import { clockTime } from "./format";
import { clamp, oldest, type Rewind } from "./rewind";
import type { Range } from "./scrubber";

/** Further than this from the live position, in seconds, "go live" is offered. */
const AT_LIVE_SECONDS = 4;
/** Less of a channel than this, in seconds, that can be moved in needs no bar. */
const LEAST_REWIND_SECONDS = 8;
/** The past has a bar of its own where it is so much deeper than the live list, in ms. */
const DEEPER_MS = 6000;
/**
 * The live list lets go of its oldest media: nobody is sent closer to it than this, in seconds. hls.js would not even try:
 * for a position a microsecond before the list, such as browsers' rounding makes of its very start, it loads what is live.
 */
const LIST_MARGIN_SECONDS = 4;
/** Closer to live than this, in seconds, is live. */
const LIVE_SECONDS = 1;

export interface TimelineOf {
  video: HTMLVideoElement;
  clock: ServerClock;
  /** `null` for a recording. */
  rewind: Rewind | null;
  engine(): Engine | null;
  /** Another list is to be played; `playing` says that it is to play by itself. */
  move(playing?: boolean): void;
}

export class Timeline {
  /** Another list was asked for and does not play yet. */
  moving = false;
  /** How far live is behind the server's clock, in ms, as seen last. */
  private behind = 3000;
  private pausedAt: number | null = null;

  constructor(private readonly of: TimelineOf) {}

  /** What the viewer can move in; `null` if that is nothing. */
  range(): Range | null {
    const { video, rewind } = this.of;
    const deep = this.deep();
    if (deep !== null) return deep;
    const { seekable, currentTime } = video;
    if (seekable.length === 0) return null;
    const start = Math.min(this.first(), currentTime);
    const end = rewind === null ? seekable.end(seekable.length - 1) : this.liveEnd();
    const least = rewind === null ? 1 : LEAST_REWIND_SECONDS;
    return end - start < least ? null : { start, end: Math.max(end, currentTime), now: currentTime };
  }

  /** Goes to a position on the bar. */
  seek(position: number): void {
    const range = this.range();
    if (range === null) return;
    const { video, rewind } = this.of;
    if (rewind !== null && range.end - position < LIVE_SECONDS) this.goLive();
    else if (this.deep() !== null) this.goTo(position * 1000);
    else video.currentTime = Math.min(range.end, Math.max(range.start, position));
  }

  skip(seconds: number): void {
    const range = this.deep();
    if (range !== null) {
      if (seconds < 0 || !this.atLive())
        this.seek(Math.min(range.end, Math.max(range.start, range.now + seconds)));
      return;
    }
    const { seekable, currentTime } = this.of.video;
    if (seekable.length === 0) return;
    const last = this.of.engine()?.livePosition() ?? seekable.end(seekable.length - 1);
    const target = Math.min(last, Math.max(Math.min(this.first(), currentTime), currentTime + seconds));
    if (seconds < 0 || target > currentTime) this.of.video.currentTime = target;
  }

  /** Whether it plays what is live, as far as this player may go. */
  atLive(): boolean {
    const { video, rewind, engine } = this.of;
    if (video.paused || (rewind?.past ?? null) !== null) return false;
    return (engine()?.livePosition() ?? video.currentTime) - video.currentTime < AT_LIVE_SECONDS;
  }

  goLive(): void {
    const { video, rewind, engine, move } = this.of;
    if (rewind === null) return;
    this.pausedAt = null;
    if (rewind.past !== null) {
      rewind.past = null;
      this.moving = true;
      move(true);
      return;
    }
    const position = engine()?.livePosition() ?? null;
    if (position !== null && position > video.currentTime) video.currentTime = position;
  }

  /** The viewer pauses. */
  pause(): void {
    this.pausedAt = this.dateNow();
  }

  /** The viewer goes on: where it was paused, also where the list has let go of that meanwhile. */
  resume(): void {
    const { pausedAt } = this;
    this.pausedAt = null;
    if (pausedAt === null || this.deep() === null) return;
    const now = this.dateNow();
    const place = this.place(pausedAt);
    if (place === null || now === null || Math.abs(now - pausedAt) > 1000) this.goTo(pausedAt, true);
  }

  /** Words for a position on the bar. */
  label(position: number): string {
    if (this.of.rewind === null) return clockTime(position);
    const live = this.deep()?.end ?? this.liveEnd();
    const behind = Math.round(live - position);
    return behind <= 1 ? "Live" : `−${clockTime(behind)}`;
  }

  /** Time of day of a position on the bar; empty where it is not known or tells nothing. */
  timeOfDay(position: number): string {
    const date = this.of.rewind === null ? null : this.dateAt(position);
    return date === null ? "" : new Date(date).toLocaleTimeString([], { hour12: false });
  }

  /** ms since 1970 of a position on the bar; `null` if unknown. */
  dateAt(position: number): number | null {
    return this.deep() === null ? (this.of.engine()?.dateAt(position) ?? null) : position * 1000;
  }

  /** The list that is played plays now, or has failed. */
  arrived(): void {
    this.moving = false;
  }

  /** Keeps in mind where it plays, so that a list that fails is opened there again. */
  note(): void {
    const { rewind } = this.of;
    const date = this.dateNow();
    if (rewind !== null && rewind.past !== null && date !== null) rewind.past = date;
  }

  private goTo(date: number, playing?: boolean): void {
    const { video, rewind, clock, move } = this.of;
    if (rewind === null || rewind.reach === null) return;
    const target = clamp(rewind.reach, date, clock.now());
    const place = this.place(target);
    if (rewind.past !== null || place === null) rewind.past = target;
    if (place !== null) {
      video.currentTime = place;
      return;
    }
    this.moving = true;
    move(playing);
  }

  /** Where a moment lies in the list that is played; `null` if not in it, or not safely. */
  private place(date: number): number | null {
    const { rewind, engine } = this.of;
    const position = this.moving ? null : (engine()?.positionAt(date) ?? null);
    if (position === null || rewind?.past !== null) return position;
    return position < this.first() ? null : position;
  }

  /** The first position in the list that is played to which a viewer is sent; infinite if there is none. */
  private first(): number {
    const { video, rewind } = this.of;
    if (video.seekable.length === 0) return Number.POSITIVE_INFINITY;
    return video.seekable.start(0) + (rewind === null ? 0 : LIST_MARGIN_SECONDS);
  }

  /** ms since 1970 of what is on the screen; `null` if unknown. */
  private dateNow(): number | null {
    if (this.moving || this.of.video.readyState === 0) return null;
    return this.of.engine()?.dateAt(this.of.video.currentTime) ?? null;
  }

  /** The past of a channel; `null` where there is no more of it than the live list has. */
  private deep(): Range | null {
    const { video, rewind, clock, engine } = this.of;
    if (rewind === null || rewind.reach === null) return null;
    const now = clock.now();
    const start = oldest(rewind.reach, now);
    const { seekable } = video;
    if (rewind.past === null && !this.moving) {
      const first = seekable.length === 0 ? null : (engine()?.dateAt(seekable.start(0)) ?? null);
      if (first === null || first - start < DEEPER_MS) return null;
      const position = engine()?.livePosition() ?? null;
      const live = position === null ? null : (engine()?.dateAt(position) ?? null);
      if (live !== null) this.behind = now - live;
    }
    const live = now - this.behind;
    const at = this.dateNow() ?? rewind.past ?? live;
    return { start: start / 1000, end: Math.max(live, at) / 1000, now: Math.max(start, at) / 1000 };
  }

  /** Where live is in the list that is played, as far as this player may go. */
  private liveEnd(): number {
    const { seekable, currentTime } = this.of.video;
    const end = seekable.length === 0 ? currentTime : seekable.end(seekable.length - 1);
    return this.of.engine()?.livePosition() ?? end;
  }
}

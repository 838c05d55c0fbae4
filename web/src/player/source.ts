// The life of the media behind one video element: attached, failed and tried again, ended, attached anew.
// It says what the media does (`Media`); what that means to the viewer is decided in session.ts.

import { isOfKeys } from "./clear-key";
import type { Engine, EngineEvents } from "./engine";
import { PlaybackMeter } from "./meter";
import type { Media } from "./session";

const SAMPLE_MS = 250;
/** Without a picture for this long, the source is read anew. */
const STUCK_MS = 12_000;
/** Playing for this long forgives earlier failures. */
const FORGIVEN_MS = 10_000;
/**
 * Who joins as a broadcast begins finds less media than players like to hold: playing waits for this much, so that it
 * does not stand still a moment later...
 */
const START_SECONDS = 3;
/** ... but no longer than this after the first of it. */
const START_WITHIN_MS = 4000;
/** Of what a playlist keeps back, so much is enough to begin with. */
const START_SHARE = 0.6;
/** An ended playlist stands still this close to its end, in seconds, where the browser does not say "ended". */
const AT_END_SECONDS = 0.5;

/** Milliseconds to the next attempt after `failures` in a row; `random` in [0, 1) spreads the viewers. */
export function retryDelay(failures: number, random: number): number {
  const base = Math.min(4000, 500 * 2 ** Math.min(Math.max(0, failures - 1), 8));
  return Math.round(base * (0.75 + random / 2));
}

export interface SourceEvents {
  media(media: Media): void;
  /** Levels, the current level or the captions changed. */
  changed(): void;
}

export type EngineMaker = (events: EngineEvents) => Promise<Engine>;

export class Source {
  media: Media = "detached";
  readonly meter = new PlaybackMeter();
  /** What has ended may be played again: a recording. */
  repeats = false;
  /** The last failure in a developer's words; empty if there was none. */
  lastError = "";

  private engine: Engine | null = null;
  private generation = 0;
  private mediaAt = 0;
  private shown = false;
  private failures = 0;
  private wantsPlay = false;
  /** Since when there is media that is not yet played, waiting for more; `null` if not waiting. */
  private waiting: { since: number | null } | null = null;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly sampler: ReturnType<typeof setInterval>;
  private readonly listeners = new AbortController();

  constructor(
    readonly video: HTMLVideoElement,
    private readonly make: EngineMaker,
    private readonly play: () => void,
    private readonly events: SourceEvents,
  ) {
    const { signal } = this.listeners;
    this.sampler = setInterval(() => this.sample(), SAMPLE_MS);
    for (const name of ["playing", "pause", "waiting", "ended", "seeked"]) {
      video.addEventListener(name, () => this.sample(), { signal });
    }
    addEventListener("online", () => this.retryNow(), { signal });
  }

  /** Attaches the source if it is not. `playing` says whether it is to play by itself. */
  attach(playing: boolean): void {
    if (this.media !== "detached") return;
    this.failures = 0;
    this.wantsPlay = playing;
    void this.open();
  }

  detach(): void {
    if (this.media === "detached") return;
    this.close();
    this.set("detached");
  }

  /** Goes to another source while the viewer waits: what is to be made has changed. */
  move(playing?: boolean): void {
    this.remember();
    if (playing !== undefined) this.wantsPlay = playing;
    this.close();
    void this.open("stalled");
  }

  /** Reads the source anew, at once. */
  reload(): void {
    this.close();
    void this.open();
  }

  /** Tries a failed source again without waiting. */
  retryNow(): void {
    if (this.media === "unavailable" || this.media === "locked") this.reload();
  }

  current(): Engine | null {
    return this.engine;
  }

  destroy(): void {
    this.close();
    clearInterval(this.sampler);
    this.listeners.abort();
  }

  private async open(media: Media = "loading"): Promise<void> {
    const generation = ++this.generation;
    this.shown = false;
    this.meter.reset();
    this.set(media);
    try {
      const engine = await this.make({
        failed: (reason, status) => generation === this.generation && this.fail(reason, status),
        complete: () => generation === this.generation && this.finish(),
        changed: () => generation === this.generation && this.events.changed(),
      });
      if (generation !== this.generation) {
        engine.destroy();
        return;
      }
      this.engine = engine;
      this.events.changed();
      this.waiting = this.wantsPlay ? { since: null } : null;
    } catch (error) {
      if (generation === this.generation) this.fail(String(error), null);
    }
  }

  private close(): void {
    clearTimeout(this.retryTimer);
    this.generation++;
    this.engine?.destroy();
    this.engine = null;
    this.events.changed();
  }

  private fail(reason: string, status: number | null): void {
    this.lastError = status === null ? reason : `${reason} (${status})`;
    this.remember();
    this.close();
    this.failures++;
    this.set(isOfKeys(reason) ? "locked" : "unavailable");
    this.retryTimer = setTimeout(() => void this.open(), retryDelay(this.failures, Math.random()));
  }

  private finish(): void {
    this.remember();
    // The last picture stays while the engine is there; nothing more is asked of the server.
    this.set("ended");
  }

  /** Whether it was playing, so that the next source plays too. */
  private remember(): void {
    if (this.shown && this.waiting === null) this.wantsPlay = !this.video.paused || this.video.ended;
  }

  private set(media: Media): void {
    if (media === this.media) return;
    this.media = media;
    this.mediaAt = performance.now();
    this.events.media(media);
  }

  private sample(): void {
    const { video, engine } = this;
    if (engine === null) return;
    if (this.media === "ended") {
      if (!this.repeats || video.ended) return;
      this.set("paused");
    }
    const now = performance.now();
    const moved = this.meter.sample({
      now,
      position: video.currentTime,
      paused: video.paused || video.ended || !this.shown,
      seeking: video.seeking,
      rate: video.playbackRate,
    });
    if (engine.finished() && (video.ended || (this.meter.stalled && this.atEnd()))) {
      this.finish();
      return;
    }
    if (!this.shown) {
      if (video.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA) {
        this.shown = true;
        this.meter.reset();
      }
    }
    if (this.waiting !== null) this.startWhenReady(now, engine);
    if (this.shown && this.waiting === null) {
      if (video.paused) this.set("paused");
      else if (this.meter.stalled) this.set("stalled");
      else if (moved) this.set("playing");
    }
    const since = now - this.mediaAt;
    if (this.media === "playing" && since > FORGIVEN_MS) this.failures = 0;
    if ((this.media === "loading" || this.media === "stalled") && since > STUCK_MS)
      this.fail("no progress", null);
  }

  /** Plays once there is enough to play, or it was waited for long enough, or the viewer pressed play. */
  private startWhenReady(now: number, engine: Engine): void {
    if (this.waiting === null) return;
    if (!this.shown) {
      // Media, but none at the playhead: engines pass a hole only once they are to play.
      const hole = this.video.buffered.length > 0 && now - this.mediaAt >= START_WITHIN_MS;
      if (hole && this.video.paused) this.play();
      return;
    }
    this.waiting.since ??= now;
    const { since } = this.waiting;
    // With low latency there is never more than the playlist keeps back.
    const needed = Math.min(START_SECONDS, START_SHARE * (engine.holdBack() ?? START_SECONDS));
    const enough = this.ahead() >= needed || engine.finished();
    const long = now - since >= START_WITHIN_MS;
    if (!this.video.paused || enough || long) {
      this.waiting = null;
      if (this.video.paused) this.play();
    }
  }

  /** Seconds of media from the playhead to the end of what is buffered. */
  private ahead(): number {
    const { buffered, currentTime } = this.video;
    return buffered.length === 0 ? 0 : buffered.end(buffered.length - 1) - currentTime;
  }

  private atEnd(): boolean {
    return this.ahead() < AT_END_SECONDS;
  }
}

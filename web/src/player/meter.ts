// Counts what was played and what stood still, from samples of the playhead. Pure: the samples carry their time.

export interface Sample {
  /** Monotonic time in ms. */
  now: number;
  /** The playhead in seconds. */
  position: number;
  paused: boolean;
  seeking: boolean;
  rate: number;
}

/** A playhead that stands still for longer than this counts as a stall. */
export const STALL_MS = 500;
/** A seek that takes longer than this counts as standing still. */
const SEEK_MS = 3000;
/** Samples further apart than this say nothing about the time between them: the page was asleep. */
const ASLEEP_MS = 4000;

export class PlaybackMeter {
  playedSeconds = 0;
  stalls = 0;
  stalledSeconds = 0;
  /** Whether the playhead stands still now although it should move. */
  stalled = false;

  private last: Sample | null = null;
  /** When the playhead last moved, or was last allowed to stand still. */
  private movedAt = 0;
  private seekingSince: number | null = null;

  /** Takes one sample. Returns whether the playhead moved by playing. */
  sample(s: Sample): boolean {
    const last = this.last;
    this.last = s;
    if (last === null || s.now - last.now > ASLEEP_MS) {
      this.excuse(s.now);
      return false;
    }
    this.seekingSince = s.seeking ? (this.seekingSince ?? s.now) : null;
    const idle = s.paused || (this.seekingSince !== null && s.now - this.seekingSince < SEEK_MS);
    if (idle) {
      this.excuse(s.now);
      return false;
    }
    const elapsed = (s.now - last.now) / 1000;
    const moved = s.position - last.position;
    if (moved > 0 && !s.seeking) {
      // A jump over a gap is no playing.
      this.playedSeconds += Math.min(moved, elapsed * Math.max(1, s.rate) + 0.25);
      this.excuse(s.now);
      return true;
    }
    if (!this.stalled && s.now - this.movedAt >= STALL_MS) {
      this.stalled = true;
      this.stalls += 1;
      this.stalledSeconds += (s.now - this.movedAt) / 1000;
    } else if (this.stalled) {
      this.stalledSeconds += elapsed;
    }
    return false;
  }

  /** Begins anew with another source: the next sample is not compared with the last. */
  reset(): void {
    this.last = null;
    this.stalled = false;
    this.seekingSince = null;
  }

  private excuse(now: number): void {
    this.movedAt = now;
    this.stalled = false;
  }
}

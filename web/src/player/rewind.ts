// How far back a channel may be watched, and whether the viewer is there: the live list is short and of low latency, the
// past has a list of its own (`?dvr`). Times are ms since 1970 on the server's clock.

/** What the server says of the channel's past. */
export interface Reach {
  /** The oldest media. */
  from: number;
  /** How deep the list is, in seconds: what is older goes. */
  seconds: number;
}

/** Reads `rewind.json`; `null` if it is none. */
export function parseReach(value: unknown): Reach | null {
  if (typeof value !== "object" || value === null) return null;
  const { from, seconds } = value as Record<string, unknown>;
  const time = typeof from === "string" ? Date.parse(from) : Number.NaN;
  if (Number.isNaN(time) || typeof seconds !== "number" || !(seconds > 0)) return null;
  return { from: time, seconds };
}

/** Nobody is sent closer than this to where the list lets go of its oldest media. */
const MARGIN_MS = 8000;

/** Where the list of the past begins. */
export function listStart(reach: Reach, now: number): number {
  return Math.max(reach.from, now - reach.seconds * 1000);
}

/** The oldest moment that a viewer is sent to. */
export function oldest(reach: Reach, now: number): number {
  return Math.max(reach.from, now - reach.seconds * 1000 + MARGIN_MS);
}

/** A moment within what can be watched. */
export function clamp(reach: Reach, moment: number, now: number): number {
  return Math.max(oldest(reach, now), moment);
}

const REFRESH_MS = 20_000;
/** So often in a row the past may fail before the viewer is brought back to live. */
const MOST_FAILURES = 3;

export class Rewind {
  reach: Reach | null = null;
  /** The moment that is watched, while it is not live. */
  past: number | null = null;
  private failures = 0;
  private readAt = Number.NEGATIVE_INFINITY;
  private reading = false;

  constructor(
    private readonly url: string,
    private readonly onChange: () => void,
  ) {}

  /** The list of the past failed. Gives whether to give it up. */
  failed(): boolean {
    this.failures++;
    if (this.past === null || this.failures < MOST_FAILURES) return false;
    this.past = null;
    return true;
  }

  /** It plays. */
  works(): void {
    this.failures = 0;
  }

  /** Reads how far back it goes, unless that is fresh. */
  async read(): Promise<void> {
    const now = performance.now();
    if (this.reading || now - this.readAt < REFRESH_MS) return;
    this.reading = true;
    this.readAt = now;
    try {
      const response = await fetch(this.url, { signal: AbortSignal.timeout(8000) });
      // Away for a moment is no reason to take the bar away; "there is none" is.
      if (response.ok) this.reach = parseReach(await response.json());
      else if (response.status === 404) this.reach = null;
      this.onChange();
    } catch {
      // The next time.
    }
    this.reading = false;
  }
}

// The server's time of day as this page knows it, and the latency reckoned with it.
// A viewer's own clock may be minutes off, so the offset is measured against the server.

/** One exchange with the server's clock. All in milliseconds; the local two from the same monotonic clock. */
export interface Exchange {
  sent: number;
  received: number;
  server: number;
}

/**
 * How far the server's clock is ahead of the local one, in ms: from the exchange with the shortest round trip, taking
 * the server to have read its clock in the middle of it. `null` without a usable exchange.
 */
export function clockOffset(exchanges: readonly Exchange[]): number | null {
  let best: Exchange | null = null;
  for (const e of exchanges) {
    const trip = e.received - e.sent;
    if (!(trip >= 0) || !Number.isFinite(e.server)) continue;
    if (best === null || trip < best.received - best.sent) best = e;
  }
  return best === null ? null : best.server - (best.sent + best.received) / 2;
}

/** Reads the server's answer: ISO 8601 text, bare or as a JSON string. `null` if it is neither. */
export function parseTime(text: string): number | null {
  const bare = text.trim().replace(/^"(.*)"$/, "$1");
  if (!/^\d{4}-\d\d-\d\dT/.test(bare)) return null;
  const ms = Date.parse(bare);
  return Number.isNaN(ms) ? null : ms;
}

/** Seconds from a programme date-time to now on the server's clock; `null` where either is unknown. */
export function latency(playhead: Date | null, serverNow: number): number | null {
  if (playhead === null) return null;
  const value = (serverNow - playhead.getTime()) / 1000;
  // Beyond a day it is no live latency but a wrong clock or a wrong stamp.
  return Number.isFinite(value) && Math.abs(value) < 86_400 ? value : null;
}

/** Local time of day that does not jump while the page is open, in ms since 1970. */
function localNow(): number {
  return performance.timeOrigin + performance.now();
}

const EXCHANGES = 4;
const REFRESH_MS = 5 * 60_000;

/** Keeps the offset fresh; before the first answer the local clock is taken as right. */
export class ServerClock {
  private offset = 0;
  private known = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly onVisible = () => {
    // A sleeping machine stops the monotonic clock: ask again on waking.
    if (document.visibilityState === "visible") void this.measure();
  };

  constructor(private readonly url = "/api/v1/time") {
    document.addEventListener("visibilitychange", this.onVisible);
    void this.measure();
  }

  /** Now on the server's clock, in ms since 1970. */
  now(): number {
    return localNow() + this.offset;
  }

  /** Whether the offset was measured, rather than assumed to be zero. */
  measured(): boolean {
    return this.known;
  }

  close(): void {
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.onVisible);
  }

  private async measure(): Promise<void> {
    clearTimeout(this.timer);
    const exchanges: Exchange[] = [];
    try {
      for (let i = 0; i < EXCHANGES; i++) {
        const sent = localNow();
        const response = await fetch(this.url, { cache: "no-store" });
        const received = localNow();
        if (!response.ok) break;
        const server = parseTime(await response.text());
        if (server !== null) exchanges.push({ sent, received, server });
      }
    } catch {
      // Unreachable: keep the last offset and ask again.
    }
    const offset = clockOffset(exchanges);
    if (offset !== null) {
      this.offset = offset;
      this.known = true;
    }
    this.timer = setTimeout(() => void this.measure(), this.known ? REFRESH_MS : 10_000);
  }
}

// What the server says about a channel, read tolerantly, and how often to ask.

export const CHANNEL_STATES = ["offline", "starting", "live", "input_loss", "draining", "error"] as const;
export type ChannelState = (typeof CHANNEL_STATES)[number];

/** The public status document of a channel. */
export interface ChannelStatus {
  state: ChannelState;
  /** When the state began, ISO 8601; empty if unknown. */
  since: string;
  title: string | null;
}

/** The answer to one question: a status, a channel that does not exist, or no answer. */
export type StatusAnswer =
  | { kind: "status"; status: ChannelStatus }
  | { kind: "not_found" }
  | { kind: "unreachable" };

/** Reads a status document; `null` if it is none. Unknown fields are ignored, missing ones have a default. */
export function parseStatus(value: unknown): ChannelStatus | null {
  if (typeof value !== "object" || value === null) return null;
  const { state, since, title } = value as Record<string, unknown>;
  if (!CHANNEL_STATES.includes(state as ChannelState)) return null;
  return {
    state: state as ChannelState,
    since: typeof since === "string" ? since : "",
    title: typeof title === "string" && title !== "" ? title : null,
  };
}

const STEADY_MS = 2000;
const SLOWEST_MS = 5000;

/**
 * Milliseconds until the next question. Steady while answers come; doubling while they do not, so that a server that
 * comes back is not met by everybody at once. `random` in [0, 1) spreads viewers by a quarter either way.
 */
export function pollDelay(failures: number, random: number): number {
  const base = Math.min(SLOWEST_MS, STEADY_MS * 2 ** Math.min(failures, 8));
  return Math.round(base * (0.75 + random / 2));
}

/** Asks again and again until closed. */
export class StatusPoller {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;
  private closed = false;
  private asking = false;
  private readonly onOnline = () => this.soon();

  constructor(
    private readonly url: string,
    private readonly onAnswer: (answer: StatusAnswer) => void,
  ) {
    addEventListener("online", this.onOnline);
    void this.ask();
  }

  /** Asks at once, for example when the media has just ended. */
  soon(): void {
    clearTimeout(this.timer);
    void this.ask();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    removeEventListener("online", this.onOnline);
  }

  private async ask(): Promise<void> {
    if (this.asking || this.closed) return;
    this.asking = true;
    const answer = await this.fetchOnce();
    this.asking = false;
    if (this.closed) return;
    this.failures = answer.kind === "status" ? 0 : this.failures + 1;
    this.timer = setTimeout(() => void this.ask(), pollDelay(this.failures, Math.random()));
    this.onAnswer(answer);
  }

  private async fetchOnce(): Promise<StatusAnswer> {
    try {
      const response = await fetch(this.url, { signal: AbortSignal.timeout(5000) });
      if (response.status === 404 || response.status === 410) return { kind: "not_found" };
      const status = response.ok ? parseStatus(await response.json()) : null;
      return status === null ? { kind: "unreachable" } : { kind: "status", status };
    } catch {
      return { kind: "unreachable" };
    }
  }
}

// Whether a recording is there: asked until it is, then no more. It answers in the words of a channel's status.

import { pollDelay, type StatusAnswer } from "./status";

export class RecordingPoller {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;
  private closed = false;
  private title: string | null = null;

  constructor(
    private readonly asset: string,
    private readonly onAnswer: (answer: StatusAnswer) => void,
  ) {
    void this.ask();
  }

  /** A recording's end is no news. */
  soon(): void {}

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
  }

  private async ask(): Promise<void> {
    const [answer] = await Promise.all([this.look(), this.readTitle()]);
    if (this.closed) return;
    if (answer.kind === "status") {
      answer.status.title = this.title;
    } else {
      this.failures++;
      this.timer = setTimeout(() => void this.ask(), pollDelay(this.failures, Math.random()));
    }
    this.onAnswer(answer);
  }

  private async look(): Promise<StatusAnswer> {
    try {
      const url = `/vod/${this.asset}/index.m3u8`;
      const response = await fetch(url, { method: "HEAD", signal: AbortSignal.timeout(8000) });
      if (response.status === 404 || response.status === 410) return { kind: "not_found" };
      if (!response.ok) return { kind: "unreachable" };
      return { kind: "status", status: { state: "live", since: "", title: null } };
    } catch {
      return { kind: "unreachable" };
    }
  }

  /** The operators' API knows it, where it is open to who watches. */
  private async readTitle(): Promise<void> {
    try {
      const response = await fetch(`/api/v1/assets/${this.asset}`, { signal: AbortSignal.timeout(8000) });
      const { title } = response.ok ? ((await response.json()) as { title?: unknown }) : {};
      if (typeof title === "string" && title !== "") this.title = title;
    } catch {
      // The name stands for it.
    }
  }
}

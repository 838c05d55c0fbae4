// The browser's own HLS, where there is no Media Source.

import type { Engine, EngineEvents } from "./engine";
import type { Level } from "./format";

/** Seconds behind the newest listed media that the browser starts at by itself (three target durations of 2 s). */
const BEHIND_EDGE_SECONDS = 6;

export function nativeSupported(video: HTMLVideoElement): boolean {
  return video.canPlayType("application/vnd.apple.mpegurl") !== "";
}

export class NativeEngine implements Engine {
  private everLive = false;
  private readonly listeners = new AbortController();

  constructor(
    private readonly video: HTMLVideoElement,
    url: string,
    private readonly events: EngineEvents,
    private readonly recorded = false,
  ) {
    this.everLive = recorded;
    const { signal } = this.listeners;
    video.addEventListener("error", () => this.events.failed(video.error?.message ?? "media error", null), {
      signal,
    });
    video.addEventListener("durationchange", () => this.onDuration(), { signal });
    video.addEventListener("resize", () => this.events.changed(), { signal });
    video.src = url;
    video.load();
  }

  levels(): Level[] {
    return [];
  }

  current(): number {
    return -1;
  }

  selected(): number {
    return -1;
  }

  select(): void {
    // The browser chooses.
  }

  playingDate(): Date | null {
    const start = (this.video as HTMLVideoElement & { getStartDate?: () => Date }).getStartDate?.();
    if (start === undefined || Number.isNaN(start.getTime())) return null;
    return new Date(start.getTime() + this.video.currentTime * 1000);
  }

  dateAt(position: number): number | null {
    const date = this.playingDate();
    return date === null ? null : date.getTime() + (position - this.video.currentTime) * 1000;
  }

  livePosition(): number | null {
    if (this.recorded) return null;
    const { seekable } = this.video;
    return seekable.length === 0
      ? null
      : Math.max(0, seekable.end(seekable.length - 1) - BEHIND_EDGE_SECONDS);
  }

  finished(): boolean {
    return this.everLive && Number.isFinite(this.video.duration);
  }

  destroy(): void {
    this.listeners.abort();
    this.video.removeAttribute("src");
    this.video.load();
  }

  private onDuration(): void {
    if (this.video.duration === Number.POSITIVE_INFINITY) this.everLive = true;
    else if (Number.isFinite(this.video.duration) && !this.everLive) this.events.complete();
  }
}

// The browser's own HLS, where there is no Media Source.

import type { Engine, EngineEvents, Play } from "./engine";
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
    private readonly play: Play = { kind: "live" },
  ) {
    this.everLive = play.kind !== "live";
    const { signal } = this.listeners;
    video.addEventListener("error", () => this.events.failed(video.error?.message ?? "media error", null), {
      signal,
    });
    video.addEventListener("durationchange", () => this.onDuration(), { signal });
    if (play.kind === "past") {
      video.addEventListener("loadedmetadata", () => this.seekTo(play.from), { signal, once: true });
    }
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

  positionAt(date: number): number | null {
    const now = this.playingDate();
    const { seekable, currentTime } = this.video;
    if (now === null || seekable.length === 0) return null;
    const position = currentTime + (date - now.getTime()) / 1000;
    return position >= seekable.start(0) && position <= seekable.end(seekable.length - 1) ? position : null;
  }

  holdBack(): number | null {
    return null;
  }

  livePosition(): number | null {
    if (this.play.kind === "recorded") return null;
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

  private seekTo(date: number): void {
    const position = this.positionAt(date);
    if (position !== null) this.video.currentTime = position;
  }

  private onDuration(): void {
    if (this.video.duration === Number.POSITIVE_INFINITY) this.everLive = true;
    else if (Number.isFinite(this.video.duration) && !this.everLive) this.events.complete();
  }
}

// The sound as the viewer wants it, and as the browser allows it.

import { loadVolume, saveVolume } from "./volume";

export class Sound {
  /** Muted because the browser allows no sound without a click. */
  mutedByBrowser = false;

  constructor(
    private readonly video: HTMLVideoElement,
    muted: boolean,
  ) {
    const volume = loadVolume();
    video.volume = volume.level;
    video.muted = muted || volume.muted;
  }

  /** Plays; without sound where the browser insists. */
  async play(): Promise<void> {
    try {
      await this.video.play();
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== "NotAllowedError" || this.video.muted) return;
      this.mutedByBrowser = true;
      this.video.muted = true;
      await this.video.play().catch(() => undefined);
    }
  }

  setMuted(muted: boolean): void {
    this.mutedByBrowser = false;
    this.video.muted = muted;
    if (!muted && this.video.volume === 0) this.video.volume = 0.5;
    this.keep();
  }

  setVolume(level: number): void {
    this.mutedByBrowser = false;
    this.video.volume = Math.min(1, Math.max(0, level));
    this.video.muted = level <= 0;
    this.keep();
  }

  /** Louder by so much, or quieter; a muted one begins at silence. */
  change(by: number): void {
    this.setVolume((this.video.muted ? 0 : this.video.volume) + by);
  }

  private keep(): void {
    saveVolume({ level: this.video.volume, muted: this.video.muted });
  }
}

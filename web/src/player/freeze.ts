// The last picture, kept on the screen while another list is opened: the video element goes black meanwhile.

import { el } from "./dom";

export class Freeze {
  readonly root = el("canvas", { class: "freeze", hidden: true, "aria-hidden": "true" });

  take(video: HTMLVideoElement): void {
    const { videoWidth, videoHeight } = video;
    if (videoWidth === 0 || !this.root.hidden) return;
    this.root.width = videoWidth;
    this.root.height = videoHeight;
    try {
      this.root.getContext("2d")?.drawImage(video, 0, 0);
      this.root.hidden = false;
    } catch {
      // Protected pictures cannot be copied: it is black for a moment.
    }
  }

  drop(): void {
    this.root.hidden = true;
  }
}

// Picture in picture and full screen. A browser may refuse either: then nothing changes.

export async function togglePip(video: HTMLVideoElement): Promise<void> {
  try {
    if (document.pictureInPictureElement === video) await document.exitPictureInPicture();
    else if (video.readyState > 0) await video.requestPictureInPicture();
  } catch {
    // Refused by the browser.
  }
}

export async function toggleFullscreen(root: HTMLElement, video: HTMLVideoElement): Promise<void> {
  try {
    if (document.fullscreenElement !== null) await document.exitFullscreen();
    else if (root.requestFullscreen) await root.requestFullscreen();
    // iPhones can only show the bare video.
    else (video as HTMLVideoElement & { webkitEnterFullscreen?: () => void }).webkitEnterFullscreen?.();
  } catch {
    // Refused by the browser.
  }
}

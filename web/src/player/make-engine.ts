// Which engine plays here: hls.js where the browser has Media Source, else the browser's own HLS.

import type { Engine, EngineEvents, Play } from "./engine";

let engineModule: Promise<typeof import("./hls-engine")> | undefined;

/** Fetches the playlist reader early, so that it is there when the channel goes on the air. */
export function preloadEngine(): Promise<typeof import("./hls-engine")> {
  engineModule ??= import("./hls-engine").catch((error: unknown) => {
    engineModule = undefined;
    throw error;
  });
  return engineModule;
}

export async function makeEngine(
  video: HTMLVideoElement,
  url: string,
  events: EngineEvents,
  play: Play = { kind: "live" },
): Promise<Engine> {
  if (!("MediaSource" in window) && !("ManagedMediaSource" in window)) {
    const { NativeEngine, nativeSupported } = await import("./native-engine");
    if (nativeSupported(video)) return new NativeEngine(video, url, events, play);
  }
  const { HlsEngine, hlsSupported } = await preloadEngine();
  if (hlsSupported()) return new HlsEngine(video, url, events, play);
  throw new Error("this browser can play neither HLS nor Media Source");
}

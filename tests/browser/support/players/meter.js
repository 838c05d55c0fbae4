// In the page of a player: what was played and what stood still, as `window.meter`. Sets `window.report(error)` for
// the player's own errors.
(() => {
  const STALL_MS = 500;
  const video = document.querySelector("video");
  const meter = { started: false, played: 0, stalls: 0, stalledMs: 0, errors: [], mended: [], heights: [] };
  window.meter = meter;
  window.report = (error) => meter.errors.push(String(error).slice(0, 300));
  video.addEventListener("error", () => window.report(`video: ${video.error?.message}`));
  let last = null;
  let movedAt = 0;
  let stalled = false;
  setInterval(() => {
    const now = performance.now();
    const position = video.currentTime;
    if (video.videoHeight && meter.heights.at(-1) !== video.videoHeight) meter.heights.push(video.videoHeight);
    const before = last;
    last = { now, position };
    if (before === null || video.paused || video.seeking) {
      movedAt = now;
      return;
    }
    if (position > before.position) {
      // A jump over a gap is no playing.
      if (meter.started) meter.played += Math.min(position - before.position, (now - before.now) / 1000 + 0.25);
      meter.started = true;
      movedAt = now;
      stalled = false;
    } else if (meter.started && now - movedAt >= STALL_MS) {
      if (!stalled) meter.stalls++;
      stalled = true;
      meter.stalledMs += now - before.now;
    }
  }, 200);
})();

// Keeps a live player as close to live as its playlist allows, by playing a little faster while it is further behind.
//
// hls.js does this, too, but only with more than a second of media ahead: with short parts that is more than the playlist
// asks for. Plain JavaScript, so that the browser tests of players other than ours load the same file.

/** Playing goes no faster than this. */
const MOST_RATE = 1.1;
/** Below this much excess, in seconds, the rate is left alone. */
const CLOSE_ENOUGH = 0.04;
/** This much excess, in seconds, is answered with the full rate. */
const FULL_RATE_AT = 0.5;
/** Each stall moves the target away by so much, in seconds... */
const STALL_SECONDS = 0.25;
/** ... up to this in all ... */
const MOST_BACK_OFF = 2;
/** ... and so long without one takes a step back. */
const FORGIVEN_MS = 60_000;
/** Who is no further than a target duration and this much, in seconds, beyond the hold-back is live. */
const CLOSE_SECONDS = 2;
/** Playing that stands still for so long before a hole goes on behind it: hls.js waits for several seconds. */
const HOLE_MS = 800;
/** Who lost more than this, in seconds, is brought to live by a jump, no more often than this in ms. */
const JUMP_SECONDS = 3.5;
const JUMP_MS = 10_000;
/** Widest hole that is passed over, in seconds. */
const MOST_HOLE = 3;
const TICK_MS = 100;

/**
 * @typedef {object} Sample
 * @property {number} now monotonic time in ms
 * @property {number} latency seconds from the playhead to the live edge
 * @property {number} holdBack seconds that the playlist asks to stay behind
 * @property {number} part length of a part in seconds, or of a segment where there are no parts
 * @property {number} range seconds beyond the hold-back up to which it comes closer
 * @property {number} ahead seconds of media from the playhead to the end of what is buffered
 */

/** The rule by itself: samples in, playback rates out. */
export class LatencyRule {
  backOff = 0;
  /** @private */
  stalledAt = Number.NEGATIVE_INFINITY;

  /** Playing stood still for want of media. @param {number} now */
  stalled(now) {
    this.backOff = Math.min(MOST_BACK_OFF, this.backOff + STALL_SECONDS);
    this.stalledAt = now;
  }

  /** @param {Sample} s @returns {number} the playback rate */
  rate(s) {
    if (this.backOff > 0 && s.now - this.stalledAt > FORGIVEN_MS) {
      this.backOff = Math.max(0, this.backOff - STALL_SECONDS);
      this.stalledAt = s.now;
    }
    const excess = s.latency - s.holdBack - this.backOff;
    // What is there lasts for the next part to come late by half of one.
    const isSound = s.ahead > Math.min(1, 0.5 * s.part + 0.1);
    if (!isSound || !(excess > CLOSE_ENOUGH) || excess > s.range) return 1;
    const share = Math.min(1, excess / FULL_RATE_AT);
    return Math.round((1 + (MOST_RATE - 1) * Math.max(0.2, share)) * 100) / 100;
  }
}

/**
 * What of an Hls object of hls.js is used.
 * @typedef {object} LivePlayer
 * @property {number} latency
 * @property {number | null} liveSyncPosition
 * @property {{ live: boolean, holdBack: number, partHoldBack: number, partTarget: number, targetduration: number } | null} latestLevelDetails
 */

/**
 * Begins to keep `video`, played by `hls`, close to live. Set `maxLiveSyncPlaybackRate: 1` there.
 * @param {HTMLVideoElement} video
 * @param {LivePlayer} hls
 * @returns {() => void} ends it
 */
export function keepLatency(video, hls) {
  const rule = new LatencyRule();
  /** The rate that was set here: any other one is the viewer's. */
  let set = 1;
  const ahead = () => {
    const { buffered, currentTime } = video;
    for (let i = 0; i < buffered.length; i++) {
      if (buffered.start(i) <= currentTime + 0.1 && currentTime < buffered.end(i))
        return buffered.end(i) - currentTime;
    }
    return 0;
  };
  // Who paused or went back is where they want to be, until they come close to live again. A stall is no choice: what was
  // lost by it is made up for, however much it is.
  let isChosen = false;
  let lastTime = video.currentTime;
  const onPause = () => {
    isChosen = true;
  };
  const onSeeking = () => {
    if (video.currentTime < lastTime - 0.5) isChosen = true;
    lastTime = video.currentTime;
  };
  /** When the playhead moved last, and where to. */
  let moved = { at: performance.now(), to: video.currentTime };
  const overHole = () => {
    const { buffered, currentTime } = video;
    const now = performance.now();
    if (currentTime !== moved.to) moved = { at: now, to: currentTime };
    if (now - moved.at < HOLE_MS) return;
    for (let i = 0; i < buffered.length; i++) {
      const wide = buffered.start(i) - currentTime;
      if (wide > 0 && wide < MOST_HOLE) {
        video.currentTime = buffered.start(i) + 0.01;
        return;
      }
    }
  };
  let jumpedAt = Number.NEGATIVE_INFINITY;
  let hasPlayed = false;
  const onPlaying = () => {
    hasPlayed = true;
  };
  const onWaiting = () => {
    // The first wait is the start, and one of a seek is no lack.
    if (hasPlayed && !video.seeking && !video.paused) rule.stalled(performance.now());
    hasPlayed = false;
  };
  const tick = () => {
    const details = hls.latestLevelDetails;
    if (!video.seeking) lastTime = video.currentTime;
    if (!details?.live || video.paused || video.seeking) {
      moved = { at: performance.now(), to: video.currentTime };
      return;
    }
    if (ahead() === 0) overHole();
    if (video.playbackRate !== set) return;
    const holdBack = details.partHoldBack || details.holdBack || 3 * details.targetduration;
    const close = details.targetduration + CLOSE_SECONDS;
    if (hls.latency - holdBack <= close) isChosen = false;
    const now = performance.now();
    const live = hls.liveSyncPosition;
    const lost = hls.latency - holdBack - rule.backOff;
    if (
      !isChosen &&
      lost > JUMP_SECONDS &&
      now - jumpedAt > JUMP_MS &&
      live !== null &&
      live > video.currentTime
    ) {
      jumpedAt = now;
      video.currentTime = live;
      return;
    }
    const rate = rule.rate({
      now,
      latency: hls.latency,
      holdBack,
      part: details.partTarget || details.targetduration,
      range: isChosen ? close : Number.POSITIVE_INFINITY,
      ahead: ahead(),
    });
    if (rate !== video.playbackRate) video.playbackRate = rate;
    set = rate;
  };
  video.addEventListener("pause", onPause);
  video.addEventListener("seeking", onSeeking);
  video.addEventListener("playing", onPlaying);
  video.addEventListener("waiting", onWaiting);
  const timer = setInterval(tick, TICK_MS);
  return () => {
    clearInterval(timer);
    video.removeEventListener("pause", onPause);
    video.removeEventListener("seeking", onSeeking);
    video.removeEventListener("playing", onPlaying);
    video.removeEventListener("waiting", onWaiting);
    if (video.playbackRate === set) video.playbackRate = 1;
  };
}

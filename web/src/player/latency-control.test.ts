import { expect, test, vi } from "vitest";
import { keepLatency, LatencyRule } from "./latency-control.js";

const sample = { now: 0, latency: 0.9, holdBack: 0.9, part: 0.3, range: 3, ahead: 0.7 };

test("further behind than the playlist asks for, it plays faster, the more the further", () => {
  const rule = new LatencyRule();
  expect(rule.rate(sample)).toBe(1);
  expect(rule.rate({ ...sample, latency: 1.26 })).toBeCloseTo(1.07);
  expect(rule.rate({ ...sample, latency: 2.5 })).toBe(1.1);
  expect(rule.rate({ ...sample, latency: 0.5 })).toBe(1);
});

test("it does not run dry, and does not chase who went back on purpose", () => {
  const rule = new LatencyRule();
  expect(rule.rate({ ...sample, latency: 1.5, ahead: 0.2 })).toBe(1);
  expect(rule.rate({ ...sample, latency: 10, ahead: 5 })).toBe(1);
  // Long segments without parts: a second ahead is enough.
  expect(rule.rate({ ...sample, latency: 8, holdBack: 6, part: 2, ahead: 1.5 })).toBe(1.1);
});

test("a stall moves the target away, and a minute without one moves it back", () => {
  const rule = new LatencyRule();
  rule.stalled(1000);
  expect(rule.rate({ ...sample, now: 2000, latency: 1.1 })).toBe(1);
  expect(rule.rate({ ...sample, now: 62_000, latency: 1.1 })).toBeGreaterThan(1);
  for (let i = 0; i < 50; i++) rule.stalled(70_000);
  expect(rule.backOff).toBe(2);
});

test("after a stall it comes back to live; who paused or went back is left there", () => {
  vi.useFakeTimers();
  const video = Object.assign(new EventTarget(), {
    currentTime: 100,
    playbackRate: 1,
    paused: false,
    seeking: false,
    buffered: { length: 1, start: () => 0, end: () => 200 },
  });
  const details = { live: true, holdBack: 3, partHoldBack: 0.9, partTarget: 0.3, targetduration: 1 };
  const hls = { latency: 4.3, liveSyncPosition: 105, latestLevelDetails: details };
  const end = keepLatency(video as unknown as HTMLVideoElement, hls);
  const rate = () => {
    vi.advanceTimersByTime(150);
    return video.playbackRate;
  };
  expect(rate()).toBe(1.1);
  video.currentTime = 95;
  video.dispatchEvent(new Event("seeking"));
  expect(rate()).toBe(1);
  // Near live again, it is kept there.
  hls.latency = 2;
  expect(rate()).toBe(1.1);
  hls.latency = 4.3;
  expect(rate()).toBe(1.1);
  // What would take a minute to make up for is jumped over, once.
  hls.latency = 6;
  rate();
  expect(video.currentTime).toBe(105);
  video.currentTime = 104;
  rate();
  expect(video.currentTime).toBe(104);
  video.dispatchEvent(new Event("pause"));
  expect(rate()).toBe(1);
  // A rate of the viewer's own is not touched.
  video.playbackRate = 2;
  hls.latency = 2;
  expect(rate()).toBe(2);
  end();
  expect(video.playbackRate).toBe(2);
  vi.useRealTimers();
});

test("playing goes on behind a hole, soon, and not where nothing follows", () => {
  vi.useFakeTimers();
  const ranges = [[0, 100]];
  const video = Object.assign(new EventTarget(), {
    currentTime: 100,
    playbackRate: 1,
    paused: false,
    seeking: false,
    buffered: {
      get length() {
        return ranges.length;
      },
      start: (i: number) => ranges[i]?.[0] ?? 0,
      end: (i: number) => ranges[i]?.[1] ?? 0,
    },
  });
  const details = { live: true, holdBack: 3, partHoldBack: 0.9, partTarget: 0.3, targetduration: 1 };
  const end = keepLatency(video as unknown as HTMLVideoElement, {
    latency: 1,
    liveSyncPosition: null,
    latestLevelDetails: details,
  });
  vi.advanceTimersByTime(3000);
  expect(video.currentTime).toBe(100);
  ranges.push([100.4, 102]);
  vi.advanceTimersByTime(200);
  expect(video.currentTime).toBeCloseTo(100.41);
  end();
  vi.useRealTimers();
});

import { expect, test } from "vitest";
import { PlaybackMeter, type Sample } from "./meter";

/** Feeds samples a quarter of a second apart; `position` gives the playhead at each. */
function play(count: number, position: (i: number) => number, more: Partial<Sample> = {}): PlaybackMeter {
  const meter = new PlaybackMeter();
  for (let i = 0; i < count; i++) {
    meter.sample({ now: i * 250, position: position(i), paused: false, seeking: false, rate: 1, ...more });
  }
  return meter;
}

test("smooth playing has no stall and counts every second", () => {
  const meter = play(41, (i) => i * 0.25);
  expect([meter.stalls, meter.stalledSeconds]).toEqual([0, 0]);
  expect(meter.playedSeconds).toBeCloseTo(10);
});

test("a standstill is one stall, however long", () => {
  const meter = play(40, (i) => Math.min(i, 20) * 0.25);
  expect(meter.stalls).toBe(1);
  expect(meter.stalled).toBe(true);
  expect(meter.stalledSeconds).toBeCloseTo(4.75);
});

test("a standstill shorter than half a second is none", () => {
  expect(play(20, (i) => (i < 10 ? i : Math.max(10, i - 1)) * 0.25).stalls).toBe(0);
});

test("a jump counts as playing only for the time it took", () => {
  const meter = play(9, (i) => i * 0.25 + (i >= 4 ? 60 : 0));
  expect(meter.playedSeconds).toBeLessThan(2.5);
});

test("pausing, seeking and a page that slept are no stalls", () => {
  expect(play(40, () => 5, { paused: true }).stalls).toBe(0);
  expect(play(10, () => 5, { seeking: true }).stalls).toBe(0);
  const meter = new PlaybackMeter();
  const still = { position: 5, paused: false, seeking: false, rate: 1 };
  for (const now of [0, 10_000, 20_000]) meter.sample({ now, ...still });
  expect(meter.stalls).toBe(0);
});

test("a seek that does not end is a stall", () => {
  expect(play(40, () => 5, { seeking: true }).stalls).toBe(1);
});

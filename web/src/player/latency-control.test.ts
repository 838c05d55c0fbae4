import { expect, test } from "vitest";
import { LatencyRule } from "./latency-control.js";

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

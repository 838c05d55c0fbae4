import { expect, test } from "vitest";
import { clamp, listStart, oldest, parseReach, Rewind } from "./rewind";

const T = Date.parse("2026-11-23T12:00:00Z");

test("what the server says is read, and anything else is none", () => {
  const reach = { from: T, seconds: 7200 };
  expect(parseReach({ from: "2026-11-23T12:00:00.000Z", seconds: 7200 })).toEqual(reach);
  for (const wrong of [null, {}, { from: "x", seconds: 1 }, { from: "2026-11-23", seconds: 0 }, "2026"])
    expect(parseReach(wrong)).toBeNull();
});

test("the past begins where the recording does, or as deep as is kept", () => {
  const reach = { from: T, seconds: 600 };
  const minute = 60_000;
  expect(oldest(reach, T + minute)).toBe(T);
  expect(listStart(reach, T + 20 * minute)).toBe(T + 10 * minute);
  // What is about to go is out of reach.
  expect(oldest(reach, T + 20 * minute)).toBe(T + 10 * minute + 8000);
  expect(clamp(reach, T, T + 20 * minute)).toBe(T + 10 * minute + 8000);
  expect(clamp(reach, T + 15 * minute, T + 20 * minute)).toBe(T + 15 * minute);
});

test("a past that fails again and again is given up", () => {
  const rewind = new Rewind("", () => {});
  expect(rewind.failed()).toBe(false);
  rewind.works();
  rewind.past = T;
  expect([rewind.failed(), rewind.failed(), rewind.failed()]).toEqual([false, false, true]);
  expect(rewind.past).toBeNull();
});

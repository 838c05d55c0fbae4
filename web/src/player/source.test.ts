import { expect, test } from "vitest";
import { retryDelay } from "./source";

test("a source is tried again soon, then less often, never rarer than every five seconds", () => {
  expect([1, 2, 3, 4, 5, 90].map((n) => retryDelay(n, 0.5))).toEqual([500, 1000, 2000, 4000, 4000, 4000]);
  expect(retryDelay(90, 0.999)).toBeLessThanOrEqual(5000);
  expect(retryDelay(1, 0)).toBe(375);
});

import { expect, test } from "vitest";
import { parseStatus, pollDelay } from "./status";

test("a status is read tolerantly", () => {
  expect(parseStatus({ state: "live", since: "2026-11-22T12:00:00Z", title: "News", more: 1 })).toEqual({
    state: "live",
    since: "2026-11-22T12:00:00Z",
    title: "News",
  });
  expect(parseStatus({ state: "input_loss" })).toEqual({ state: "input_loss", since: "", title: null });
  for (const wrong of [null, "live", [], {}, { state: "on fire" }]) expect(parseStatus(wrong)).toBeNull();
});

test("the question is asked about every two seconds, and less often while there is no answer", () => {
  expect([pollDelay(0, 0), pollDelay(0, 0.5), pollDelay(0, 1)]).toEqual([1500, 2000, 2500]);
  expect([1, 2, 3, 50].map((failures) => pollDelay(failures, 0.5))).toEqual([4000, 5000, 5000, 5000]);
});

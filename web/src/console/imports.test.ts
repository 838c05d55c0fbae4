import { expect, test } from "vitest";
import { importLine, isShown, parseImport, parseImports } from "./imports";

const VIEW = {
  id: "i1",
  asset: "late-news",
  title: "Late News",
  file: "Late News.mov",
  size: 1_200_000_000,
  received: 1_200_000_000,
  state: "importing",
  share: 0.456,
  position_seconds: 12,
  duration_seconds: 60,
  speed: 2.31,
  seconds_left: 83.2,
  cpu_seconds: 3,
  created: "2026-11-23T00:00:00Z",
  ended: null,
  error: null,
  notes: ["a second audio track was left out"],
  upload: null,
  hls: null,
  dash: null,
};

function read(more: object) {
  const made = parseImport({ ...VIEW, ...more });
  if (made === null) throw new Error("no import");
  return made;
}

test("where an import is, is said in a line", () => {
  expect(importLine(read({}), false)).toBe("Encoding, 45 %, 2.3 times real time, 1 min 23 s left");
  expect(importLine(read({ speed: 0, seconds_left: null, share: 0 }), false)).toBe("Encoding, 0 %");
  expect(importLine(read({ state: "uploading", share: 0.5 }), true)).toBe("Uploading, 50 % of 1.2 GB");
  expect(importLine(read({ state: "uploading", received: 600e6 }), false)).toBe(
    "600 MB of 1.2 GB are here. Choose “Late News.mov” again to go on.",
  );
  expect(importLine(read({ state: "failed", error: "no media" }), false)).toBe("Failed");
});

test("what is done is in the list of recordings, unless there is something to say of it", () => {
  expect(isShown(read({ state: "done" }))).toBe(true);
  expect(isShown(read({ state: "done", notes: [] }))).toBe(false);
  expect(isShown(read({ state: "failed", notes: [] }))).toBe(true);
});

test("what is no import is left out", () => {
  expect(parseImports({ imports: [VIEW, null, 3, {}, { id: "x", state: "odd" }] })).toHaveLength(1);
  expect(parseImports(null)).toEqual([]);
  expect(parseImport({ id: "x", state: "waiting" })).toMatchObject({ title: "x", share: 0, notes: [] });
});

import { expect, test } from "vitest";
import { moved, parseAsset, parseAssets, parseStorage } from "./assets";

test("an asset is read, and what is missing is absent", () => {
  const full = parseAsset({
    id: "demo-1",
    kind: "clip",
    state: "ended",
    channel: "demo",
    title: "Goal",
    start: "1970-01-01T00:00:10Z",
    end: "1970-01-01T00:00:30Z",
    duration_seconds: 20,
    bytes: 7,
    lost_segments: 1,
    playback: { watch: "/watch/vod/demo-1", download: "/vod/demo-1/asset.mp4" },
  });
  expect(full).toMatchObject({ kind: "clip", start: 10_000, seconds: 20, watch: "/watch/vod/demo-1" });
  const dates = { created: "2026-11-23T00:00:00Z", start: "1970-01-01T00:00:00Z" };
  expect(parseAsset({ id: "x", ...dates })?.date).toBe(Date.parse(dates.created));
  expect(parseAsset({ id: "x", ...dates, start: "2026-11-20T00:00:00Z" })?.date).toBe(
    Date.parse("2026-11-20"),
  );
  expect(full?.download).toBe("/vod/demo-1/asset.mp4");
  expect(parseAsset({ id: "x" })).toMatchObject({
    title: "x",
    start: null,
    bytes: 0,
    watch: null,
    download: null,
  });
  for (const none of [null, 3, {}, { id: 3 }]) expect(parseAsset(none)).toBeNull();
  expect(parseAssets({ assets: [{ id: "a" }, null], next: "c" })).toMatchObject({
    assets: [{ id: "a" }],
    next: "c",
  });
  expect(parseAssets(null)).toEqual({ assets: [], next: null });
  expect(parseStorage({ bytes: 5, keep_seconds: 60 })).toMatchObject({ bytes: 5, keepSeconds: 60 });
});

test("the ends of a selection stay inside and apart", () => {
  const all = { from: 0, to: 60 };
  expect(moved(all, "from", 20, 60)).toEqual({ from: 20, to: 60 });
  expect(moved(all, "from", 90, 60)).toEqual({ from: 59, to: 60 });
  expect(moved({ from: 20, to: 60 }, "to", 3, 60)).toEqual({ from: 20, to: 21 });
  expect(moved(all, "to", 99, 60)).toEqual({ from: 0, to: 60 });
  expect(moved(all, "from", -5, 60)).toEqual({ from: 0, to: 60 });
});

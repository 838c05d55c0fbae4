import { expect, test } from "vitest";
import { assetOf, channelOf, wishes } from "./address";

test.each([
  ["/watch/demo", "demo"],
  ["/embed/demo/", "demo"],
  ["/watch/caf%C3%A9", "café"],
  ["/watch/%ff", ""],
  ["/watch/", ""],
  ["/watch/vod/x", ""],
])("%s is about %s", (path, channel) => expect(channelOf(path)).toBe(channel));

test("a page that embeds the player may ask for silence and for a click", () => {
  expect(wishes("")).toEqual({ autoplay: true, muted: false });
  expect(wishes("?autoplay=0&muted=1")).toEqual({ autoplay: false, muted: true });
  expect(wishes("?autoplay=1&muted=0")).toEqual({ autoplay: true, muted: false });
});

test("an asset has an address of its own", () => {
  expect(assetOf("/watch/vod/demo-20261122-222500")).toBe("demo-20261122-222500");
  for (const path of ["/watch/demo", "/watch/vod/", "/watch/vod/A", "/watch/vod/a/b"])
    expect(assetOf(path)).toBe("");
});

import { expect, test } from "vitest";
import { channelOf, wishes } from "./address";

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

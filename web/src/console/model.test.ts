import { expect, test } from "vitest";
import { parseChannel, parseChannels, parseServer, rtmpServer } from "./model";

test("a channel with nothing but its name is a channel", () => {
  expect(parseChannel({ name: "a" })).toMatchObject({
    title: "a",
    mode: "abr",
    state: "offline",
    enabled: true,
    fixed: false,
    input: null,
    renditions: [],
    newestSegment: null,
    viewers: 0,
    warnings: [],
    settings: { segmentSeconds: 2, reconnectSeconds: 30, ladder: null },
  });
});

test("what cannot be read is left out, the rest is kept", () => {
  const list = parseChannels({
    channels: [
      null,
      {},
      {
        name: "b",
        state: "melting",
        renditions: [{}, { name: "720p", height: "tall" }],
        warnings: [1, "hot"],
        since: "x",
      },
    ],
  });
  expect(list).toHaveLength(1);
  expect(list[0]).toMatchObject({ state: "offline", since: null, warnings: ["hot"] });
  expect(list[0]?.renditions).toMatchObject([{ name: "720p", height: null }]);
  expect(parseChannels("nonsense")).toEqual([]);
});

test("a whole channel is read", () => {
  const channel = parseChannel({
    name: "demo",
    title: "Demo",
    mode: "abr",
    state: "live",
    since: "2026-11-22T12:00:00.000Z",
    managed_by: "config",
    revision: "7",
    latency: { total_ms: 2350 },
    newest_segment: { number: 5, time: "2026-11-22T12:00:10.000Z" },
    input: {
      protocol: "rtmp",
      codec: "avc1.640028",
      width: 1280,
      height: 720,
      frame_rate: 30,
      bit_rate: 3e6,
    },
    config: {
      title: "",
      segment_seconds: 4,
      ladder: { video: [{ height: 480, preset: "fast" }], audio: {} },
    },
  });
  expect(channel).toMatchObject({
    fixed: true,
    revision: "7",
    latencyMs: 2350,
    newestSegment: { number: 5 },
    input: { width: 1280, audioCodec: null },
    settings: { title: "", segmentSeconds: 4, ladder: { video: [{ height: 480, preset: "fast" }] } },
  });
});

test.each([
  ["127.0.0.1:1935", "localhost", "rtmp://127.0.0.1/live"],
  ["127.0.0.1:40123", "localhost", "rtmp://127.0.0.1:40123/live"],
  ["0.0.0.0:1935", "live.example.com", "rtmp://live.example.com/live"],
  ["[::]:1936", "[::1]", "rtmp://[::1]:1936/live"],
])("RTMP at %s, seen from %s, is %s", (rtmp, host, url) => {
  expect(rtmpServer(parseServer({ listening: { rtmp } }), host)).toBe(url);
});

test("a server without RTMP has no address for it", () => {
  expect(rtmpServer(parseServer({ listening: { http: "127.0.0.1:80" } }), "localhost")).toBeNull();
});

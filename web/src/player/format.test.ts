import { expect, test } from "vitest";
import { bitRate, byteSize, clockTime, duration, frameRate, levelNames, seconds } from "./format";

test.each([
  [0, "0.0 s"],
  [-3, "0.0 s"],
  [6.04, "6.0 s"],
  [9.94, "9.9 s"],
  [9.96, "10 s"],
  [59.4, "59 s"],
  [125, "2 min 5 s"],
  [Number.NaN, "–"],
])("latency of %s seconds reads %s", (value, text) => expect(seconds(value)).toBe(text));

test.each([
  [0.4, "0 s"],
  [60, "1 min"],
  [3599.6, "1 h"],
  [3661, "1 h 1 min"],
  [90_061, "1 d 1 h"],
])("a duration of %s seconds reads %s", (value, text) => expect(duration(value)).toBe(text));

test.each([
  [128_000, "128 kb/s"],
  [999_600, "1.0 Mb/s"],
  [4_480_000, "4.5 Mb/s"],
  [12_000_000, "12 Mb/s"],
  [null, "–"],
])("%s bit/s reads %s", (value, text) => expect(bitRate(value)).toBe(text));

test("frame rates lose needless zeros and nothing else", () => {
  expect([30, 30000 / 1001, 60000 / 1001, 12.5].map(frameRate)).toEqual(["30", "29.97", "59.94", "12.5"]);
});

test("qualities are named by height, by rate where it is high, by bit rate where they would read the same", () => {
  const level = (height: number, frameRate: number, bitRate: number) => ({ height, frameRate, bitRate });
  expect(levelNames([level(360, 30, 600_000), level(720, 30, 2e6), level(720, 60, 3e6)])).toEqual([
    "360p",
    "720p",
    "720p60",
  ]);
  expect(levelNames([level(720, 30, 1.5e6), level(720, 29.97, 3e6)])).toEqual([
    "720p, 1.5 Mb/s",
    "720p, 3.0 Mb/s",
  ]);
  expect(levelNames([level(0, 0, 128_000)])).toEqual(["128 kb/s"]);
});

test.each([
  [0, "0:00"],
  [65.9, "1:05"],
  [3723, "1:02:03"],
  [-3, "0:00"],
  [Number.NaN, "0:00"],
] as const)("position %s", (value, text) => {
  expect(clockTime(value)).toBe(text);
});

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1000, "1.0 kB"],
  [9_960, "10 kB"],
  [999_600, "1.0 MB"],
  [1_440_000_000, "1.4 GB"],
] as const)("size %s", (value, text) => {
  expect(byteSize(value)).toBe(text);
});

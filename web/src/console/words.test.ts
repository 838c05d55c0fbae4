import { expect, test } from "vitest";
import { refusal } from "./api";
import { parseChannel } from "./model";
import { hashOf, parseRoute } from "./use-route";
import { chip, codecName, inputFigures, picture, stateSentence } from "./words";

const channel = (fields: object) => {
  const parsed = parseChannel({ name: "a", ...fields });
  if (parsed === null) throw new Error("no channel");
  return parsed;
};

test("each state has a word and a tone", () => {
  expect(chip({ state: "live", enabled: true })).toEqual({ text: "Live", tone: "live" });
  expect(chip({ state: "offline", enabled: true }).text).toBe("Off air");
  expect(chip({ state: "offline", enabled: false }).text).toBe("Stopped");
});

test("the sentence says for how long, unless the clocks disagree", () => {
  const since = "2026-11-22T12:00:00.000Z";
  const now = Date.parse(since) + 65_000;
  expect(stateSentence(channel({ state: "live", since }), now)).toBe("On air for 1 min 5 s.");
  expect(stateSentence(channel({ state: "live", since }), now - 90_000)).toBe("On air.");
  expect(stateSentence(channel({ state: "input_loss", since }), now)).toMatch(/lost 1 min 5 s ago\./);
  expect(stateSentence(channel({ state: "input_loss" }), now)).not.toMatch(/lost ago/);
  expect(stateSentence(channel({ state: "error", error: "no encoder" }), now)).toBe("no encoder");
});

test("codecs are named as people know them", () => {
  expect(
    ["avc1.640028", "hvc1.1.6.L93.B0", "av01.0.05M.08", "mp4a.40.2", "Opus", "vp09"].map(codecName),
  ).toEqual(["H.264", "H.265", "AV1", "AAC", "Opus", "vp09"]);
});

test("figures that are not known are left out", () => {
  const { input } = channel({ input: { protocol: "rtmp" } });
  expect(input && inputFigures(input)).toEqual([
    ["Protocol", "RTMP"],
    ["Audio", "none"],
  ]);
});

test("a refusal is told in the server's words", () => {
  const error = refusal(422, {
    title: "Unprocessable",
    detail: "bad",
    errors: [{ field: "name", message: "no" }, 5],
  });
  expect([error.message, error.status, error.settings]).toEqual([
    "bad",
    422,
    [{ field: "name", message: "no" }],
  ]);
  expect(refusal(500, null).message).toBe("The server answered 500.");
});

test("every part of the console has an address", () => {
  for (const route of [
    { page: "list" },
    { page: "new" },
    { page: "channel", name: "town-hall" },
    { page: "edit", name: "b_2" },
  ] as const) {
    expect(parseRoute(hashOf(route))).toEqual(route);
  }
  expect(parseRoute("#/channels/<script>")).toEqual({ page: "list" });
});

test.each([
  [30.02, "30 fps"],
  [29.96, "29.97 fps"],
  [59.93, "59.94 fps"],
  [27.5, "27.5 fps"],
])("a measured %s frames per second reads %s", (frameRate, text) => {
  expect(picture({ width: null, height: null, frameRate })).toBe(text);
});

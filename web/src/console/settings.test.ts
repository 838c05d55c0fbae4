import { expect, test } from "vitest";
import { parseChannel } from "./model";
import { change, creation, draftOf, emptyDraft, nextRow } from "./settings";

const settings = (config: object) => {
  const channel = parseChannel({ name: "a", config });
  if (channel === null) throw new Error("no channel");
  return channel.settings;
};

test("a new channel sends what was typed and no ladder", () => {
  expect(creation({ ...emptyDraft(), name: " harbour ", title: "Harbour" })).toEqual({
    name: "harbour",
    title: "Harbour",
    mode: "abr",
    segment_seconds: 2,
    reconnect_seconds: 30,
  });
});

test("numbers go as numbers, what is none goes as typed for the server to refuse", () => {
  const draft = { ...emptyDraft(), name: "a", segmentSeconds: "1.5", reconnectSeconds: "soon" };
  expect(creation(draft)).toMatchObject({ segment_seconds: 1.5, reconnect_seconds: "soon" });
});

test("a ladder keeps what the form does not show", () => {
  const before = settings({
    ladder: {
      video: [{ height: 720, bit_rate: 2_500_000, name: "hd" }],
      audio: { bit_rate: 96_000, channels: 1 },
    },
  });
  const draft = draftOf("a", before);
  expect(draft.rows).toEqual([{ height: "720", kilobits: "2500", rest: { name: "hd" } }]);
  draft.rows = [...draft.rows, { ...nextRow(draft.rows), kilobits: "" }];
  expect(change(draft, before).ladder).toEqual({
    video: [{ height: 720, bit_rate: 2_500_000, name: "hd" }, { height: 480 }],
    audio: { bit_rate: 96_000, channels: 1 },
  });
});

test("back to the input's own ladder, and to passthrough, takes the ladder away", () => {
  const before = settings({ ladder: { video: [{ height: 720 }] } });
  expect(change({ ...draftOf("a", before), ownLadder: false }, before).ladder).toBeNull();
  expect(change({ ...draftOf("a", before), mode: "passthrough" }, before).ladder).toBeNull();
});

test("a ladder that sets only the sound is left alone", () => {
  const before = settings({ ladder: { audio: { bit_rate: 64_000, channels: 1 } } });
  expect(change(draftOf("a", before), before)).not.toHaveProperty("ladder");
});

test("the next line is the next usual height below", () => {
  expect(nextRow([]).height).toBe("720");
  expect(nextRow([{ height: "1080", kilobits: "", rest: {} }]).height).toBe("720");
  expect(nextRow([{ height: "240", kilobits: "", rest: {} }]).height).toBe("240");
});

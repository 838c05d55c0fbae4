import { expect, test } from "vitest";
import { keepFirstFrame } from "./first-frame";

/** A source buffer, as far as it matters: the offset is an accessor of its prototype, and refuses what is no number. */
class Buffer {
  set = 0;
  get timestampOffset(): number {
    return this.set;
  }
  set timestampOffset(offset: number) {
    if (!Number.isFinite(offset)) throw new TypeError("not finite");
    this.set = offset;
  }
}

test("media lies a little later than asked for, and the question is answered with what was asked for", () => {
  const buffer = new Buffer();
  keepFirstFrame(buffer);
  expect(buffer.timestampOffset).toBe(0);
  buffer.timestampOffset = -1_795_450_111.032789;
  expect(buffer.timestampOffset).toBe(-1_795_450_111.032789);
  const later = buffer.set - buffer.timestampOffset;
  expect(later).toBeGreaterThan(0.000008);
  expect(later).toBeLessThan(0.000012);
  expect(() => {
    buffer.timestampOffset = Number.NaN;
  }).toThrow("not finite");
  expect(buffer.timestampOffset).toBe(-1_795_450_111.032789);
});

test("what has no such accessor is left alone", () => {
  const buffer = { timestampOffset: 3 };
  keepFirstFrame(buffer);
  buffer.timestampOffset = 4;
  expect(buffer.timestampOffset).toBe(4);
});

import { expect, test } from "vitest";
import { clockOffset, latency, parseTime } from "./clock";

test("the offset comes from the exchange with the shortest round trip", () => {
  const server = 1_000_000;
  const slow = { sent: 0, received: 900, server: server + 850 };
  const fast = { sent: 1000, received: 1020, server: server + 1010 };
  expect(clockOffset([slow, fast])).toBe(server);
  expect(clockOffset([fast, slow])).toBe(server);
});

test("a viewer's clock that is an hour off does not change the latency", () => {
  const trueNow = Date.parse("2026-11-22T12:00:00.000Z");
  const localNow = trueNow - 3_600_000;
  const offset =
    clockOffset([{ sent: localNow - 15, received: localNow + 15, server: trueNow }]) ?? Number.NaN;
  expect(latency(new Date(trueNow - 6250), localNow + offset)).toBe(6.25);
});

test("no exchange, an impossible one or an unreadable answer gives no offset", () => {
  expect(clockOffset([])).toBeNull();
  expect(clockOffset([{ sent: 10, received: 5, server: 1 }])).toBeNull();
  expect(clockOffset([{ sent: 0, received: 5, server: Number.NaN }])).toBeNull();
});

test("the server's time is read bare or as a JSON string", () => {
  const ms = Date.parse("2026-11-22T19:13:55.123Z");
  expect(parseTime("2026-11-22T19:13:55.123Z\n")).toBe(ms);
  expect(parseTime('"2026-11-22T19:13:55.123Z"')).toBe(ms);
  for (const wrong of ["", "<html>", "1234", "2026-99-99T00:00:00Z"]) expect(parseTime(wrong)).toBeNull();
});

test("a latency beyond a day is no latency", () => {
  expect(latency(new Date(0), Date.parse("2026-11-22T00:00:00Z"))).toBeNull();
  expect(latency(null, 0)).toBeNull();
});

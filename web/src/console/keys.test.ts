import { expect, test } from "vitest";
import { keyLine, parseKeys, parseNetworks } from "./keys";

const NOW = Date.parse("2026-11-23T12:00:00Z");

test("keys are read, and what is none is left out", () => {
  const event = {
    name: "event",
    managed_by: "api",
    addresses: ["192.0.2.0/24"],
    created: "2026-11-22T12:00:00Z",
    expires: "2026-12-01T00:00:00Z",
    publishing: true,
    srt_key_bytes: 32,
  };
  expect(parseKeys({ keys: [event, null, {}, { name: "default", managed_by: "config" }] })).toEqual([
    {
      name: "event",
      fixed: false,
      addresses: ["192.0.2.0/24"],
      created: NOW - 86_400_000,
      expires: Date.parse("2026-12-01T00:00:00Z"),
      publishing: true,
      srtBytes: 32,
    },
    {
      name: "default",
      fixed: true,
      addresses: [],
      created: null,
      expires: null,
      publishing: false,
      srtBytes: null,
    },
  ]);
  expect(parseKeys(null)).toEqual([]);
});

test("a key's line says when it ends and from where it may be used", () => {
  const [key] = parseKeys({
    keys: [{ name: "a", addresses: ["192.0.2.7"], expires: "2026-11-23T11:00:00Z" }],
  });
  if (key === undefined) throw new Error("no key");
  expect(keyLine(key, NOW)).toMatch(/^ended .+ · only from 192\.0\.2\.7$/);
  expect(keyLine(key, NOW - 7_200_000)).toMatch(/^until /);
  expect(keyLine({ ...key, srtBytes: 16 }, NOW)).toMatch(/ · SRT with AES-128$/);
  expect(keyLine({ ...key, expires: null, addresses: [], fixed: true }, NOW)).toBe(
    "set in the configuration file",
  );
});

test("networks are typed with commas, spaces or on lines", () => {
  expect(parseNetworks(" 192.0.2.0/24, 10.0.0.0/8\n2001:db8::/32 ")).toEqual([
    "192.0.2.0/24",
    "10.0.0.0/8",
    "2001:db8::/32",
  ]);
  expect(parseNetworks("  ")).toEqual([]);
});

import { expect, test } from "vitest";
import { parseChannels, parseTokens, parseUsers, scopeWords, tokenLine, userLine } from "./operators";

test("users and tokens are read, and what is none is left out", () => {
  const anna = { name: "anna", role: "admin", channels: null, created: "2026-11-22T12:00:00Z" };
  const created = Date.parse("2026-11-22T12:00:00Z");
  expect(parseUsers({ users: [anna, null, {}, { name: "x", role: "root" }, { role: "admin" }] })).toEqual([
    { name: "anna", role: "admin", channels: null, created },
  ]);
  const ci = { ...anna, name: "ci", role: "operator", channels: ["news"], expired: true };
  expect(parseTokens({ tokens: [{ ...ci, expires: "2026-11-22T13:00:00Z", last_used: "x" }, 7] })).toEqual([
    {
      name: "ci",
      role: "operator",
      channels: ["news"],
      created,
      expires: created + 3_600_000,
      expired: true,
      lastUsed: null,
    },
  ]);
  expect(parseUsers(null)).toEqual([]);
  expect(parseTokens({ tokens: "none" })).toEqual([]);
});

test("what is typed", () => {
  expect(parseChannels(" news, acme-* ;x")).toEqual(["news", "acme-*", "x"]);
  expect(parseChannels(" , ")).toBe(null);
});

test("lines", () => {
  const grant = { role: "operator" as const, channels: ["news", "acme-*"] };
  expect(scopeWords(grant)).toBe("for news, acme-*");
  expect(scopeWords({ role: "viewer", channels: null })).toBe("for all channels");
  expect(userLine({ name: "a", ...grant, created: null })).toBe("for news, acme-*");
  const token = { name: "a", ...grant, created: null, expires: null, expired: false, lastUsed: null };
  expect(tokenLine(token)).toBe("for news, acme-* · does not end · not used since the server started");
  expect(tokenLine({ ...token, expires: 0, expired: true, lastUsed: 0 })).toMatch(/ · ended .* · used /);
});

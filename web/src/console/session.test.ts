import { describe, expect, test } from "vitest";
import { credentials, may, mayCreate, mustLogIn, parseSession, whyNot } from "./session";

describe("session", () => {
  test("who is logged in", () => {
    const anna = { name: "anna", kind: "user", role: "operator", channels: ["news"] };
    const session = parseSession({ required: true, caller: anna });
    expect(session).toEqual({ required: true, caller: anna, openid: null });
    expect(mustLogIn(session)).toBe(false);
    expect(parseSession({ required: true, caller: { ...anna, channels: null } }).caller?.channels).toBe(null);
  });

  test("nobody, and what cannot be read", () => {
    for (const value of [
      null,
      {},
      [],
      { required: true },
      { required: true, caller: { name: "x", role: "root" } },
    ]) {
      expect(mustLogIn(parseSession(value))).toBe(true);
    }
    expect(mustLogIn(parseSession({ required: false, caller: null }))).toBe(false);
  });

  test("a log-in elsewhere begins here", () => {
    const openid = (text: unknown) => parseSession({ required: true, openid: text }).openid;
    expect(openid("/api/v1/session/openid")).toBe("/api/v1/session/openid");
    for (const wrong of ["//evil.example", "/\\evil.example", "https://evil.example", 7, null]) {
      expect(openid(wrong)).toBe(null);
    }
    expect(whyNot("#log-in=no-role")).toContain("no role");
    expect(whyNot("#/new")).toBe(null);
  });

  test("what a role may do", () => {
    const caller = { name: "a", kind: "user", role: "operator" as const, channels: null };
    expect(may(caller, "viewer", true) && may(caller, "operator", true)).toBe(true);
    expect(may(caller, "admin", false)).toBe(false);
    expect(may({ ...caller, channels: ["news"] }, "operator", false)).toBe(true);
    expect(may({ ...caller, channels: ["news"] }, "viewer", true)).toBe(false);
    expect(may(null, "viewer", false)).toBe(false);
  });

  test("a channel is created where a name is free", () => {
    const caller = { name: "a", kind: "user", role: "operator" as const, channels: ["news", "acme-*"] };
    expect(mayCreate(caller, ["news"])).toBe(true);
    expect(mayCreate({ ...caller, channels: ["news"] }, ["sport"])).toBe(true);
    expect(mayCreate({ ...caller, channels: ["news"] }, ["news"])).toBe(false);
    expect(mayCreate({ ...caller, channels: null }, ["news"])).toBe(true);
    expect(mayCreate({ ...caller, role: "viewer" }, [])).toBe(false);
    expect(mayCreate(null, [])).toBe(false);
  });

  test("a token stands for user and password", () => {
    expect(credentials("", " mst_abc \n")).toEqual({ token: "mst_abc" });
    expect(credentials(" anna ", "correct horse ")).toEqual({ user: "anna", password: "correct horse " });
    expect(credentials("anna", "mst_abc")).toEqual({ user: "anna", password: "mst_abc" });
  });
});

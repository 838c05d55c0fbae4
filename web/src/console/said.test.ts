import { expect, test } from "vitest";
import { refusal, said } from "./api";

test("a refusal names what it is about, in words", () => {
  const errors = [
    { field: "channels", message: "is no list of names" },
    { field: "ladder", message: "is empty" },
    { field: "", message: "nothing changes" },
  ];
  const all = refusal(422, { detail: "not valid", errors });
  expect(said(all)).toBe("The list of channels is no list of names; ladder: is empty; nothing changes");
  expect(said(refusal(409, { detail: "this is the last admin" }))).toBe("this is the last admin");
});

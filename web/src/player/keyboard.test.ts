import { expect, test } from "vitest";
import { command } from "./keyboard";
import { SHORTCUTS } from "./words";

const key = (name: string, more = {}) => ({
  key: name,
  ctrlKey: false,
  metaKey: false,
  altKey: false,
  ...more,
});

test("every listed shortcut does something, and nothing else does", () => {
  const shown: Record<string, string> = {
    Space: " ",
    "↑": "ArrowUp",
    "↓": "ArrowDown",
    "←": "ArrowLeft",
    "→": "ArrowRight",
  };
  const listed = SHORTCUTS.flatMap(([keys]) => keys.split(/[ ,]+/)).map((k) => shown[k] ?? k);
  expect(listed).toHaveLength(12);
  for (const name of listed) expect(command(key(name), false), name).not.toBeNull();
  for (const name of ["a", "Tab", "Escape", "Enter", "1"]) expect(command(key(name), false), name).toBeNull();
});

test("the browser's own shortcuts stay its own", () => {
  for (const modifier of ["ctrlKey", "metaKey", "altKey"]) {
    expect(command(key("f", { [modifier]: true }), false)).toBeNull();
  }
});

test("a focused button keeps space and the arrows", () => {
  expect(command(key(" "), true)).toBeNull();
  expect(command(key("ArrowUp"), true)).toBeNull();
  expect(command(key("m"), true)).toBe("mute");
});

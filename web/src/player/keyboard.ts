// Keys to commands. Pure, so that the list in words.ts can be held against it.

export type Command =
  | "play"
  | "mute"
  | "fullscreen"
  | "pip"
  | "captions"
  | "live"
  | "help"
  | "louder"
  | "quieter"
  | "back"
  | "forward";

export interface Key {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
}

const COMMANDS: Record<string, Command> = {
  " ": "play",
  k: "play",
  m: "mute",
  f: "fullscreen",
  p: "pip",
  c: "captions",
  l: "live",
  "?": "help",
  arrowup: "louder",
  arrowdown: "quieter",
  arrowleft: "back",
  arrowright: "forward",
};

/** The command of a key pressed on the page; `onWidget` if a button, slider or field has the focus. */
export function command(event: Key, onWidget: boolean): Command | null {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  // A focused control keeps the keys that work it.
  if (onWidget && (event.key === " " || event.key.startsWith("Arrow"))) return null;
  return COMMANDS[event.key.toLowerCase()] ?? null;
}

// Files on their way to becoming recordings: read from the API, said in words, and sent piece by piece. An upload that
// broke off goes on where it was, also after the page was closed: the server knows how much it has.

import { byteSize, duration } from "../player/format";
import { ApiError, call, send } from "./api";

const STATES = ["uploading", "waiting", "importing", "done", "failed", "cancelled"] as const;

export interface Import {
  id: string;
  /** The recording that it makes. */
  asset: string;
  title: string;
  file: string;
  /** Bytes of the file, and those that the server has. */
  size: number;
  received: number;
  state: (typeof STATES)[number];
  /** 0 to 1: of the upload, then of the encoding. */
  share: number;
  /** Media seconds encoded in each second. */
  speed: number;
  secondsLeft: number | null;
  error: string | null;
  notes: string[];
}

export function parseImport(value: unknown): Import | null {
  const f = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const text = (v: unknown) => (typeof v === "string" && v !== "" ? v : null);
  const number = (v: unknown) => (typeof v === "number" && Number.isFinite(v) ? v : 0);
  const id = text(f.id);
  const state = STATES.find((known) => known === f.state);
  if (id === null || state === undefined) return null;
  const asset = text(f.asset) ?? id;
  return {
    id,
    asset,
    title: text(f.title) ?? text(f.file) ?? asset,
    file: text(f.file) ?? "",
    size: number(f.size),
    received: number(f.received),
    state,
    share: Math.min(1, Math.max(0, number(f.share))),
    speed: number(f.speed),
    secondsLeft: typeof f.seconds_left === "number" ? f.seconds_left : null,
    error: text(f.error),
    notes: Array.isArray(f.notes) ? f.notes.filter((note) => typeof note === "string") : [],
  };
}

export function parseImports(value: unknown): Import[] {
  const { imports } = (value ?? {}) as { imports?: unknown };
  return (Array.isArray(imports) ? imports : []).map(parseImport).filter((i) => i !== null);
}

/** What is worth showing: what goes on, what failed, and what was made with something left out. */
export function isShown(i: Import): boolean {
  return !["done", "cancelled"].includes(i.state) || (i.state === "done" && i.notes.length > 0);
}

export function isActive(i: Import): boolean {
  return ["uploading", "waiting", "importing"].includes(i.state);
}

/** Where an import is, in a line. `here` says that this page sends its file. */
export function importLine(i: Import, here: boolean): string {
  const percent = `${Math.floor(i.share * 100)} %`;
  switch (i.state) {
    case "uploading":
      return here
        ? `Uploading, ${percent} of ${byteSize(i.size)}`
        : `${byteSize(i.received)} of ${byteSize(i.size)} are here. Choose ${i.file === "" ? "the file" : `“${i.file}”`} again to go on.`;
    case "waiting":
      return "Waiting for another import to finish";
    case "importing": {
      const speed = i.speed > 0 ? `, ${i.speed.toFixed(1)} times real time` : "";
      const left = i.secondsLeft === null ? "" : `, ${duration(Math.max(1, i.secondsLeft))} left`;
      return `Encoding, ${percent}${speed}${left}`;
    }
    case "done":
      return "Done, with remarks";
    case "failed":
      return "Failed";
    case "cancelled":
      return "Cancelled";
  }
}

export async function listImports(): Promise<Import[]> {
  return parseImports(await call("GET", "/imports"));
}

/** Ends an import and deletes what it made; one that is over is forgotten. */
export async function dropImport(id: string): Promise<void> {
  await call("DELETE", `/imports/${encodeURIComponent(id)}`);
}

/** So much is sent at once, in bytes. */
const PIECE = 4 << 20;
/** Attempts in a row that may fail, and the waits between them. */
const MOST_FAILURES = 30;
const LONGEST_WAIT_MS = 10_000;

/** Sends a file, from where the server has it on. `onPiece` is told what the server has. */
export async function upload(
  file: File,
  onStart: (id: string) => void,
  onPiece: (received: number) => void,
  signal: AbortSignal,
): Promise<void> {
  // Says that it is the same file to go on with, without reading it.
  const fingerprint = `${file.lastModified}-${file.size}-${file.name}`.slice(0, 128);
  const made = parseImport(await call("POST", "/imports", { size: file.size, file: file.name, fingerprint }));
  if (made === null) throw new ApiError("The server’s answer is no import.", 200);
  onStart(made.id);
  const path = `/imports/${encodeURIComponent(made.id)}/file`;
  let offset: number | null = made.received;
  let failures = 0;
  while (offset === null || offset < file.size) {
    try {
      if (offset === null) offset = offsetOf(await send("HEAD", path, {}, null, signal));
      if (offset >= file.size) break;
      const headers = {
        "content-type": "application/offset+octet-stream",
        "upload-offset": String(offset),
        "tus-resumable": "1.0.0",
      };
      offset = offsetOf(await send("PATCH", path, headers, file.slice(offset, offset + PIECE), signal));
      failures = 0;
      onPiece(offset);
    } catch (error) {
      const { status } = error as ApiError;
      // Nobody answers, the server has trouble, or it has other bytes than this page thinks: ask it, and go on.
      const passes = status === 0 || status === 409 || status >= 500;
      if (signal.aborted || !passes || status === 507 || ++failures >= MOST_FAILURES) throw error;
      offset = null;
      await new Promise((resolve) => setTimeout(resolve, Math.min(LONGEST_WAIT_MS, 250 * 2 ** failures)));
    }
  }
}

function offsetOf(response: Response): number {
  const offset = Number(response.headers.get("upload-offset") ?? Number.NaN);
  if (!Number.isInteger(offset))
    throw new ApiError("The server does not say how much of the file it has.", 200);
  return offset;
}

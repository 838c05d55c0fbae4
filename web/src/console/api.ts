// The operators' API. A refusal carries the server's own words; nothing is guessed or translated here.

import { type Asset, parseAsset, parseAssets, parseStorage, type Storage } from "./assets";
import { type Channel, parseChannel, parseChannels, parseServer, type ServerInfo } from "./model";
import { parseSession, type Session } from "./session";

/** A setting that the server did not accept, and why. */
export interface SettingError {
  field: string;
  message: string;
}

export class ApiError extends Error {
  constructor(
    message: string,
    /** HTTP status; 0 if the server did not answer. */
    readonly status: number,
    readonly settings: SettingError[] = [],
  ) {
    super(message);
  }
}

/** Reads a refusal: problem details where the server sent them, the bare status where not. */
export function refusal(status: number, body: unknown): ApiError {
  const f = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  const settings = (Array.isArray(f.errors) ? f.errors : []).flatMap((e: unknown) => {
    const { field, message } = (e ?? {}) as Record<string, unknown>;
    return typeof message === "string" ? [{ field: typeof field === "string" ? field : "", message }] : [];
  });
  const detail = [f.detail, f.title].find((v): v is string => typeof v === "string" && v !== "");
  return new ApiError(detail ?? `The server answered ${status}.`, status, settings);
}

/** What settings are called in sentences. */
const LABELS: Record<string, string> = {
  name: "The name",
  channels: "The list of channels",
  role: "The role",
  password: "The password",
  present: "The present password",
};

/** A refusal in words: each setting that was not accepted, else the whole. */
export function said(error: ApiError): string {
  const own = error.settings.map(({ field, message }) => {
    const label = LABELS[field];
    if (label !== undefined) return `${label} ${message}`;
    return field === "" ? message : `${field}: ${message}`;
  });
  return own.length > 0 ? own.join("; ") : error.message;
}

/** Sent to the window when a request is refused because nobody is logged in any more. */
export const SIGNED_OUT = "millstream:signed-out";

const TIMEOUT_MS = 10_000;
/** A clip that is cut at frames is answered when it plays: within a minute. */
const PRECISE_TIMEOUT_MS = 75_000;

export async function call(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
  timeoutMs = TIMEOUT_MS,
): Promise<unknown> {
  let response: Response;
  let answer: unknown = null;
  try {
    response = await fetch(`/api/v1${path}`, {
      method,
      headers: body === undefined ? headers : { ...headers, "content-type": "application/json" },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(timeoutMs),
    });
    const text = await response.text();
    if (text !== "") {
      try {
        answer = JSON.parse(text);
      } catch {
        answer = { detail: text.slice(0, 500) };
      }
    }
  } catch {
    throw new ApiError("The server does not answer. Is it running?", 0);
  }
  if (response.status === 401 && path !== "/session") dispatchEvent(new Event(SIGNED_OUT));
  if (!response.ok) throw refusal(response.status, answer);
  return answer;
}

/** The same for what is no JSON: bytes of a file, which may take as long as they take. */
export async function send(
  method: string,
  path: string,
  headers: Record<string, string>,
  body: Blob | null,
  signal: AbortSignal,
): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, { method, headers, body, signal });
  } catch {
    throw new ApiError("The server does not answer. Is it running?", 0);
  }
  if (!response.ok) throw refusal(response.status, await response.json().catch(() => null));
  return response;
}

function one(value: unknown): Channel {
  const channel = parseChannel(value);
  if (channel === null) throw new ApiError("The server’s answer is no channel.", 200);
  return channel;
}

function key(value: unknown): string | null {
  const k = (value as { stream_key?: unknown } | null)?.stream_key;
  return typeof k === "string" ? k : null;
}

function asset(value: unknown): Asset {
  const read = parseAsset(value);
  if (read === null) throw new ApiError("The server’s answer is no recording.", 200);
  return read;
}

const path = (name: string) => `/channels/${encodeURIComponent(name)}`;

export const api = {
  session: async (): Promise<Session> => parseSession(await call("GET", "/session")),
  logIn: async (credentials: object): Promise<Session> =>
    parseSession(await call("POST", "/session", credentials)),
  logOut: async (): Promise<void> => {
    await call("DELETE", "/session");
  },
  channels: async (): Promise<Channel[]> => parseChannels(await call("GET", "/channels")),
  server: async (): Promise<ServerInfo> => parseServer(await call("GET", "/server")),
  create: async (settings: object): Promise<{ channel: Channel; key: string | null }> => {
    const answer = await call("POST", "/channels", settings);
    return { channel: one(answer), key: key(answer) };
  },
  /** `revision` refuses the change if somebody else made one since. */
  change: async (name: string, settings: object, revision: string | null): Promise<Channel> =>
    one(await call("PATCH", path(name), settings, revision === null ? {} : { "if-match": `"${revision}"` })),
  remove: async (name: string): Promise<void> => {
    await call("DELETE", path(name));
  },
  start: async (name: string): Promise<Channel> => one(await call("POST", `${path(name)}/start`)),
  stop: async (name: string): Promise<Channel> => one(await call("POST", `${path(name)}/stop`)),
  rotateKey: async (name: string): Promise<string | null> =>
    key(await call("POST", `${path(name)}/rotate-key`)),
  assets: async (cursor: string | null): Promise<{ assets: Asset[]; next: string | null }> =>
    parseAssets(
      await call("GET", `/assets${cursor === null ? "" : `?cursor=${encodeURIComponent(cursor)}`}`),
    ),
  asset: async (id: string): Promise<Asset> => asset(await call("GET", `/assets/${id}`)),
  removeAsset: async (id: string): Promise<void> => {
    await call("DELETE", `/assets/${id}`);
  },
  /** `start` and `end` in ISO 8601. */
  clip: async (of: string, start: string, end: string, title: string, precise: boolean): Promise<Asset> => {
    const body = { asset: of, start, end, precise, ...(title === "" ? {} : { title }) };
    return asset(await call("POST", "/clips", body, {}, precise ? PRECISE_TIMEOUT_MS : TIMEOUT_MS));
  },
  storage: async (): Promise<Storage> => parseStorage(await call("GET", "/storage")),
};

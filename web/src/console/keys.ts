// The stream keys of a channel as the API tells them. A key itself is shown once, by what makes it.

import { ApiError, call } from "./api";

export interface Key {
  name: string;
  /** It stands in the configuration file and is changed there. */
  fixed: boolean;
  /** Networks it may be used from; empty for anywhere. */
  addresses: string[];
  /** ms since 1970; `null` if unknown, or for no end. */
  created: number | null;
  expires: number | null;
  /** A publisher that it let in is connected. */
  publishing: boolean;
  /** Length of its AES keys for SRT in bytes; `null` if it has no passphrase. */
  srtBytes: number | null;
}

export interface NewKey {
  name: string;
  expires: number | null;
  addresses: string[];
  /** With a passphrase for SRT, and AES keys of so many bytes. */
  srtBytes: number | null;
}

/** What is shown once. */
export interface Secrets {
  key: string;
  passphrase: string | null;
}

export function parseKey(value: unknown): Key | null {
  const f = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const time = (v: unknown) => {
    const ms = typeof v === "string" ? Date.parse(v) : Number.NaN;
    return Number.isNaN(ms) ? null : ms;
  };
  if (typeof f.name !== "string" || f.name === "") return null;
  return {
    name: f.name,
    fixed: f.managed_by === "config",
    addresses: Array.isArray(f.addresses) ? f.addresses.filter((a) => typeof a === "string") : [],
    created: time(f.created),
    expires: time(f.expires),
    publishing: f.publishing === true,
    srtBytes: typeof f.srt_key_bytes === "number" ? f.srt_key_bytes : null,
  };
}

export function parseKeys(value: unknown): Key[] {
  const { keys } = (value ?? {}) as { keys?: unknown };
  return (Array.isArray(keys) ? keys : []).map(parseKey).filter((k) => k !== null);
}

/** "192.0.2.0/24, 2001:db8::/32" as it is typed. */
export function parseNetworks(text: string): string[] {
  return text.split(/[\s,;]+/).filter((word) => word !== "");
}

/** What is known of a key, in a line. */
export function keyLine(key: Key, now: number): string {
  const day = (ms: number) =>
    new Date(ms).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  const words = [];
  if (key.expires !== null) words.push(`${key.expires <= now ? "ended" : "until"} ${day(key.expires)}`);
  if (key.addresses.length > 0) words.push(`only from ${key.addresses.join(", ")}`);
  if (key.srtBytes !== null) words.push(`SRT with AES-${key.srtBytes * 8}`);
  if (key.fixed) words.push("set in the configuration file");
  else if (key.created !== null) words.push(`made ${day(key.created)}`);
  return words.join(" · ");
}

const path = (channel: string, key?: string) =>
  `/channels/${encodeURIComponent(channel)}/keys${key === undefined ? "" : `/${encodeURIComponent(key)}`}`;

function secrets(value: unknown): Secrets {
  const { stream_key, srt_passphrase } = (value ?? {}) as { stream_key?: unknown; srt_passphrase?: unknown };
  if (typeof stream_key !== "string") throw new ApiError("The server’s answer has no key.", 200);
  return { key: stream_key, passphrase: typeof srt_passphrase === "string" ? srt_passphrase : null };
}

export const keysApi = {
  list: async (channel: string): Promise<Key[]> => parseKeys(await call("GET", path(channel))),
  add: async (channel: string, { name, expires, addresses, srtBytes }: NewKey): Promise<Secrets> =>
    secrets(
      await call("POST", path(channel), {
        name,
        ...(expires === null ? {} : { expires: new Date(expires).toISOString() }),
        ...(addresses.length === 0 ? {} : { addresses }),
        ...(srtBytes === null ? {} : { srt_key_bytes: srtBytes }),
      }),
    ),
  rotate: async (channel: string, key: string): Promise<Secrets> =>
    secrets(await call("POST", `${path(channel, key)}/rotate`)),
  revoke: async (channel: string, key: string): Promise<void> => {
    await call("DELETE", path(channel, key));
  },
};

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
}

export interface NewKey {
  name: string;
  expires: number | null;
  addresses: string[];
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
  if (key.fixed) words.push("set in the configuration file");
  else if (key.created !== null) words.push(`made ${day(key.created)}`);
  return words.join(" · ");
}

const path = (channel: string, key?: string) =>
  `/channels/${encodeURIComponent(channel)}/keys${key === undefined ? "" : `/${encodeURIComponent(key)}`}`;

function secret(value: unknown): string {
  const { stream_key } = (value ?? {}) as { stream_key?: unknown };
  if (typeof stream_key !== "string") throw new ApiError("The server’s answer has no key.", 200);
  return stream_key;
}

export const keysApi = {
  list: async (channel: string): Promise<Key[]> => parseKeys(await call("GET", path(channel))),
  add: async (channel: string, { name, expires, addresses }: NewKey): Promise<string> =>
    secret(
      await call("POST", path(channel), {
        name,
        ...(expires === null ? {} : { expires: new Date(expires).toISOString() }),
        ...(addresses.length === 0 ? {} : { addresses }),
      }),
    ),
  rotate: async (channel: string, key: string): Promise<string> =>
    secret(await call("POST", `${path(channel, key)}/rotate`)),
  revoke: async (channel: string, key: string): Promise<void> => {
    await call("DELETE", path(channel, key));
  },
};

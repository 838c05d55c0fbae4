// Users and tokens as the API tells them, and what is typed about them. A token itself is shown once, by what makes it.

import { ApiError, call } from "./api";
import { ROLES, type Role } from "./session";

/** What somebody may do. */
export interface Grant {
  role: Role;
  /** The channels it holds for, such as `news` or `acme-*`; `null` for all. */
  channels: string[] | null;
}

export interface User extends Grant {
  name: string;
  /** ms since 1970; `null` if unknown. */
  created: number | null;
}

export interface Token extends User {
  /** `null` for no end. */
  expires: number | null;
  /** It has ended, by the server's clock. */
  expired: boolean;
  /** Since the server started. */
  lastUsed: number | null;
}

type Fields = Record<string, unknown>;

function fieldsOf(value: unknown): Fields {
  return (typeof value === "object" && value !== null ? value : {}) as Fields;
}

function time(value: unknown): number | null {
  const ms = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? null : ms;
}

function parseUser(value: unknown): User | null {
  const f = fieldsOf(value);
  const role = ROLES.find((r) => r === f.role);
  if (typeof f.name !== "string" || f.name === "" || role === undefined) return null;
  const channels = Array.isArray(f.channels) ? f.channels.filter((c) => typeof c === "string") : null;
  return { name: f.name, role, channels, created: time(f.created) };
}

export function parseUsers(value: unknown): User[] {
  const { users } = fieldsOf(value);
  return (Array.isArray(users) ? users : []).map(parseUser).filter((u) => u !== null);
}

export function parseTokens(value: unknown): Token[] {
  const { tokens } = fieldsOf(value);
  return (Array.isArray(tokens) ? tokens : []).flatMap((t) => {
    const user = parseUser(t);
    const f = fieldsOf(t);
    if (user === null) return [];
    return [{ ...user, expires: time(f.expires), expired: f.expired === true, lastUsed: time(f.last_used) }];
  });
}

/** "news, acme-*" as it is typed; nothing is all channels. */
export function parseChannels(text: string): string[] | null {
  const names = text.split(/[\s,;]+/).filter((word) => word !== "");
  return names.length === 0 ? null : names;
}

function day(ms: number): string {
  return new Date(ms).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** "for news, acme-*"; "for all channels". */
export function scopeWords(grant: Grant): string {
  if (grant.role === "admin") return "for everything";
  return grant.channels === null ? "for all channels" : `for ${grant.channels.join(", ")}`;
}

/** What is known of a user, in a line. */
export function userLine(user: User): string {
  return [scopeWords(user), user.created === null ? "" : `added ${day(user.created)}`]
    .filter((word) => word !== "")
    .join(" · ");
}

/** What is known of a token, in a line. */
export function tokenLine(token: Token): string {
  const words = [scopeWords(token)];
  if (token.expires === null) words.push("does not end");
  else words.push(`${token.expired ? "ended" : "until"} ${day(token.expires)}`);
  words.push(token.lastUsed === null ? "not used since the server started" : `used ${day(token.lastUsed)}`);
  return words.join(" · ");
}

const DAY_MS = 86_400_000;

/** For how long a token can be made. */
export const LASTS: { label: string; ms: number | null }[] = [
  { label: "30 days", ms: 30 * DAY_MS },
  { label: "90 days", ms: 90 * DAY_MS },
  { label: "A year", ms: 365 * DAY_MS },
  { label: "Until it is revoked", ms: null },
];

/** The fields of a body. An admin is for everything, whatever is typed beside it. */
function grantFields(grant: Grant): Fields {
  return { role: grant.role, channels: grant.role === "admin" ? null : grant.channels };
}

const user = (name: string) => `/users/${encodeURIComponent(name)}`;

export const operatorsApi = {
  users: async (): Promise<User[]> => parseUsers(await call("GET", "/users")),
  tokens: async (): Promise<Token[]> => parseTokens(await call("GET", "/tokens")),
  addUser: async (name: string, password: string, grant: Grant): Promise<void> => {
    await call("POST", "/users", { name, password, ...grantFields(grant) });
  },
  changeUser: async (name: string, grant: Grant): Promise<void> => {
    await call("PATCH", user(name), grantFields(grant));
  },
  setPassword: async (name: string, password: string): Promise<void> => {
    await call("PATCH", user(name), { password });
  },
  removeUser: async (name: string): Promise<void> => {
    await call("DELETE", user(name));
  },
  addToken: async (name: string, grant: Grant, expires: number | null): Promise<string> => {
    const ends = expires === null ? {} : { expires: new Date(expires).toISOString() };
    const { token } = fieldsOf(await call("POST", "/tokens", { name, ...grantFields(grant), ...ends }));
    if (typeof token !== "string") throw new ApiError("The server’s answer has no token.", 200);
    return token;
  },
  revokeToken: async (name: string): Promise<void> => {
    await call("DELETE", `/tokens/${encodeURIComponent(name)}`);
  },
  ownPassword: async (present: string, password: string): Promise<void> => {
    await call("POST", "/session/password", { present, password });
  },
};

// Who is logged in, read as tolerantly as channels. Pure.

export type Role = "viewer" | "operator" | "admin";

/** The least first; each may do all that the one before may. */
export const ROLES: Role[] = ["viewer", "operator", "admin"];

export interface Caller {
  name: string;
  role: Role;
  /** `user`, `openid`, `token`, `first_token`, `configuration` or `machine`. */
  kind: string;
  /** The channels it is for; `null` for all. */
  channels: string[] | null;
}

export interface Session {
  /** Whether somebody must log in. */
  required: boolean;
  caller: Caller | null;
  /** Where a log-in by the organisation's own service begins; `null` if there is none. */
  openid: string | null;
}

/** Why a log-in by that service came to nothing, from the address it ends at. */
export function whyNot(hash: string): string | null {
  const why = {
    "#log-in=no-role": "You are known, but have no role here. Ask an admin for one.",
    "#log-in=ended": "That log-in took too long, or was broken off. Try again.",
    "#log-in=away":
      "The log-in service cannot be used now. Try again, or log in with a user and password. The server’s log says why.",
    "#log-in=failed": "The log-in service gave no usable answer. The server’s log says why.",
  }[hash];
  return why ?? null;
}

export function parseSession(value: unknown): Session {
  const f = (value ?? {}) as Record<string, unknown>;
  const c = (f.caller ?? null) as Record<string, unknown> | null;
  const role = ROLES.find((r) => r === c?.role);
  // Only an address of this server: a page elsewhere is not where one logs in.
  const openid = typeof f.openid === "string" && /^\/[^/\\]/.test(f.openid) ? f.openid : null;
  // What cannot be read is nobody: the server refuses anyway.
  if (c === null || role === undefined || typeof c.name !== "string") {
    return { required: f.required !== false, caller: null, openid };
  }
  const channels = Array.isArray(c.channels) ? c.channels.filter((n) => typeof n === "string") : null;
  const kind = typeof c.kind === "string" ? c.kind : "";
  return { required: f.required !== false, caller: { name: c.name, role, kind, channels }, openid };
}

/** Whether somebody has a role, for the whole server if it takes that. */
export function may(caller: Caller | null, role: Role, wholeServer: boolean): boolean {
  if (caller === null || (wholeServer && caller.channels !== null)) return false;
  return ROLES.indexOf(caller.role) >= ROLES.indexOf(role);
}

/** Whether somebody may create a channel, with these there already: one of their names. */
export function mayCreate(caller: Caller | null, there: string[]): boolean {
  if (!may(caller, "operator", false)) return false;
  const theirs = caller?.channels ?? null;
  return theirs === null || theirs.some((name) => name.endsWith("*") || !there.includes(name));
}

/** Whether the page asks for a log-in. */
export function mustLogIn(session: Session): boolean {
  return session.required && session.caller === null;
}

/** What a text in the one field of the log-in is. */
export function credentials(user: string, secret: string): Record<string, string> {
  const token = secret.trim();
  if (user.trim() === "" && token.startsWith("mst_")) return { token };
  return { user: user.trim(), password: secret };
}

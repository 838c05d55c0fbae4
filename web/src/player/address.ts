// Which channel a page is about, and how: read from its address. Pure.

import type { PlayerOptions } from "./player";

/** The name in `/watch/NAME` or `/embed/NAME`; empty if there is none or it is not valid text. */
export function channelOf(pathname: string): string {
  const encoded = /^\/(?:watch|embed)\/([^/]+)\/?$/.exec(pathname)?.[1] ?? "";
  try {
    return decodeURIComponent(encoded);
  } catch {
    return "";
  }
}

/** The name in `/watch/vod/NAME`; empty if it is another address. */
export function assetOf(pathname: string): string {
  return /^\/watch\/vod\/([a-z0-9][a-z0-9_-]{0,127})\/?$/.exec(pathname)?.[1] ?? "";
}

/** `?autoplay=0`, `?muted=1`: what a page that embeds the player may ask for. */
export function wishes(search: string): Pick<PlayerOptions, "autoplay" | "muted"> {
  const query = new URLSearchParams(search);
  const flag = (name: string, fallback: boolean) => {
    const value = query.get(name);
    return value === null ? fallback : !["0", "false", "no"].includes(value);
  };
  return { autoplay: flag("autoplay", true), muted: flag("muted", false) };
}

// Which part of the console is open, kept in the address after the "#", so that back and reload work.

import { useEffect, useState } from "preact/hooks";

export type Route =
  | { page: "list" }
  | { page: "new" }
  | { page: "recordings" }
  | { page: "users" }
  | { page: "password" }
  | { page: "recording"; id: string }
  | { page: "channel"; name: string }
  | { page: "edit"; name: string };

export function parseRoute(hash: string): Route {
  if (hash === "#/users") return { page: "users" };
  if (hash === "#/password") return { page: "password" };
  const asset = /^#\/recordings(?:\/([a-z0-9][a-z0-9_-]{0,127}))?$/.exec(hash);
  if (asset !== null) return asset[1] ? { page: "recording", id: asset[1] } : { page: "recordings" };
  const match = /^#\/(new$|channels\/([a-z0-9][a-z0-9_-]{0,63})(\/edit)?$)/.exec(hash);
  if (match === null) return { page: "list" };
  if (match[1] === "new") return { page: "new" };
  return { page: match[3] ? "edit" : "channel", name: match[2] ?? "" };
}

export function hashOf(route: Route): string {
  switch (route.page) {
    case "list":
      return "#/";
    case "users":
      return "#/users";
    case "password":
      return "#/password";
    case "recordings":
      return "#/recordings";
    case "recording":
      return `#/recordings/${route.id}`;
    case "new":
      return "#/new";
    case "channel":
      return `#/channels/${route.name}`;
    case "edit":
      return `#/channels/${route.name}/edit`;
  }
}

export function go(route: Route): void {
  location.hash = hashOf(route);
}

export function useRoute(): Route {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  useEffect(() => {
    const onHash = () => {
      setRoute(parseRoute(location.hash));
      scrollTo(0, 0);
    };
    addEventListener("hashchange", onHash);
    return () => removeEventListener("hashchange", onHash);
  }, []);
  return route;
}

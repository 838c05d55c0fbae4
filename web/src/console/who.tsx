// Who is logged in, and the way out.

import { type ComponentChildren, createContext } from "preact";
import { useContext } from "preact/hooks";
import { may, type Role, type Session } from "./session";
import { hashOf } from "./use-route";

interface Door {
  session: Session;
  leave: () => Promise<void>;
}

export const DoorContext = createContext<Door | null>(null);

export function useDoor(): Door | null {
  return useContext(DoorContext);
}

/** Whether who is logged in has this role. What it takes to ask is not even asked for without it. */
export function useMay(role: Role, wholeServer = false): boolean {
  const caller = useContext(DoorContext)?.session.caller ?? null;
  return may(caller, role, wholeServer);
}

/** Nothing where nobody has to log in. */
export function Who() {
  const door = useContext(DoorContext);
  const caller = door?.session.caller;
  if (door === null || !caller || caller.kind === "machine") return null;
  return (
    <details class="who">
      <summary>{caller.name}</summary>
      <div class="who-menu">
        <p>
          <strong>{caller.name}</strong>
        </p>
        <p class="muted">
          {caller.role}
          {caller.channels === null ? "" : `, for ${caller.channels.join(", ")}`}
        </p>
        {caller.kind === "user" ? (
          <a
            class="button small"
            href={hashOf({ page: "password" })}
            onClick={(event) => event.currentTarget.closest("details")?.removeAttribute("open")}
          >
            Change password
          </a>
        ) : null}
        <button type="button" class="button small" onClick={() => void door.leave()}>
          Log out
        </button>
      </div>
    </details>
  );
}

/** A page that takes a role, or why there is none. */
export function Needs(props: { least: Role; wholeServer?: boolean; children: ComponentChildren }) {
  const caller = useDoor()?.session.caller ?? null;
  if (useMay(props.least, props.wholeServer)) return <>{props.children}</>;
  return (
    <div class="empty-state">
      <h1>This is not for you</h1>
      <p>
        {caller === null || may(caller, props.least, false)
          ? "It belongs to the whole server, and you are for some channels only."
          : `It needs the role ${props.least}, and yours is ${caller.role}.`}{" "}
        Ask an admin.
      </p>
      <a class="button" href="#/">
        All channels
      </a>
    </div>
  );
}

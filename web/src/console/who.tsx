// Who is logged in, and the way out.

import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { may, type Role, type Session } from "./session";

interface Door {
  session: Session;
  leave: () => Promise<void>;
}

export const DoorContext = createContext<Door | null>(null);

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
        <button type="button" class="button small" onClick={() => void door.leave()}>
          Log out
        </button>
      </div>
    </details>
  );
}

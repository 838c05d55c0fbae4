// Whoever is logged in as a user changes the own password here.

import { useState } from "preact/hooks";
import { type ApiError, said } from "./api";
import { operatorsApi } from "./operators";
import { PasswordField } from "./password-field";
import { useDoor } from "./who";
import "./users.css";

export function PasswordPage() {
  const caller = useDoor()?.session.caller ?? null;
  const [present, setPresent] = useState("");
  const [next, setNext] = useState("");
  const [again, setAgain] = useState("");
  const [busy, setBusy] = useState(false);
  const [done, setDone] = useState(false);
  const [error, setError] = useState<string | null>(null);
  if (caller?.kind !== "user") {
    return (
      <main class="empty-state">
        <h1>There is no password to change</h1>
        <p>Only users have one. You are not logged in as a user.</p>
        <a class="button" href="#/">
          All channels
        </a>
      </main>
    );
  }
  const submit = async (event: Event) => {
    event.preventDefault();
    setDone(false);
    setError(null);
    if (next !== again) {
      setError("The two new passwords are not the same. Type the same one twice.");
      return;
    }
    setBusy(true);
    try {
      await operatorsApi.ownPassword(present, next);
      setDone(true);
      setPresent("");
      setNext("");
      setAgain("");
    } catch (reason) {
      setError(said(reason as ApiError));
    }
    setBusy(false);
  };
  return (
    <main class="users">
      <form class="panel form" onSubmit={submit}>
        <h1>Your password</h1>
        <input type="text" name="username" autocomplete="username" value={caller.name} hidden readOnly />
        <PasswordField id="present" label="Present password" present value={present} onChange={setPresent} />
        <PasswordField
          id="next"
          label="New password"
          hint="10 characters or more, such as four words."
          value={next}
          onChange={setNext}
        />
        <PasswordField id="again" label="New password again" value={again} onChange={setAgain} />
        {error === null ? null : (
          <p class="banner bad" role="alert">
            {error}
          </p>
        )}
        {done ? (
          <p class="banner done" role="status">
            Your password is changed. Where else you were logged in, you are no longer.
          </p>
        ) : null}
        <div class="actions">
          <button type="submit" class="button primary" disabled={busy}>
            Change password
          </button>
        </div>
      </form>
    </main>
  );
}

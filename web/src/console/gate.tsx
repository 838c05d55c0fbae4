// The door of the console: whoever must log in does so first; who is logged in can be seen, and can leave.

import { useCallback, useEffect, useState } from "preact/hooks";
import { type ApiError, api, SIGNED_OUT } from "./api";
import { App } from "./app";
import { Mark } from "./mark";
import { credentials, mustLogIn, type Session, whyNot } from "./session";
import { DoorContext } from "./who";

export function Gate() {
  const [session, setSession] = useState<Session | null>(null);
  const [error, setError] = useState<string | null>(null);
  const ask = useCallback(
    () =>
      api.session().then(
        (found) => {
          setSession(found);
          setError(null);
        },
        (reason: ApiError) => setError(reason.message),
      ),
    [],
  );
  useEffect(() => {
    void ask();
    // A request was refused because the log-in has ended, or was ended.
    const onSignedOut = () => void ask();
    addEventListener(SIGNED_OUT, onSignedOut);
    return () => removeEventListener(SIGNED_OUT, onSignedOut);
  }, [ask]);
  // Where the server does not answer, the question is put again.
  useEffect(() => {
    if (error === null) return;
    const timer = setTimeout(() => void ask(), 3000);
    return () => clearTimeout(timer);
  }, [error, ask]);

  if (session === null) {
    return (
      <p class={error === null ? "loading" : "banner bad top"} role={error === null ? undefined : "alert"}>
        {error ?? "Loading…"}
      </p>
    );
  }
  if (mustLogIn(session)) return <LogIn openid={session.openid} onLogIn={setSession} />;
  const leave = async () => {
    await api.logOut().catch(() => undefined);
    await ask();
  };
  return (
    <DoorContext.Provider value={{ session, leave }}>
      <div data-role={session.caller?.role ?? "viewer"}>
        <App />
      </div>
    </DoorContext.Provider>
  );
}

function LogIn(props: { openid: string | null; onLogIn: (session: Session) => void }) {
  const [user, setUser] = useState("");
  const [secret, setSecret] = useState("");
  const [byToken, setByToken] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(() => whyNot(location.hash));
  useEffect(() => {
    document.title = "Log in · Millstream";
  }, []);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    if (location.hash.startsWith("#log-in=")) location.hash = "";
    try {
      props.onLogIn(await api.logIn(byToken ? { token: secret.trim() } : credentials(user, secret)));
    } catch (reason) {
      setError((reason as ApiError).message);
      setSecret("");
    }
    setBusy(false);
  };
  const other = () => {
    setByToken(!byToken);
    setSecret("");
    setError(null);
  };
  return (
    <main class="log-in">
      <form class="panel" onSubmit={submit} aria-labelledby="log-in-title">
        <p class="mark">
          <Mark />
          Millstream
        </p>
        <h1 id="log-in-title">Log in</h1>
        {byToken ? null : (
          <div class="field">
            <label class="field-label" for="log-in-user">
              User
            </label>
            <input
              id="log-in-user"
              name="username"
              autocomplete="username"
              autocapitalize="none"
              spellcheck={false}
              required
              value={user}
              onInput={(event) => setUser(event.currentTarget.value)}
            />
          </div>
        )}
        <div class="field">
          <label class="field-label" for="log-in-secret">
            {byToken ? "Token" : "Password"}
          </label>
          <input
            key={byToken ? "token" : "password"}
            id="log-in-secret"
            name={byToken ? "token" : "password"}
            type="password"
            autocomplete={byToken ? "off" : "current-password"}
            required
            value={secret}
            onInput={(event) => setSecret(event.currentTarget.value)}
          />
          {byToken ? <p class="hint">Such as the one that the server printed at its first start.</p> : null}
        </div>
        {error === null ? null : (
          <p class="banner bad" role="alert">
            {error}
          </p>
        )}
        <button type="submit" class="button primary" disabled={busy}>
          Log in
        </button>
        {props.openid === null ? null : (
          <a class="button" href={props.openid}>
            Log in with your organisation
          </a>
        )}
        <button type="button" class="link" onClick={other}>
          {byToken ? "Log in with a user and password" : "Log in with a token"}
        </button>
      </form>
    </main>
  );
}

// Who may use the console and the API: users with passwords, tokens for programs.

import { useCallback, useEffect, useState } from "preact/hooks";
import type { ApiError } from "./api";
import { operatorsApi, type Token, type User } from "./operators";
import { TokensPanel } from "./tokens-panel";
import { UsersPanel } from "./users-panel";
import { useDoor, useMay } from "./who";
import "./users.css";

const EVERY_MS = 5000;

export function UsersPage() {
  const isAdmin = useMay("admin", true);
  const caller = useDoor()?.session.caller ?? null;
  const [users, setUsers] = useState<User[] | null>(null);
  const [tokens, setTokens] = useState<Token[] | null>(null);
  const [error, setError] = useState<string | null>(null);
  const refresh = useCallback(async () => {
    try {
      const [allUsers, allTokens] = await Promise.all([operatorsApi.users(), operatorsApi.tokens()]);
      setUsers(allUsers);
      setTokens(allTokens);
      setError(null);
    } catch (reason) {
      setError((reason as ApiError).message);
    }
  }, []);
  useEffect(() => {
    if (!isAdmin) return;
    void refresh();
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") void refresh();
    }, EVERY_MS);
    return () => clearInterval(timer);
  }, [isAdmin, refresh]);

  const isEmpty = users?.length === 0 && tokens?.length === 0;
  return (
    <main class="users">
      <div>
        <h1>Users and tokens</h1>
        <p class="muted">People log in to this console as users. Programs present a token to the API.</p>
      </div>
      {error === null ? null : (
        <p class="banner bad" role="alert">
          The users cannot be listed now: {error}
        </p>
      )}
      {isEmpty && caller?.kind === "machine" ? (
        <p class="banner warn">
          There are none yet, so whoever is on this machine may do everything, and nobody elsewhere anything.
          With the first one, which is to be an admin, this console asks for a log-in.
        </p>
      ) : null}
      {users === null || tokens === null ? (
        error === null ? (
          <p class="loading">Loading…</p>
        ) : null
      ) : (
        <>
          <UsersPanel users={users} first={isEmpty} me={caller} refresh={refresh} />
          <TokensPanel tokens={tokens} first={isEmpty} me={caller} refresh={refresh} />
        </>
      )}
    </main>
  );
}

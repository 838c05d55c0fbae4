// The tokens of programs: made, shown once, revoked.

import { useState } from "preact/hooks";
import { Confirm } from "./confirm";
import { CopyField } from "./copy";
import { draftOf, GrantFields, grantOf } from "./grant-fields";
import { LASTS, operatorsApi, type Token, tokenLine } from "./operators";
import { NameField, PanelForm } from "./panel-form";
import type { Caller } from "./session";

interface Props {
  tokens: Token[];
  /** There is neither a user nor a token: the first is to be an admin. */
  first: boolean;
  me: Caller | null;
  refresh: () => Promise<void>;
}

export function TokensPanel({ tokens, first, me, refresh }: Props) {
  const [adding, setAdding] = useState(false);
  /** A token that was made just now. */
  const [made, setMade] = useState<{ name: string; secret: string } | null>(null);
  const [going, setGoing] = useState<Token | null>(null);
  return (
    <section class="panel keys" aria-labelledby="tokens-title">
      <div class="keys-head">
        <h2 id="tokens-title">Tokens</h2>
        {adding ? null : (
          <button type="button" class="button small" onClick={() => setAdding(true)}>
            Make a token
          </button>
        )}
      </div>
      {adding ? (
        <TokenForm
          first={first}
          onClose={() => setAdding(false)}
          onMade={async (name, secret) => {
            setMade({ name, secret });
            setAdding(false);
            await refresh();
          }}
        />
      ) : null}
      {made === null ? null : (
        <div class="new-key">
          <CopyField id="made-token" label={`Token “${made.name}”`} value={made.secret} />
          <p class="banner warn">
            Copy it now. Only its hash is kept, so it cannot be shown again. Programs send it as{" "}
            <code>Authorization: Bearer …</code>, the command line reads it from <code>MILLSTREAM_TOKEN</code>
            .{" "}
            <button type="button" class="link" onClick={() => setMade(null)}>
              I have it
            </button>
          </p>
        </div>
      )}
      {tokens.length === 0 && !adding ? <p class="muted">No tokens yet.</p> : null}
      <ul class="key-list">
        {tokens.map((token) => (
          <li key={token.name} data-token={token.name}>
            <div class="key-words">
              <p>
                <strong>{token.name}</strong>
                <span class="chip plain">{token.role}</span>
                {token.expired ? <span class="chip warn">Ended</span> : null}
                {me?.kind === "token" && me.name === token.name ? <span class="muted">you</span> : null}
              </p>
              <p class="key-line">{tokenLine(token)}</p>
            </div>
            <div class="key-actions">
              <button
                type="button"
                class="button small danger-text"
                aria-label={`Revoke ${token.name}`}
                onClick={() => setGoing(token)}
              >
                Revoke
              </button>
            </div>
          </li>
        ))}
      </ul>
      {going === null ? null : (
        <Confirm
          title={`Revoke “${going.name}”?`}
          text="It opens nothing from now on: programs that use it are refused, and who logged in with it is logged out."
          action="Revoke token"
          onClose={() => setGoing(null)}
          onConfirm={async () => {
            await operatorsApi.revokeToken(going.name);
            if (made?.name === going.name) setMade(null);
            await refresh();
          }}
        />
      )}
    </section>
  );
}

function TokenForm(props: {
  first: boolean;
  onClose: () => void;
  onMade: (name: string, secret: string) => Promise<void>;
}) {
  const [name, setName] = useState("");
  const [lasts, setLasts] = useState(1);
  const [draft, setDraft] = useState(draftOf({ role: props.first ? "admin" : "viewer", channels: null }));
  return (
    <PanelForm
      label="New token"
      action="Make the token"
      onClose={props.onClose}
      onSubmit={async () => {
        const ms = LASTS[lasts]?.ms ?? null;
        const secret = await operatorsApi.addToken(
          name.trim(),
          grantOf(draft),
          ms === null ? null : Date.now() + ms,
        );
        await props.onMade(name.trim(), secret);
      }}
    >
      <NameField id="token-name" value={name} placeholder="ci" onChange={setName} />
      <div class="field">
        <label class="field-label" for="token-lasts">
          Valid for
        </label>
        <select
          id="token-lasts"
          value={String(lasts)}
          onChange={(event) => setLasts(Number(event.currentTarget.value))}
        >
          {LASTS.map(({ label }, i) => (
            <option key={label} value={String(i)}>
              {label}
            </option>
          ))}
        </select>
      </div>
      <GrantFields id="token" draft={draft} onChange={setDraft} />
    </PanelForm>
  );
}

// The stream keys of a channel: who may publish, and with which key somebody does.

import { useCallback, useEffect, useState } from "preact/hooks";
import { type ApiError, said } from "./api";
import { Confirm } from "./confirm";
import { CopyField } from "./copy";
import { type Key, keyLine, keysApi, parseNetworks, type Secrets } from "./keys";
import "./keys.css";

const EVERY_MS = 4000;

export function KeysPanel({ channel }: { channel: string }) {
  const [keys, setKeys] = useState<Key[] | null>(null);
  const [error, setError] = useState<string | null>(null);
  /** A key that was made just now. */
  const [made, setMade] = useState<{ name: string; secrets: Secrets } | null>(null);
  const [asking, setAsking] = useState<{ what: "rotate" | "revoke"; key: Key } | null>(null);
  const [adding, setAdding] = useState(false);

  const refresh = useCallback(async () => {
    try {
      setKeys(await keysApi.list(channel));
      setError(null);
    } catch (reason) {
      setError((reason as ApiError).message);
    }
  }, [channel]);
  useEffect(() => {
    void refresh();
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") void refresh();
    }, EVERY_MS);
    return () => clearInterval(timer);
  }, [refresh]);

  return (
    <section class="panel keys" aria-labelledby="keys-title" data-needs="operator">
      <div class="keys-head">
        <h2 id="keys-title">Stream keys</h2>
        {adding ? null : (
          <button type="button" class="button small" onClick={() => setAdding(true)}>
            Add a key
          </button>
        )}
      </div>
      <p class="muted">One for each studio, encoder or event, so that one can go without the others.</p>
      {error === null ? null : (
        <p class="banner bad" role="alert">
          {error}
        </p>
      )}
      {adding ? (
        <AddKey
          channel={channel}
          onMade={(name, secrets) => {
            setMade({ name, secrets });
            setAdding(false);
            void refresh();
          }}
          onClose={() => setAdding(false)}
        />
      ) : null}
      {made === null ? null : (
        <div class="new-key">
          <CopyField id="made-key" label={`Stream key “${made.name}”`} value={made.secrets.key} />
          {made.secrets.passphrase === null ? null : (
            <CopyField id="made-passphrase" label="SRT passphrase" value={made.secrets.passphrase} />
          )}
          <p class="banner warn">
            {made.secrets.passphrase === null
              ? "Copy it now. Only its hash is kept, so it cannot be shown again."
              : "Copy both now. They are not shown again."}{" "}
            <button type="button" class="link" onClick={() => setMade(null)}>
              I have it
            </button>
          </p>
        </div>
      )}
      <ul class="key-list">
        {(keys ?? []).map((key) => (
          <li key={key.name} data-key={key.name}>
            <div class="key-words">
              <p>
                <strong>{key.name}</strong>
                {key.publishing ? <span class="chip live">Publishing</span> : null}
                {key.expires !== null && key.expires <= Date.now() ? (
                  <span class="chip warn">Ended</span>
                ) : null}
              </p>
              <p class="key-line">{keyLine(key, Date.now())}</p>
            </div>
            {key.fixed ? null : (
              <div class="key-actions">
                <button type="button" class="button small" onClick={() => setAsking({ what: "rotate", key })}>
                  Rotate
                </button>
                <button
                  type="button"
                  class="button small danger-text"
                  onClick={() => setAsking({ what: "revoke", key })}
                >
                  Revoke
                </button>
              </div>
            )}
          </li>
        ))}
      </ul>
      {asking?.what === "rotate" ? (
        <Confirm
          title={`Make “${asking.key.name}” anew?`}
          text="The key that it is now opens nothing from then on. A stream that is live goes on until it ends, and needs the new key for the next."
          action="Rotate key"
          onClose={() => setAsking(null)}
          onConfirm={async () => {
            const secrets = await keysApi.rotate(channel, asking.key.name);
            setMade({ name: asking.key.name, secrets });
            await refresh();
          }}
        />
      ) : null}
      {asking?.what === "revoke" ? (
        <Confirm
          title={`Revoke “${asking.key.name}”?`}
          text={
            asking.key.publishing
              ? "It is in use: the stream that it let in ends now. The key opens nothing any more."
              : "The key opens nothing any more. Other keys of the channel are not touched."
          }
          action="Revoke key"
          onClose={() => setAsking(null)}
          onConfirm={async () => {
            await keysApi.revoke(channel, asking.key.name);
            if (made?.name === asking.key.name) setMade(null);
            await refresh();
          }}
        />
      ) : null}
    </section>
  );
}

function AddKey(props: {
  channel: string;
  onMade: (name: string, secrets: Secrets) => void;
  onClose: () => void;
}) {
  const [name, setName] = useState("");
  const [expires, setExpires] = useState("");
  const [networks, setNetworks] = useState("");
  const [srt, setSrt] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    try {
      const end = expires === "" ? null : new Date(expires).getTime();
      const secrets = await keysApi.add(props.channel, {
        name: name.trim(),
        expires: end,
        addresses: parseNetworks(networks),
        srtBytes: srt === "" ? null : Number(srt),
      });
      props.onMade(name.trim(), secrets);
    } catch (reason) {
      setError(said(reason as ApiError));
      setBusy(false);
    }
  };
  return (
    <form class="key-form" onSubmit={submit}>
      <div class="field">
        <label class="field-label" for="key-name">
          Name
        </label>
        <input
          id="key-name"
          value={name}
          required
          placeholder="studio-2"
          autocapitalize="none"
          autocomplete="off"
          spellcheck={false}
          onInput={(event) => setName(event.currentTarget.value)}
        />
      </div>
      <div class="field">
        <label class="field-label" for="key-expires">
          Valid until (optional)
        </label>
        <input
          id="key-expires"
          type="datetime-local"
          value={expires}
          onInput={(event) => setExpires(event.currentTarget.value)}
        />
      </div>
      <div class="field">
        <label class="field-label" for="key-networks">
          Only from these networks (optional)
        </label>
        <input
          id="key-networks"
          value={networks}
          placeholder="192.0.2.0/24"
          autocapitalize="none"
          autocomplete="off"
          spellcheck={false}
          onInput={(event) => setNetworks(event.currentTarget.value)}
        />
      </div>
      <div class="field">
        <label class="field-label" for="key-srt">
          Passphrase for SRT (its listener comes later)
        </label>
        <select id="key-srt" value={srt} onInput={(event) => setSrt(event.currentTarget.value)}>
          <option value="">None</option>
          <option value="16">With AES-128</option>
          <option value="24">With AES-192</option>
          <option value="32">With AES-256</option>
        </select>
      </div>
      {error === null ? null : (
        <p class="banner bad" role="alert">
          {error}
        </p>
      )}
      <div class="actions">
        <button type="button" class="button" onClick={props.onClose}>
          Cancel
        </button>
        <button type="submit" class="button primary" disabled={busy}>
          Make the key
        </button>
      </div>
    </form>
  );
}

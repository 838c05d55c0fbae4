// A form that opens in a panel.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { type ApiError, said } from "./api";

/** What it sends may be refused; the refusal is shown in it. */
export function PanelForm(props: {
  label: string;
  action: string;
  children: ComponentChildren;
  onSubmit: () => Promise<void>;
  onClose: () => void;
}) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await props.onSubmit();
    } catch (reason) {
      setError(said(reason as ApiError));
      setBusy(false);
    }
  };
  return (
    <form class="key-form wide" aria-label={props.label} onSubmit={submit}>
      {props.children}
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
          {props.action}
        </button>
      </div>
    </form>
  );
}

export function NameField(props: {
  id: string;
  value: string;
  placeholder: string;
  onChange: (value: string) => void;
}) {
  return (
    <div class="field">
      <label class="field-label" for={props.id}>
        Name
      </label>
      <input
        id={props.id}
        value={props.value}
        required
        placeholder={props.placeholder}
        maxLength={64}
        autocapitalize="none"
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => props.onChange(event.currentTarget.value)}
      />
    </div>
  );
}

// A password that is being chosen, with a way to see what was typed.

import { useState } from "preact/hooks";

export function PasswordField(props: {
  id: string;
  label: string;
  hint?: string;
  value: string;
  /** The present one, which the browser may know. */
  present?: boolean;
  onChange: (value: string) => void;
}) {
  const [shown, setShown] = useState(false);
  const { id, present = false } = props;
  return (
    <div class="field">
      <label class="field-label" for={id}>
        {props.label}
      </label>
      <div class="password-row">
        <input
          id={id}
          aria-describedby={props.hint ? `${id}-hint` : undefined}
          type={shown ? "text" : "password"}
          autocomplete={present ? "current-password" : "new-password"}
          autocapitalize="none"
          spellcheck={false}
          required
          maxLength={256}
          value={props.value}
          onInput={(event) => props.onChange(event.currentTarget.value)}
        />
        <button
          type="button"
          class="button small"
          aria-pressed={shown}
          aria-label={`Show “${props.label}”`}
          onClick={() => setShown(!shown)}
        >
          {shown ? "Hide" : "Show"}
        </button>
      </div>
      {props.hint ? (
        <p id={`${id}-hint`} class="hint">
          {props.hint}
        </p>
      ) : null}
    </div>
  );
}

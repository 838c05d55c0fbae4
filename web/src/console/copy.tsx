// A value to take along: shown in full, copied with one press.

import { useEffect, useState } from "preact/hooks";

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without HTTPS, browsers other than on localhost offer only the old way.
    const area = document.createElement("textarea");
    area.value = text;
    area.style.position = "fixed";
    area.style.opacity = "0";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

export function CopyField(props: { label: string; value: string; id: string; hint?: string }) {
  const [word, setWord] = useState("Copy");
  useEffect(() => {
    if (word === "Copy") return;
    const timer = setTimeout(() => setWord("Copy"), 2000);
    return () => clearTimeout(timer);
  }, [word]);
  return (
    <div class="copy-field">
      <span class="field-label" id={`${props.id}-label`}>
        {props.label}
      </span>
      <div class="copy-row">
        <code id={props.id}>{props.value}</code>
        <button
          type="button"
          class="button small"
          aria-labelledby={`${props.id}-copy ${props.id}-label`}
          onClick={async () => setWord((await copy(props.value)) ? "Copied" : "Select it by hand")}
        >
          <span id={`${props.id}-copy`} aria-live="polite">
            {word}
          </span>
        </button>
      </div>
      {props.hint ? <p class="hint">{props.hint}</p> : null}
    </div>
  );
}

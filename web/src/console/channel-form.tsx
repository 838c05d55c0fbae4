// Creating a channel and changing one: the same form.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { ApiError, SettingError } from "./api";
import { type Draft, nextRow, type RowDraft } from "./settings";

function Field(props: {
  label: string;
  name: string;
  hint?: string;
  errors: SettingError[];
  children: (attributes: {
    id: string;
    "aria-describedby": string;
    "aria-invalid": boolean;
  }) => ComponentChildren;
}) {
  const id = `field-${props.name}`;
  const error = props.errors.find((e) => e.field === props.name || e.field.startsWith(`${props.name}.`));
  return (
    <div class="field">
      <label class="field-label" for={id}>
        {props.label}
      </label>
      {props.children({ id, "aria-describedby": `${id}-hint`, "aria-invalid": error !== undefined })}
      <p id={`${id}-hint`} class={error ? "hint wrong" : "hint"}>
        {error ? error.message : props.hint}
      </p>
    </div>
  );
}

function LadderRows(props: { rows: RowDraft[]; onChange: (rows: RowDraft[]) => void }) {
  const { rows, onChange } = props;
  const set = (at: number, part: Partial<RowDraft>) =>
    onChange(rows.map((r, i) => (i === at ? { ...r, ...part } : r)));
  return (
    <div class="ladder">
      <div class="ladder-head" aria-hidden="true">
        <span>Height, pixels</span>
        <span>Bit rate, kb/s</span>
      </div>
      {rows.map((row, i) => (
        <div class="ladder-row" key={i}>
          <input
            aria-label={`Height of rendition ${i + 1}, pixels`}
            inputMode="numeric"
            value={row.height}
            onInput={(e) => set(i, { height: e.currentTarget.value })}
          />
          <input
            aria-label={`Bit rate of rendition ${i + 1}, kilobits per second`}
            inputMode="numeric"
            placeholder="by itself"
            value={row.kilobits}
            onInput={(e) => set(i, { kilobits: e.currentTarget.value })}
          />
          <button
            type="button"
            class="button small"
            aria-label={`Remove rendition ${i + 1}`}
            onClick={() => onChange(rows.filter((_, at) => at !== i))}
          >
            Remove
          </button>
        </div>
      ))}
      <button type="button" class="button small" onClick={() => onChange([...rows, nextRow(rows)])}>
        Add a rendition
      </button>
    </div>
  );
}

export function ChannelForm(props: {
  draft: Draft;
  creating: boolean;
  /** The names that channels may have, if whoever is logged in is for some only. */
  names: string[] | null;
  onSubmit: (draft: Draft) => Promise<void>;
  onCancel: () => void;
}) {
  const [draft, setDraft] = useState(props.draft);
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const set = (part: Partial<Draft>) => setDraft((d) => ({ ...d, ...part }));
  const settings = error?.settings ?? [];
  const own = draft.ownLadder;

  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await props.onSubmit(draft);
    } catch (reason) {
      setError(reason as ApiError);
      setBusy(false);
    }
  };

  return (
    <form class="panel form" onSubmit={submit} noValidate>
      <h1>{props.creating ? "New channel" : `Settings of ${draft.name}`}</h1>
      {error === null ? null : (
        <p class="banner bad" role="alert">
          {error.message}
        </p>
      )}
      {props.creating ? (
        <Field
          label="Name"
          name="name"
          errors={settings}
          hint={`In the address that viewers open; it never changes. Small letters, digits, - and _.${props.names === null ? "" : ` Yours: ${props.names.join(", ")}.`}`}
        >
          {(a) => (
            <input
              {...a}
              value={draft.name}
              autocomplete="off"
              autocapitalize="none"
              spellcheck={false}
              maxLength={64}
              placeholder="harbour"
              onInput={(e) => set({ name: e.currentTarget.value })}
            />
          )}
        </Field>
      ) : null}
      <Field
        label="Title"
        name="title"
        errors={settings}
        hint="What viewers read. The name, if it is left empty."
      >
        {(a) => (
          <input
            {...a}
            value={draft.title}
            maxLength={200}
            placeholder="Harbour camera"
            onInput={(e) => set({ title: e.currentTarget.value })}
          />
        )}
      </Field>
      <fieldset class="field">
        <legend class="field-label">Picture</legend>
        <label class="choice">
          <input
            type="radio"
            name="mode"
            checked={draft.mode === "abr"}
            onChange={() => set({ mode: "abr" })}
          />
          <span>
            Several qualities
            <small>Encoded here, so that every viewer’s connection finds one that fits.</small>
          </span>
        </label>
        <label class="choice">
          <input
            type="radio"
            name="mode"
            checked={draft.mode === "passthrough"}
            onChange={() => set({ mode: "passthrough" })}
          />
          <span>
            As it comes
            <small>Passed through without encoding: one quality, almost no processor time.</small>
          </span>
        </label>
        <label class="choice">
          <input
            type="radio"
            name="mode"
            checked={draft.mode === "cmaf"}
            onChange={() => set({ mode: "cmaf" })}
          />
          <span>
            From an encoder that sends CMAF
            <small>Its own qualities, uploaded over HTTP (DASH-IF Live Media Ingest).</small>
          </span>
        </label>
      </fieldset>
      {draft.mode === "abr" ? (
        <fieldset class="field">
          <legend class="field-label">Qualities</legend>
          <label class="choice">
            <input type="radio" name="ladder" checked={!own} onChange={() => set({ ownLadder: false })} />
            <span>
              Chosen from the input
              <small>From its own height downwards, never enlarged.</small>
            </span>
          </label>
          <label class="choice">
            <input
              type="radio"
              name="ladder"
              checked={own}
              onChange={() =>
                set({ ownLadder: true, rows: draft.rows.length > 0 ? draft.rows : [nextRow([])] })
              }
            />
            <span>My own</span>
          </label>
          {own ? <LadderRows rows={draft.rows} onChange={(rows) => set({ rows })} /> : null}
          {settings.some((e) => e.field.startsWith("ladder")) ? (
            <p class="hint wrong">{settings.find((e) => e.field.startsWith("ladder"))?.message}</p>
          ) : null}
        </fieldset>
      ) : null}
      <div class="pair">
        <Field
          label="Segment length, seconds"
          name="segment_seconds"
          errors={settings}
          hint="1 to 10. Shorter is nearer to live."
        >
          {(a) => (
            <input
              {...a}
              inputMode="decimal"
              value={draft.segmentSeconds}
              onInput={(e) => set({ segmentSeconds: e.currentTarget.value })}
            />
          )}
        </Field>
        <Field
          label="Wait for a lost encoder, seconds"
          name="reconnect_seconds"
          errors={settings}
          hint="Viewers stay on; then the channel ends."
        >
          {(a) => (
            <input
              {...a}
              inputMode="decimal"
              value={draft.reconnectSeconds}
              onInput={(e) => set({ reconnectSeconds: e.currentTarget.value })}
            />
          )}
        </Field>
      </div>
      <div class="actions">
        <button type="button" class="button" onClick={props.onCancel}>
          Cancel
        </button>
        <button type="submit" class="button primary" disabled={busy}>
          {props.creating ? "Create channel" : "Save"}
        </button>
      </div>
    </form>
  );
}

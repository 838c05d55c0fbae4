// The role and the channels of a user or a token, as fields of a form.

import { type Grant, parseChannels } from "./operators";
import type { Role } from "./session";

const MEANINGS: { role: Role; title: string; text: string }[] = [
  { role: "viewer", title: "Viewer", text: "Sees channels, recordings and the server." },
  {
    role: "operator",
    title: "Operator",
    text: "Also creates, changes and deletes channels, stream keys, recordings and clips.",
  },
  { role: "admin", title: "Admin", text: "Also manages users and tokens. Always for everything." },
];

/** What is typed; the channels stay as text until they are sent. */
export interface GrantDraft {
  role: Role;
  channels: string;
}

export function draftOf(grant: Grant): GrantDraft {
  return { role: grant.role, channels: (grant.channels ?? []).join(", ") };
}

export function grantOf(draft: GrantDraft): Grant {
  return { role: draft.role, channels: draft.role === "admin" ? null : parseChannels(draft.channels) };
}

export function GrantFields(props: { id: string; draft: GrantDraft; onChange: (draft: GrantDraft) => void }) {
  const { id, draft, onChange } = props;
  return (
    <>
      <fieldset class="field">
        <legend class="field-label">Role</legend>
        {MEANINGS.map(({ role, title, text }) => (
          <label class="choice" key={role}>
            <input
              type="radio"
              name={`${id}-role`}
              checked={draft.role === role}
              onChange={() => onChange({ ...draft, role })}
            />
            <span>
              {title}
              <small>{text}</small>
            </span>
          </label>
        ))}
      </fieldset>
      {draft.role === "admin" ? null : (
        <div class="field">
          <label class="field-label" for={`${id}-channels`}>
            Only for these channels (optional)
          </label>
          <input
            id={`${id}-channels`}
            aria-describedby={`${id}-channels-hint`}
            value={draft.channels}
            placeholder="news, acme-*"
            autocapitalize="none"
            autocomplete="off"
            spellcheck={false}
            onInput={(event) => onChange({ ...draft, channels: event.currentTarget.value })}
          />
          <p id={`${id}-channels-hint`} class="hint">
            Names, or the beginning of names and a star. All channels, if it is left empty.
          </p>
        </div>
      )}
    </>
  );
}

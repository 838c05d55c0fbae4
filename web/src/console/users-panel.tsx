// The users: added, given another role or password, removed.

import { useState } from "preact/hooks";
import { Confirm } from "./confirm";
import { draftOf, GrantFields, grantOf } from "./grant-fields";
import { operatorsApi, type User, userLine } from "./operators";
import { NameField, PanelForm } from "./panel-form";
import { PasswordField } from "./password-field";
import type { Caller } from "./session";

interface Props {
  users: User[];
  /** There is neither a user nor a token: the first is to be an admin. */
  first: boolean;
  me: Caller | null;
  refresh: () => Promise<void>;
}

type Open = { what: "role" | "password"; name: string } | null;

export function UsersPanel({ users, first, me, refresh }: Props) {
  const [adding, setAdding] = useState(false);
  const [open, setOpen] = useState<Open>(null);
  const [going, setGoing] = useState<User | null>(null);
  const [done, setDone] = useState<string | null>(null);
  const isMe = (user: User) => me?.kind === "user" && me.name === user.name;
  const close = () => {
    setOpen(null);
    setAdding(false);
  };
  const finish = async (words: string) => {
    close();
    setDone(words);
    await refresh();
  };
  const show = (what: "role" | "password", user: User) => {
    setAdding(false);
    setDone(null);
    setOpen({ what, name: user.name });
  };
  return (
    <section class="panel keys" aria-labelledby="users-title">
      <div class="keys-head">
        <h2 id="users-title">Users</h2>
        {adding ? null : (
          <button
            type="button"
            class="button small"
            onClick={() => {
              setOpen(null);
              setDone(null);
              setAdding(true);
            }}
          >
            Add a user
          </button>
        )}
      </div>
      {done === null ? null : (
        <p class="banner done" role="status">
          {done}
        </p>
      )}
      {adding ? (
        <UserForm
          first={first}
          onClose={close}
          onDone={(name) => finish(`User ${name} is added, and can log in now.`)}
        />
      ) : null}
      {users.length === 0 && !adding ? <p class="muted">No users yet.</p> : null}
      <ul class="key-list">
        {users.map((user) => (
          <li key={user.name} data-user={user.name}>
            <div class="key-words">
              <p>
                <strong>{user.name}</strong>
                <span class="chip plain">{user.role}</span>
                {isMe(user) ? <span class="muted">you</span> : null}
              </p>
              <p class="key-line">{userLine(user)}</p>
            </div>
            <div class="key-actions">
              <button
                type="button"
                class="button small"
                aria-label={`Role of ${user.name}`}
                onClick={() => show("role", user)}
              >
                Role
              </button>
              <button
                type="button"
                class="button small"
                aria-label={`Password of ${user.name}`}
                onClick={() => show("password", user)}
              >
                Password
              </button>
              <button
                type="button"
                class="button small danger-text"
                aria-label={`Remove ${user.name}`}
                onClick={() => setGoing(user)}
              >
                Remove
              </button>
            </div>
            {open?.name !== user.name ? null : open.what === "role" ? (
              <RoleForm
                user={user}
                onClose={close}
                onDone={() => finish(`The role of ${user.name} is changed. It counts at once.`)}
              />
            ) : (
              <NewPasswordForm
                user={user}
                onClose={close}
                onDone={() =>
                  finish(`${user.name} has another password. Log-ins with the old one have ended.`)
                }
              />
            )}
          </li>
        ))}
      </ul>
      {going === null ? null : (
        <Confirm
          title={`Remove ${going.name}?`}
          text={
            isMe(going)
              ? "This is you: you are logged out at once, and cannot log in any more."
              : "The user is logged out at once, and cannot log in any more. Channels and recordings stay."
          }
          action="Remove user"
          onClose={() => setGoing(null)}
          onConfirm={async () => {
            await operatorsApi.removeUser(going.name);
            setDone(null);
            await refresh();
          }}
        />
      )}
    </section>
  );
}

function UserForm(props: { first: boolean; onClose: () => void; onDone: (name: string) => Promise<void> }) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [draft, setDraft] = useState(draftOf({ role: props.first ? "admin" : "viewer", channels: null }));
  return (
    <PanelForm
      label="New user"
      action="Add the user"
      onClose={props.onClose}
      onSubmit={async () => {
        await operatorsApi.addUser(name.trim(), password, grantOf(draft));
        await props.onDone(name.trim());
      }}
    >
      <NameField id="user-name" value={name} placeholder="anna" onChange={setName} />
      <PasswordField
        id="user-password"
        label="Password"
        hint="10 characters or more, such as four words. The user can change it."
        value={password}
        onChange={setPassword}
      />
      <GrantFields id="user" draft={draft} onChange={setDraft} />
    </PanelForm>
  );
}

function RoleForm(props: { user: User; onClose: () => void; onDone: () => Promise<void> }) {
  const [draft, setDraft] = useState(() => draftOf(props.user));
  return (
    <PanelForm
      label={`Role of ${props.user.name}`}
      action="Change the role"
      onClose={props.onClose}
      onSubmit={async () => {
        await operatorsApi.changeUser(props.user.name, grantOf(draft));
        await props.onDone();
      }}
    >
      <GrantFields id="role" draft={draft} onChange={setDraft} />
    </PanelForm>
  );
}

function NewPasswordForm(props: { user: User; onClose: () => void; onDone: () => Promise<void> }) {
  const [password, setPassword] = useState("");
  return (
    <PanelForm
      label={`Password of ${props.user.name}`}
      action="Set the password"
      onClose={props.onClose}
      onSubmit={async () => {
        await operatorsApi.setPassword(props.user.name, password);
        await props.onDone();
      }}
    >
      <PasswordField
        id="new-password"
        label={`Another password for ${props.user.name}`}
        hint="10 characters or more. The user’s log-ins end."
        value={password}
        onChange={setPassword}
      />
    </PanelForm>
  );
}

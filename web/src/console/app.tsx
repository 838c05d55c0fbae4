// The console: the channels on the left, the one that is open on the right; on a phone one after the other.

import { useEffect, useState } from "preact/hooks";
import { duration } from "../player/format";
import { api } from "./api";
import { ChannelForm } from "./channel-form";
import { ChannelPage } from "./channel-page";
import { Chip } from "./chip";
import { Mark } from "./mark";
import type { Channel, ServerInfo } from "./model";
import { PasswordPage } from "./password-page";
import { RecordingPage } from "./recording-page";
import { RecordingsPage } from "./recordings-page";
import { mayCreate } from "./session";
import { change, creation, draftOf, emptyDraft } from "./settings";
import { usePolling } from "./use-polling";
import { go, hashOf, type Route, useRoute } from "./use-route";
import { UsersPage } from "./users-page";
import { Needs, useDoor, useMay, Who } from "./who";
import { listLine } from "./words";

const TITLES: { [page in Route["page"]]?: string } = {
  recordings: "Recordings",
  recording: "Recordings",
  users: "Users and tokens",
  password: "Your password",
};

const WIDE = "(min-width: 900px)";

function useWide(): boolean {
  const [wide, setWide] = useState(() => matchMedia(WIDE).matches);
  useEffect(() => {
    const query = matchMedia(WIDE);
    const onChange = () => setWide(query.matches);
    query.addEventListener("change", onChange);
    return () => query.removeEventListener("change", onChange);
  }, []);
  return wide;
}

export function App() {
  const { channels, server, error, refresh } = usePolling();
  const wide = useWide();
  const caller = useDoor()?.session.caller ?? null;
  const creates = mayCreate(caller, channels?.map((c) => c.name) ?? []);
  const asked = useRoute();
  const [keys, setKeys] = useState<Record<string, string | null>>({});
  // There is room for a channel beside the list: the first one is open until another is chosen.
  const first = channels?.[0];
  const route: Route = asked.page === "list" && wide && first ? { page: "channel", name: first.name } : asked;
  const name = route.page === "channel" || route.page === "edit" ? route.name : null;
  const channel = channels?.find((c) => c.name === name) ?? null;
  const setKey = (of: string, key: string | null) => setKeys((all) => ({ ...all, [of]: key }));

  useEffect(() => {
    const title = TITLES[asked.page];
    if (title !== undefined) document.title = `${title} · Millstream`;
    else document.title = channel === null ? "Millstream" : `${channel.title} · Millstream`;
  }, [channel, asked.page]);

  return (
    <div class={`console-page at-${route.page}`}>
      <Header server={server} route={asked} />
      {error === null ? null : (
        <p class="banner bad top" role="alert">
          {error.message}
        </p>
      )}
      {asked.page === "recordings" ? (
        <RecordingsPage />
      ) : asked.page === "recording" ? (
        <RecordingPage key={asked.id} id={asked.id} />
      ) : asked.page === "users" ? (
        <Needs least="admin" wholeServer>
          <UsersPage />
        </Needs>
      ) : asked.page === "password" ? (
        <PasswordPage />
      ) : channels === null ? (
        error === null ? (
          <p class="loading">Loading…</p>
        ) : null
      ) : (
        <div class="layout">
          <Sidebar channels={channels} open={name} creates={creates} />
          <main>
            {route.page === "new" ? (
              <Needs least="operator">
                <ChannelForm
                  creating
                  names={caller?.channels ?? null}
                  draft={emptyDraft()}
                  onCancel={() => go({ page: "list" })}
                  onSubmit={async (draft) => {
                    const created = await api.create(creation(draft));
                    setKey(created.channel.name, created.key);
                    await refresh();
                    go({ page: "channel", name: created.channel.name });
                  }}
                />
              </Needs>
            ) : null}
            {route.page === "edit" && channel !== null ? (
              <Needs least="operator">
                <ChannelForm
                  key={channel.name}
                  creating={false}
                  names={null}
                  draft={draftOf(channel.name, channel.settings)}
                  onCancel={() => go({ page: "channel", name: channel.name })}
                  onSubmit={async (draft) => {
                    await api.change(channel.name, change(draft, channel.settings), channel.revision);
                    await refresh();
                    go({ page: "channel", name: channel.name });
                  }}
                />
              </Needs>
            ) : null}
            {route.page === "channel" && channel !== null ? (
              <ChannelPage
                key={channel.name}
                channel={channel}
                server={server}
                newKey={keys[channel.name] ?? null}
                onKey={setKey}
                refresh={refresh}
              />
            ) : null}
            {name !== null && channel === null ? (
              <div class="empty-state">
                <h1>There is no channel “{name}”</h1>
                <p>It may have been deleted.</p>
                <a class="button" href="#/">
                  All channels
                </a>
              </div>
            ) : null}
            {route.page === "list" && channels.length === 0 ? <NoChannels creates={creates} /> : null}
          </main>
        </div>
      )}
    </div>
  );
}

function Header({ server, route }: { server: ServerInfo | null; route: Route }) {
  const isArchive = route.page === "recordings" || route.page === "recording";
  const isElsewhere = isArchive || route.page === "users" || route.page === "password";
  const isAdmin = useMay("admin", true);
  return (
    <header class="top-bar">
      <a class="mark" href="#/">
        <Mark />
        Millstream
      </a>
      <nav class="areas" aria-label="Areas">
        <a href="#/" aria-current={isElsewhere ? undefined : "page"}>
          Channels
        </a>
        <a href={hashOf({ page: "recordings" })} aria-current={isArchive ? "page" : undefined}>
          Recordings
        </a>
        {isAdmin ? (
          <a href={hashOf({ page: "users" })} aria-current={route.page === "users" ? "page" : undefined}>
            Users
          </a>
        ) : null}
      </nav>
      {server === null ? null : (
        <p class="muted server-line">
          {server.version === "" ? "" : `Version ${server.version}`}
          {server.uptimeSeconds === null ? "" : `, up ${duration(server.uptimeSeconds)}`}
        </p>
      )}
      <Who />
    </header>
  );
}

function Sidebar(props: { channels: Channel[]; open: string | null; creates: boolean }) {
  if (props.channels.length === 0) return null;
  return (
    <nav class="sidebar" aria-label="Channels">
      <div class="sidebar-head">
        <h2>Channels</h2>
        {props.creates ? (
          <a class="button small" href={hashOf({ page: "new" })}>
            New channel
          </a>
        ) : null}
      </div>
      <ul>
        {props.channels.map((c) => (
          <li key={c.name}>
            <a
              class="entry"
              href={hashOf({ page: "channel", name: c.name })}
              aria-current={props.open === c.name ? "page" : undefined}
            >
              <span class="entry-title">{c.title}</span>
              <Chip channel={c} />
              <span class="entry-line">
                {[c.title === c.name ? "" : c.name, listLine(c)].filter((s) => s !== "").join(" · ")}
              </span>
              <span class="entry-line right">
                {c.viewers > 0 ? `${c.viewers} ${c.viewers === 1 ? "viewer" : "viewers"}` : ""}
              </span>
            </a>
          </li>
        ))}
      </ul>
    </nav>
  );
}

function NoChannels({ creates }: { creates: boolean }) {
  if (!creates) {
    return (
      <div class="empty-state">
        <h1>No channels yet</h1>
        <p>There is none that you may see. Whoever is an operator can create one.</p>
      </div>
    );
  }
  return (
    <div class="empty-state">
      <h1>No channels yet</h1>
      <p>
        A channel takes what your encoder sends and gives viewers a page to watch it on. Create one, then
        point OBS at it.
      </p>
      <a class="button primary" href={hashOf({ page: "new" })}>
        Create a channel
      </a>
    </div>
  );
}

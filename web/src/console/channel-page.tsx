// One channel: what it does, what viewers see, how to send to it and how to pass it on.

import { useState } from "preact/hooks";
import { bitRate, seconds } from "../player/format";
import { type ApiError, api } from "./api";
import { Chip } from "./chip";
import { Confirm } from "./confirm";
import { CopyField } from "./copy";
import { KeysPanel } from "./keys-panel";
import { type Channel, rtmpServer, type ServerInfo } from "./model";
import { Preview } from "./preview";
import { go } from "./use-route";
import { useMay } from "./who";
import { codecName, inputFigures, picture, stateSentence } from "./words";

interface Props {
  channel: Channel;
  server: ServerInfo | null;
  /** The stream key, where it was made just now. */
  newKey: string | null;
  onKey: (name: string, key: string | null) => void;
  refresh: () => Promise<void>;
}

export function ChannelPage(props: Props) {
  const { channel, refresh } = props;
  const [asking, setAsking] = useState<"delete" | "key" | "stop" | null>(null);
  const [error, setError] = useState<string | null>(null);
  const mayOperate = useMay("operator");
  const onAir = ["live", "input_loss", "draining"].includes(channel.state);
  const act = async (what: () => Promise<unknown>) => {
    setError(null);
    try {
      await what();
    } catch (reason) {
      setError((reason as ApiError).message);
    }
    await refresh();
  };
  return (
    <article class="channel">
      <header class="channel-head">
        <a class="back" href="#/">
          Channels
        </a>
        <div class="channel-title">
          <h1>{channel.title}</h1>
          <Chip channel={channel} />
        </div>
        <p class="muted">{stateSentence(channel, Date.now())}</p>
        <div class="toolbar">
          <a class="button" href={`/watch/${channel.name}`} target="_blank" rel="noopener">
            Open watch page
          </a>
          {channel.enabled ? (
            <button
              type="button"
              class="button"
              data-needs="operator"
              onClick={() => (onAir ? setAsking("stop") : void act(() => api.stop(channel.name)))}
            >
              Stop
            </button>
          ) : (
            <button
              type="button"
              class="button primary"
              data-needs="operator"
              onClick={() => act(() => api.start(channel.name))}
            >
              Start
            </button>
          )}
          {channel.fixed ? null : (
            <>
              <button
                type="button"
                class="button"
                data-needs="operator"
                onClick={() => go({ page: "edit", name: channel.name })}
              >
                Settings
              </button>
              <button
                type="button"
                class="button danger-text"
                data-needs="operator"
                onClick={() => setAsking("delete")}
              >
                Delete
              </button>
            </>
          )}
        </div>
        {channel.fixed ? (
          <p class="muted note-line">Defined in the configuration file; it is changed there.</p>
        ) : null}
      </header>
      {error === null ? null : (
        <p class="banner bad" role="alert">
          {error}
        </p>
      )}
      {channel.error !== null && channel.state !== "error" ? <p class="banner bad">{channel.error}</p> : null}
      {channel.warnings.map((warning) => (
        <p class="banner warn" key={warning}>
          {warning}
        </p>
      ))}
      <div class="columns">
        <div class="stack">
          <section class="panel flush first" aria-label="Preview">
            {onAir || channel.state === "starting" ? (
              <Preview name={channel.name} />
            ) : (
              <div class="preview empty">
                <p>The picture appears here when the channel is on air.</p>
              </div>
            )}
            <Figures channel={channel} />
          </section>
          <InputPanel channel={channel} />
          <Renditions channel={channel} />
        </div>
        <div class="stack">
          <Publish {...props} ask={() => setAsking("key")} />
          {mayOperate ? <KeysPanel channel={channel.name} /> : null}
          <Share name={channel.name} />
        </div>
      </div>
      {asking === "delete" ? (
        <Confirm
          title={`Delete ${channel.name}?`}
          text="Its settings and its stream key are gone for good. Whoever sends to it is cut off, viewers see “not found”."
          action="Delete channel"
          onClose={() => setAsking(null)}
          onConfirm={async () => {
            await api.remove(channel.name);
            go({ page: "list" });
            await refresh();
          }}
        />
      ) : null}
      {asking === "stop" ? (
        <Confirm
          title={`Stop ${channel.name}?`}
          text="It goes off air now, and encoders are refused until it is started again."
          action="Stop channel"
          onClose={() => setAsking(null)}
          onConfirm={async () => {
            await api.stop(channel.name);
            await refresh();
          }}
        />
      ) : null}
      {asking === "key" ? (
        <Confirm
          title="Make a new stream key?"
          text="The old key opens nothing from then on. An encoder that is sending now keeps its connection, and needs the new key for the next."
          action="Make a new key"
          onClose={() => setAsking(null)}
          onConfirm={async () => {
            props.onKey(channel.name, await api.rotateKey(channel.name));
            await refresh();
          }}
        />
      ) : null}
    </article>
  );
}

function Figures({ channel }: { channel: Channel }) {
  const figures: [string, string][] = [["Viewers", String(channel.viewers)]];
  if (channel.latencyMs !== null) figures.push(["Through this server", seconds(channel.latencyMs / 1000)]);
  if (channel.newestSegment !== null) figures.push(["Newest segment", String(channel.newestSegment.number)]);
  return (
    <dl class="figures">
      {figures.map(([label, value]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Publish(props: Props & { ask: () => void }) {
  const { channel, server, newKey } = props;
  const address = server === null ? null : rtmpServer(server, location.hostname);
  return (
    <section class="panel second" data-needs="operator" aria-labelledby="publish-title">
      <h2 id="publish-title">Send to this channel</h2>
      {channel.mode === "cmaf" ? (
        <p class="muted">
          In the encoder: a CMAF ingest output (HTTP PUT or POST) to this address, with the name of the key as
          user and the key as password.
        </p>
      ) : (
        <p class="muted">
          In OBS: Settings, Stream, Service “Custom”. Then enter these two and press Start Streaming.
        </p>
      )}
      {channel.mode === "cmaf" ? (
        <CopyField id="ingest-url" label="Address" value={`${location.origin}/ingest/${channel.name}/`} />
      ) : address === null ? (
        <p class="muted">This server takes no RTMP.</p>
      ) : (
        <CopyField id="rtmp-server" label="Server" value={address} />
      )}
      {newKey !== null ? (
        <div class="new-key">
          <CopyField id="stream-key" label="Stream key" value={newKey} />
          <p class="banner warn">
            Copy the key now. Only its hash is kept, so it cannot be shown again.{" "}
            <button type="button" class="link" onClick={() => props.onKey(channel.name, null)}>
              I have it
            </button>
          </p>
        </div>
      ) : (
        <div class="copy-field">
          <span class="field-label">Stream key</span>
          {channel.fixed ? (
            <p class="hint">Set in the configuration file.</p>
          ) : (
            <>
              <p class="hint">Shown only once, when it is made: the server keeps its hash.</p>
              <button type="button" class="button small" data-needs="operator" onClick={props.ask}>
                Make a new key
              </button>
            </>
          )}
        </div>
      )}
    </section>
  );
}

function InputPanel({ channel }: { channel: Channel }) {
  return (
    <section class="panel" aria-labelledby="input-title">
      <h2 id="input-title">Input</h2>
      {channel.input === null ? (
        <p class="muted">Nothing is being sent to this channel.</p>
      ) : (
        <dl class="rows">
          {inputFigures(channel.input).map(([label, value]) => (
            <div key={label}>
              <dt>{label}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
      )}
    </section>
  );
}

function Share({ name }: { name: string }) {
  const { origin } = location;
  const frame = `<iframe src="${origin}/embed/${name}" width="640" height="360" style="border:0" allow="autoplay; fullscreen; picture-in-picture" allowfullscreen></iframe>`;
  return (
    <section class="panel" aria-labelledby="share-title">
      <h2 id="share-title">Pass it on</h2>
      <CopyField id="share-watch" label="Watch page" value={`${origin}/watch/${name}`} />
      <CopyField id="share-embed" label="To embed in a page" value={frame} />
      <CopyField id="share-hls" label="HLS" value={`${origin}/live/${name}/index.m3u8`} />
      <CopyField id="share-dash" label="DASH" value={`${origin}/live/${name}/manifest.mpd`} />
    </section>
  );
}

function Renditions({ channel }: { channel: Channel }) {
  if (channel.renditions.length === 0) return null;
  return (
    <section class="panel" aria-labelledby="renditions-title">
      <h2 id="renditions-title">Renditions</h2>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">Codec</th>
              <th scope="col">Picture</th>
              <th scope="col" class="right">
                Target
              </th>
              <th scope="col" class="right">
                Measured
              </th>
            </tr>
          </thead>
          <tbody>
            {channel.renditions.map((r) => (
              <tr key={r.name}>
                <th scope="row">{r.name}</th>
                <td title={r.codec}>{codecName(r.codec)}</td>
                <td>{picture(r) || "–"}</td>
                <td class="right">{bitRate(r.targetBitRate)}</td>
                <td class="right">{bitRate(r.measuredBitRate)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

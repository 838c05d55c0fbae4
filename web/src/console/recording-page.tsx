// One recording: watched, and cut with two handles on its timeline.

import { useEffect, useRef, useState } from "preact/hooks";
import { clockTime, duration } from "../player/format";
import type { Player } from "../player/player";
import { showTile } from "../player/scrubber";
import { parseSheets, tileAt } from "../player/storyboard";
import { type ApiError, api } from "./api";
import { type Asset, moved, type Selection } from "./assets";
import { hashOf } from "./use-route";

const TILES = 10;

export function RecordingPage({ id }: { id: string }) {
  const [asset, setAsset] = useState<Asset | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [player, setPlayer] = useState<Player | null>(null);
  const [length, setLength] = useState(0);
  const box = useRef<HTMLDivElement>(null);

  useEffect(() => {
    api.asset(id).then(setAsset, (reason: ApiError) => setError(reason.message));
  }, [id]);

  const watchable = asset?.watch != null;
  useEffect(() => {
    if (!watchable || box.current === null) return;
    const container = box.current;
    let closed = false;
    let made: Player | null = null;
    void import("../player/player").then(({ exposeFigures, Player }) => {
      if (closed) return;
      made = new Player(container, { channel: id, asset: id, autoplay: true, muted: true, keys: "focused" });
      exposeFigures(made);
      const { video } = made;
      const measure = () => {
        const { seekable } = video;
        const end = seekable.length === 0 ? 0 : seekable.end(seekable.length - 1);
        if (end > 0) setLength(Math.floor(end * 10) / 10);
      };
      video.addEventListener("durationchange", measure);
      video.addEventListener("loadeddata", measure);
      setPlayer(made);
    });
    return () => {
      closed = true;
      made?.destroy();
      setPlayer(null);
    };
  }, [watchable, id]);

  return (
    <main class="recording">
      <a class="back shown" href={hashOf({ page: "recordings" })}>
        Recordings
      </a>
      {error === null ? null : (
        <p class="banner bad" role="alert">
          {error}
        </p>
      )}
      {asset === null ? null : (
        <>
          <div class="recording-head">
            <h1>{asset.title}</h1>
            {asset.download === null ? null : (
              <a class="button" href={asset.download} download={`${asset.id}.mp4`}>
                Download MP4
              </a>
            )}
          </div>
          <div class="panel flush">
            {watchable ? (
              <div class="preview" ref={box} />
            ) : (
              <div class="preview empty">
                There is nothing to watch here: no media yet, or it is being deleted.
              </div>
            )}
          </div>
          {player === null || length < 2 ? null : (
            <ClipEditor key={id} asset={asset} player={player} length={length} />
          )}
        </>
      )}
    </main>
  );
}

function ClipEditor({ asset, player, length }: { asset: Asset; player: Player; length: number }) {
  const [selection, setSelection] = useState<Selection>({ from: 0, to: length });
  const [title, setTitle] = useState("");
  const [precise, setPrecise] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const [made, setMade] = useState<Asset | null>(null);
  const strip = useRef<HTMLDivElement>(null);
  const dateOf = (position: number) => player.dateAt(position) ?? (asset.start ?? 0) + position * 1000;

  useEffect(() => {
    const url = new URL(`/vod/${asset.id}/storyboard.m3u8`, location.href).href;
    const ended = new AbortController();
    const read = async () => {
      const response = await fetch(url, { signal: ended.signal });
      if (!response.ok) return;
      const sheets = parseSheets(await response.text(), url);
      const cells = strip.current?.querySelectorAll<HTMLElement>(".clip-tile") ?? [];
      cells.forEach((cell, i) => {
        const tile = tileAt(sheets, dateOf(((i + 0.5) * length) / TILES));
        if (tile !== null) showTile(cell, tile, cell.clientWidth);
        cell.style.width = "";
      });
    };
    read().catch(() => undefined);
    return () => ended.abort();
  }, [asset.id, length]);

  const move = (handle: keyof Selection, to: number) => {
    const next = moved(selection, handle, to, length);
    setSelection(next);
    player.video.pause();
    player.video.currentTime = Math.min(next[handle], length - 0.1);
  };
  const at = (event: PointerEvent) => {
    const rect = strip.current?.getBoundingClientRect();
    return rect && rect.width > 0 ? ((event.clientX - rect.left) / rect.width) * length : 0;
  };
  const handle = (name: keyof Selection, label: string) => (
    <div
      class={`clip-handle ${name}`}
      role="slider"
      tabIndex={0}
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={Math.floor(length)}
      aria-valuenow={Math.round(selection[name])}
      aria-valuetext={clockTime(selection[name])}
      style={{ left: `${(selection[name] / length) * 100}%` }}
      onPointerDown={(event) => (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId)}
      onPointerMove={(event) => {
        if ((event.currentTarget as HTMLElement).hasPointerCapture(event.pointerId)) move(name, at(event));
      }}
      onKeyDown={(event) => {
        const step = event.shiftKey ? 10 : 1;
        const to = {
          ArrowLeft: selection[name] - step,
          ArrowRight: selection[name] + step,
          Home: 0,
          End: length,
        }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        move(name, to);
      }}
    />
  );
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const iso = (position: number) => new Date(dateOf(position)).toISOString();
      setMade(await api.clip(asset.id, iso(selection.from), iso(selection.to), title.trim(), precise));
    } catch (reason) {
      setError((reason as ApiError).message);
    }
    setBusy(false);
  };
  const preview = () => {
    player.video.currentTime = selection.from;
    void player.video.play().catch(() => undefined);
  };

  return (
    <form class="panel clip" data-needs="operator" onSubmit={submit}>
      <h2>Cut a clip</h2>
      <div class="clip-strip" ref={strip}>
        {Array.from({ length: TILES }, (_, i) => (
          <div class="clip-tile" key={i} />
        ))}
        <div
          class="clip-chosen"
          style={{
            left: `${(selection.from / length) * 100}%`,
            right: `${100 - (selection.to / length) * 100}%`,
          }}
        />
        {handle("from", "Start of the clip")}
        {handle("to", "End of the clip")}
      </div>
      <p class="muted clip-line">
        {clockTime(selection.from)} to {clockTime(selection.to)}, {duration(selection.to - selection.from)}.
        {precise
          ? " Its first and last seconds are made anew, so it takes a moment."
          : " It is cut at segments, so it may be a little longer."}
      </p>
      <label class="choice">
        <input
          type="checkbox"
          checked={precise}
          onChange={(event) => setPrecise(event.currentTarget.checked)}
        />
        <span>
          Cut exactly
          <small>At the frame, not at the segment: for clips that must not show a moment more.</small>
        </span>
      </label>
      <div class="clip-row">
        <div class="field">
          <label class="field-label" for="clip-title">
            Title
          </label>
          <input
            id="clip-title"
            value={title}
            placeholder={asset.title}
            onInput={(event) => setTitle(event.currentTarget.value)}
          />
        </div>
        <button type="button" class="button" onClick={preview}>
          Preview
        </button>
        <button type="submit" class="button primary" disabled={busy}>
          {busy && precise ? "Cutting…" : "Make clip"}
        </button>
      </div>
      {error === null ? null : (
        <p class="banner bad" role="alert">
          {error}
        </p>
      )}
      {made === null ? null : (
        <p class="banner done" role="status">
          “{made.title}” is there: <a href={hashOf({ page: "recording", id: made.id })}>open it</a>
          {made.watch === null ? null : (
            <>
              {" "}
              or <a href={made.watch}>watch it</a>
            </>
          )}
          .
        </p>
      )}
    </form>
  );
}

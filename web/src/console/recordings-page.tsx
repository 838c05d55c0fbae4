// All recordings, clips and imports, and what they fill.

import { useCallback, useEffect, useState } from "preact/hooks";
import { byteSize, duration } from "../player/format";
import { type ApiError, api } from "./api";
import type { Asset, Storage } from "./assets";
import { Confirm } from "./confirm";
import { ImportsPanel } from "./imports-panel";
import { Poster } from "./poster";
import { hashOf } from "./use-route";
import { useMay } from "./who";

const EVERY_MS = 5000;

const KINDS = { recording: "Recording", clip: "Clip", import: "Import" } as const;

/** "12 May, 14:30". */
function when(ms: number | null): string {
  if (ms === null) return "";
  return new Date(ms).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

export function RecordingsPage() {
  const mayImport = useMay("operator", true);
  const [assets, setAssets] = useState<Asset[] | null>(null);
  const [next, setNext] = useState<string | null>(null);
  const [pages, setPages] = useState(1);
  const [storage, setStorage] = useState<Storage | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [going, setGoing] = useState<Asset | null>(null);

  const refresh = useCallback(async () => {
    try {
      const list: Asset[] = [];
      let cursor: string | null = null;
      for (let page = 0; page < pages; page++) {
        const answer = await api.assets(cursor);
        list.push(...answer.assets);
        cursor = answer.next;
        if (cursor === null) break;
      }
      setAssets(list);
      setNext(cursor);
      setError(null);
      setStorage(await api.storage());
    } catch (reason) {
      setError((reason as ApiError).message);
    }
  }, [pages]);

  useEffect(() => {
    void refresh();
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") void refresh();
    }, EVERY_MS);
    return () => clearInterval(timer);
  }, [refresh]);

  const shown = assets?.filter((a) => a.state !== "deleting") ?? [];
  return (
    <main class="recordings">
      <div class="recordings-head">
        <h1>Recordings</h1>
        {storage === null ? null : <StorageLine storage={storage} />}
      </div>
      {error === null ? null : (
        <p class="banner bad" role="alert">
          The recordings cannot be listed now: {error}
        </p>
      )}
      {mayImport ? <ImportsPanel onMade={() => void refresh()} /> : null}
      {assets === null && error === null ? <p class="loading">Loading…</p> : null}
      {assets !== null && shown.length === 0 ? (
        <div class="empty-state">
          <h2>No recordings yet</h2>
          <p>
            Turn on “record” in a channel’s settings, and every broadcast is kept here, to be watched, clipped
            and downloaded.
          </p>
        </div>
      ) : null}
      <ul class="asset-list">
        {shown.map((a) => (
          <li key={a.id} class="asset" data-asset={a.id}>
            <a class="asset-picture" href={hashOf({ page: "recording", id: a.id })} tabIndex={-1}>
              <Poster asset={a} />
              {a.seconds === null ? null : <span class="asset-length">{duration(a.seconds)}</span>}
            </a>
            <div class="asset-body">
              <a class="asset-title" href={hashOf({ page: "recording", id: a.id })}>
                {a.title}
              </a>
              <p class="entry-line">
                {a.state === "recording" ? (
                  <span class={`chip ${a.kind === "import" ? "warn" : "live"}`}>
                    {a.kind === "import" ? "Importing" : "Recording now"}
                  </span>
                ) : (
                  KINDS[a.kind]
                )}
                {[a.channel, when(a.date), a.bytes > 0 ? byteSize(a.bytes) : null]
                  .filter(Boolean)
                  .map((word) => ` · ${word}`)
                  .join("")}
              </p>
              {a.lostSegments > 0 ? (
                <p class="hint wrong">
                  {a.lostSegments} {a.lostSegments === 1 ? "segment was" : "segments were"} lost
                </p>
              ) : null}
              <div class="toolbar">
                {a.watch === null ? null : (
                  <a class="button small" href={a.watch} target="_blank" rel="noreferrer">
                    Watch
                  </a>
                )}
                {a.watch === null ? null : (
                  <a
                    class="button small"
                    data-needs="operator"
                    href={hashOf({ page: "recording", id: a.id })}
                  >
                    Clip
                  </a>
                )}
                {a.download === null ? null : (
                  <a class="button small" href={a.download} download={`${a.id}.mp4`}>
                    Download
                  </a>
                )}
                <button
                  type="button"
                  class="button small danger-text"
                  data-needs="operator"
                  onClick={() => setGoing(a)}
                >
                  Delete
                </button>
              </div>
            </div>
          </li>
        ))}
      </ul>
      {next === null ? null : (
        <button type="button" class="button" onClick={() => setPages(pages + 1)}>
          Show more
        </button>
      )}
      {going === null ? null : (
        <Confirm
          title={`Delete “${going.title}”?`}
          text={
            going.kind === "clip"
              ? "The clip goes at once. The recording it was cut from stays."
              : "Nobody can watch it from now on, and its media goes within the hour. Clips that were cut from it stay."
          }
          action="Delete recording"
          onConfirm={async () => {
            await api.removeAsset(going.id);
            await refresh();
          }}
          onClose={() => setGoing(null)}
        />
      )}
    </main>
  );
}

function StorageLine({ storage }: { storage: Storage }) {
  const { bytes, keepBytes, keepSeconds, deletingBytes } = storage;
  return (
    <div class="storage">
      <p class="muted">
        {byteSize(bytes)} used
        {keepBytes === null ? "" : ` of ${byteSize(keepBytes)}`}
        {deletingBytes > 0 ? `, ${byteSize(deletingBytes)} being deleted` : ""}
        {keepSeconds === null ? "" : `; recordings are kept for ${duration(keepSeconds)}`}
      </p>
      {keepBytes === null || keepBytes === 0 ? null : (
        <meter value={bytes / keepBytes} high={0.9} max={1} aria-label="Storage used" />
      )}
    </div>
  );
}

// Imports above the recordings: a file is chosen or dropped here, and what becomes of it is shown.

import { useEffect, useRef, useState } from "preact/hooks";
import type { ApiError } from "./api";
import { dropImport, type Import, importLine, isActive, isShown, listImports, upload } from "./imports";
import "./imports.css";

const ACTIVE_MS = 1000;
const IDLE_MS = 5000;

/** An upload of this page. */
interface Sending {
  id: string | null;
  file: string;
  stop: AbortController;
}

export function ImportsPanel({ onMade }: { onMade: () => void }) {
  const [imports, setImports] = useState<Import[]>([]);
  const [sending, setSending] = useState<Sending[]>([]);
  const [error, setError] = useState<string | null>(null);
  const [over, setOver] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const active = useRef(new Set<string>());
  const made = useRef(onMade);
  made.current = onMade;

  const refresh = async () => {
    // A server without imports has none to show.
    const list = await listImports().catch(() => null);
    if (list === null) return;
    const now = new Set(list.filter(isActive).map((i) => i.id));
    if ([...active.current].some((id) => !now.has(id))) made.current();
    active.current = now;
    setImports(list);
  };
  const busy = imports.some(isActive) || sending.length > 0;
  useEffect(() => {
    void refresh();
    const timer = setInterval(
      () => {
        if (document.visibilityState === "visible") void refresh();
      },
      busy ? ACTIVE_MS : IDLE_MS,
    );
    return () => clearInterval(timer);
  }, [busy]);
  useEffect(() => {
    if (sending.length === 0) return;
    const warn = (event: Event) => event.preventDefault();
    addEventListener("beforeunload", warn);
    return () => removeEventListener("beforeunload", warn);
  }, [sending.length]);

  const take = async (file: File) => {
    setError(null);
    const entry: Sending = { id: null, file: file.name, stop: new AbortController() };
    setSending((list) => [...list, entry]);
    try {
      const started = (id: string) => {
        entry.id = id;
        void refresh();
      };
      const piece = (received: number) =>
        setImports((list) =>
          list.map((i) => (i.id === entry.id ? { ...i, received, share: received / file.size } : i)),
        );
      await upload(file, started, piece, entry.stop.signal);
    } catch (reason) {
      if (!entry.stop.signal.aborted) setError(`“${file.name}”: ${(reason as ApiError).message}`);
    }
    setSending((list) => list.filter((s) => s !== entry));
    await refresh();
  };
  const takeAll = (files: FileList | null | undefined) => {
    for (const file of files ?? []) void take(file);
  };
  const drop = async (i: Import) => {
    setError(null);
    for (const s of sending.filter((s) => s.id === i.id)) s.stop.abort();
    try {
      await dropImport(i.id);
    } catch (reason) {
      setError((reason as ApiError).message);
    }
    await refresh();
  };

  const shown = imports.filter(isShown);
  return (
    <section class="imports" aria-label="Imports" data-needs="operator">
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the button in it does the same */}
      <div
        class={`import-drop${over ? " over" : ""}`}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={(event) => {
          event.preventDefault();
          setOver(false);
          takeAll(event.dataTransfer?.files);
        }}
      >
        <p>
          <strong>Import a video file</strong>
          <span class="muted">
            Any format that FFmpeg reads. It is encoded like a broadcast, then listed below.
          </span>
        </p>
        <input
          ref={input}
          class="import-input"
          type="file"
          multiple
          tabIndex={-1}
          aria-label="File to import"
          onChange={(event) => {
            takeAll(event.currentTarget.files);
            event.currentTarget.value = "";
          }}
        />
        <button type="button" class="button" onClick={() => input.current?.click()}>
          Choose a file
        </button>
      </div>
      {error === null ? null : (
        <p class="banner bad" role="alert">
          {error}
        </p>
      )}
      {shown.map((i) => (
        <ImportRow
          key={i.id}
          import={i}
          here={sending.some((s) => s.id === i.id)}
          onDrop={() => void drop(i)}
        />
      ))}
    </section>
  );
}

function ImportRow(props: { import: Import; here: boolean; onDrop: () => void }) {
  const { import: i, here } = props;
  return (
    <div class={`panel import ${i.state}`} data-import={i.id}>
      <div class="import-head">
        <strong>{i.title}</strong>
        <button type="button" class="button small" onClick={props.onDrop}>
          {isActive(i) ? "Cancel" : "Dismiss"}
        </button>
      </div>
      {isActive(i) ? (
        <progress value={i.share} max={1} aria-label={`Import of ${i.title}`} class={here ? "here" : ""} />
      ) : null}
      <p class="import-line">{importLine(i, here)}</p>
      {i.error === null ? null : <p class="hint wrong">{i.error}</p>}
      {i.notes.length === 0 ? null : (
        <ul class="import-notes">
          {i.notes.map((note) => (
            <li key={note}>{note}</li>
          ))}
        </ul>
      )}
    </div>
  );
}

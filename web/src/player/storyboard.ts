// The small pictures of what was shown: read from the list of sheets (an HLS image playlist), found by their time.

/** A part of a sheet. */
export interface Tile {
  url: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

interface Sheet {
  url: string;
  /** ms since 1970. */
  start: number;
  seconds: number;
  width: number;
  height: number;
  columns: number;
  rows: number;
  tileSeconds: number;
}

function attributes(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [, name = "", quoted, plain] of text.matchAll(/([A-Z-]+)=(?:"([^"]*)"|([^,]*))/g)) {
    found[name] = quoted ?? plain ?? "";
  }
  return found;
}

function pair(text: string | undefined): [number, number] | null {
  const [, a, b] = /^(\d+)x(\d+)$/.exec(text ?? "") ?? [];
  return a === undefined || b === undefined ? null : [Number(a), Number(b)];
}

/** Reads an image playlist; what it does not understand it leaves out. `base` is the playlist's address. */
export function parseSheets(text: string, base: string): Sheet[] {
  const sheets: Sheet[] = [];
  let start = Number.NaN;
  let seconds = 0;
  let tiles: Record<string, string> = {};
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith("#EXT-X-PROGRAM-DATE-TIME:")) start = Date.parse(line.slice(25));
    else if (line.startsWith("#EXT-X-TILES:")) tiles = attributes(line.slice(13));
    else if (line.startsWith("#EXTINF:")) seconds = Number.parseFloat(line.slice(8));
    else if (line !== "" && !line.startsWith("#")) {
      const [size, layout] = [pair(tiles.RESOLUTION), pair(tiles.LAYOUT)];
      const tileSeconds = Number(tiles.DURATION);
      if (size !== null && layout !== null && tileSeconds > 0 && seconds > 0 && !Number.isNaN(start)) {
        sheets.push({
          url: new URL(line, base).href,
          start,
          seconds,
          width: size[0],
          height: size[1],
          columns: layout[0],
          rows: layout[1],
          tileSeconds,
        });
      }
      // Without a date of its own the next one follows.
      start += seconds * 1000;
    }
  }
  return sheets;
}

/** The tile that shows a moment (ms since 1970); `null` if there is none. */
export function tileAt(sheets: readonly Sheet[], time: number): Tile | null {
  const sheet = sheets.filter((s) => s.start <= time).at(-1);
  if (sheet === undefined) return null;
  const into = (time - sheet.start) / 1000;
  if (into >= sheet.seconds) return null;
  const index = Math.min(Math.floor(into / sheet.tileSeconds), sheet.columns * sheet.rows - 1);
  return {
    url: sheet.url,
    x: (index % sheet.columns) * sheet.width,
    y: Math.floor(index / sheet.columns) * sheet.height,
    width: sheet.width,
    height: sheet.height,
  };
}

/**
 * The tile of a moment that the list does not name: sheets of a minute are named after it (`storyboard-MINUTE.jpg`), for as
 * far back as the channel can be rewound.
 */
export function unlistedTile(sheets: readonly Sheet[], time: number): Tile | null {
  const known = sheets[0];
  const [, number = ""] = /storyboard-(\d+)\.jpg/.exec(known?.url ?? "") ?? [];
  if (known === undefined || Number(number) * 60_000 !== known.start) return null;
  const minute = Math.floor(time / 60_000);
  const url = known.url.replace(/storyboard-\d+\.jpg.*$/, `storyboard-${minute}.jpg`);
  return tileAt([{ ...known, url, start: minute * 60_000 }], time);
}

/** How old the list of something that grows may be, in ms. */
const FRESH_MS = 10_000;
/** Pictures of which it is remembered whether they are there. */
const MOST_LOOKED = 2000;

/** The storyboard at an address, fetched when it is first asked for. */
export class Storyboard {
  private sheets: Sheet[] = [];
  private readAt = Number.NEGATIVE_INFINITY;
  private reading = false;
  private readonly looked = new Map<string, boolean>();

  constructor(
    private readonly url: string,
    private readonly grows: boolean,
    /** Told when there is more than before. */
    private readonly onRead: () => void,
  ) {}

  at(time: number): Tile | null {
    void this.read();
    const listed = tileAt(this.sheets, time);
    if (listed !== null || !this.grows) return listed;
    const tile = unlistedTile(this.sheets, time);
    return tile !== null && this.isThere(tile.url) ? tile : null;
  }

  /** Whether a picture that nothing promises is there; it is looked for when first asked about. */
  private isThere(url: string): boolean {
    const known = this.looked.get(url);
    if (known !== undefined) return known;
    if (this.looked.size >= MOST_LOOKED) this.looked.clear();
    this.looked.set(url, false);
    const image = new Image();
    image.onload = () => {
      this.looked.set(url, true);
      this.onRead();
    };
    image.src = url;
    return false;
  }

  /** Reads the list, unless it is fresh. What cannot be read is not there. */
  async read(): Promise<void> {
    const now = performance.now();
    const fresh = this.grows || this.sheets.length === 0 ? FRESH_MS : Number.POSITIVE_INFINITY;
    if (this.reading || now - this.readAt < fresh) return;
    this.reading = true;
    this.readAt = now;
    try {
      const response = await fetch(this.url, { signal: AbortSignal.timeout(8000) });
      if (response.ok) {
        this.sheets = parseSheets(await response.text(), new URL(this.url, location.href).href);
        this.onRead();
      }
    } catch {
      // Thumbnails are a help, not a need.
    }
    this.reading = false;
  }
}

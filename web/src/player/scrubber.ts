// The bar on which the viewer moves through what can be played, with a picture of where the pointer is.

import { el, setAttribute, setText } from "./dom";
import type { Tile } from "./storyboard";

/** What can be played, in seconds of the media element. */
export interface Range {
  start: number;
  end: number;
  now: number;
}

export interface ScrubberActions {
  seek(position: number): void;
  /** The picture of a position; `null` if there is none. */
  tile(position: number): Tile | null;
  /** Words for a position. */
  label(position: number): string;
  /** Time of day of a position; empty if it tells nothing. */
  timeOfDay(position: number): string;
}

const PAGE_SECONDS = 60;
/** Width of the picture over the bar, in pixels. */
const PREVIEW_WIDTH = 192;

export class Scrubber {
  readonly root: HTMLElement;
  private readonly fill = el("div", { class: "scrub-fill" });
  private readonly knob = el("div", { class: "scrub-knob" });
  private readonly picture = el("div", { class: "scrub-picture" });
  private readonly time = el("span", { class: "scrub-time" });
  private readonly clock = el("span", { class: "scrub-clock" });
  private readonly preview = el("div", { class: "scrub-preview", hidden: true, "aria-hidden": "true" });
  private range: Range = { start: 0, end: 0, now: 0 };
  /** Where the pointer holds the knob, and where it is: shares of the bar, which itself moves on with the time. */
  private held: number | null = null;
  private over: number | null = null;

  constructor(private readonly actions: ScrubberActions) {
    this.preview.append(this.picture, el("span", { class: "scrub-words" }, this.time, this.clock));
    const track = el("div", { class: "scrub-track" }, this.fill);
    this.root = el(
      "div",
      { class: "scrub", role: "slider", tabindex: 0, "aria-label": "Position" },
      track,
      this.knob,
      this.preview,
    );
    this.root.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.root.setPointerCapture(event.pointerId);
      this.held = this.over = this.shareOf(event);
      this.draw();
    });
    this.root.addEventListener("pointermove", (event) => {
      this.over = this.shareOf(event);
      if (this.held !== null) this.held = this.over;
      this.draw();
    });
    this.root.addEventListener("pointerup", (event) => {
      if (this.held !== null) this.actions.seek(this.positionAt(this.held));
      this.held = null;
      if (event.pointerType !== "mouse") this.over = null;
      this.draw();
    });
    for (const name of ["pointercancel", "pointerleave"] as const) {
      this.root.addEventListener(name, () => {
        if (name === "pointerleave" && this.held !== null) return;
        this.held = this.over = null;
        this.draw();
      });
    }
    this.root.addEventListener("keydown", (event) => {
      const { start, end, now } = this.range;
      const to = {
        Home: start,
        End: end,
        PageDown: Math.max(start, now - PAGE_SECONDS),
        PageUp: Math.min(end, now + PAGE_SECONDS),
      }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      this.actions.seek(to);
    });
  }

  /** `null` where there is nothing to move in. */
  show(range: Range | null): void {
    this.root.hidden = range === null;
    if (range === null) {
      this.held = this.over = null;
      return;
    }
    this.range = range;
    setAttribute(this.root, "aria-valuemin", String(Math.floor(range.start)));
    setAttribute(this.root, "aria-valuemax", String(Math.floor(range.end)));
    setAttribute(this.root, "aria-valuenow", String(Math.floor(range.now)));
    setAttribute(this.root, "aria-valuetext", this.actions.label(range.now));
    this.draw();
  }

  /** More pictures are there. */
  refresh(): void {
    if (this.over !== null) this.draw();
  }

  private shareOf(event: PointerEvent): number {
    const box = this.root.getBoundingClientRect();
    const share = box.width > 0 ? (event.clientX - box.left) / box.width : 0;
    return Math.min(1, Math.max(0, share));
  }

  private positionAt(share: number): number {
    return this.range.start + share * (this.range.end - this.range.start);
  }

  private draw(): void {
    const { start, end, now } = this.range;
    const share = end > start ? Math.min(1, Math.max(0, (now - start) / (end - start))) : 0;
    const at = `${((this.held ?? share) * 100).toFixed(2)}%`;
    this.fill.style.width = at;
    this.knob.style.left = at;
    this.preview.hidden = this.over === null;
    if (this.over === null) return;
    const position = this.positionAt(this.over);
    setText(this.time, this.actions.label(position));
    setText(this.clock, this.actions.timeOfDay(position));
    const tile = this.actions.tile(position);
    this.picture.hidden = tile === null;
    if (tile !== null) showTile(this.picture, tile, PREVIEW_WIDTH);
    const width = this.root.clientWidth;
    const half = tile === null ? this.preview.clientWidth / 2 : PREVIEW_WIDTH / 2;
    const middle = Math.min(Math.max(this.over * width, half), Math.max(half, width - half));
    this.preview.style.left = `${Math.round(middle)}px`;
  }
}

/** Shows a tile of a sheet as the background of an element, `width` pixels wide. */
export function showTile(node: HTMLElement, tile: Tile, width: number): void {
  const scale = width / tile.width;
  node.style.width = `${width}px`;
  node.style.height = `${Math.round(tile.height * scale)}px`;
  const url = `url(${JSON.stringify(tile.url)})`;
  if (node.style.backgroundImage !== url) node.style.backgroundImage = url;
  node.style.backgroundPosition = `${-tile.x * scale}px ${-tile.y * scale}px`;
  node.style.backgroundSize = `${width}px auto`;
}

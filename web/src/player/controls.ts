// The control bar: buttons and what they show. It decides nothing; it is given actions and told the facts.

import { el, type IconName, icon, setAttribute, setIcon, setText } from "./dom";
import { clockTime, type Level, levelNames, seconds } from "./format";

export interface Actions {
  togglePlay(): void;
  toggleMute(): void;
  setVolume(level: number): void;
  goLive(): void;
  toggleCaptions(): void;
  selectLevel(index: number): void;
  togglePip(): void;
  toggleFullscreen(): void;
}

/** Where in a recording it plays. */
export interface Place {
  now: number;
  end: number;
}

/** What the bar shows. */
export interface Facts {
  playing: boolean;
  muted: boolean;
  volume: number;
  /** Seconds behind, `null` if unknown. */
  latency: number | null;
  atLive: boolean;
  onAir: boolean;
  /** Of a recording, in seconds; `null` for a channel. */
  place: Place | null;
  levels: Level[];
  /** Index on the screen, -1 unknown. */
  current: number;
  /** Index chosen, -1 automatic. */
  selected: number;
  captions: "none" | "off" | "on";
  pip: boolean;
  fullscreen: boolean;
}

function button(className: string, name: IconName, label: string, onClick: () => void): HTMLButtonElement {
  const node = el("button", { type: "button", class: className, "aria-label": label, title: label });
  setIcon(node, name);
  node.addEventListener("click", onClick);
  return node;
}

function relabel(node: HTMLElement, label: string): void {
  setAttribute(node, "aria-label", label);
  setAttribute(node, "title", label);
}

export class Controls {
  readonly root: HTMLElement;
  readonly menu: HTMLElement;
  private readonly play: HTMLButtonElement;
  private readonly mute: HTMLButtonElement;
  private readonly slider: HTMLInputElement;
  private readonly live: HTMLButtonElement;
  private readonly liveWord = el("span", { class: "live-word" });
  private readonly liveTime = el("span", { class: "live-time" });
  private readonly place = el("span", { class: "place" });
  private readonly captions: HTMLButtonElement;
  private readonly quality: HTMLButtonElement;
  private readonly qualityText = el("span", { class: "quality-text" });
  private readonly pip: HTMLButtonElement;
  private readonly fullscreen: HTMLButtonElement;
  private menuKey = "";

  constructor(
    private readonly actions: Actions,
    scrubber: HTMLElement,
  ) {
    this.play = button("control play", "play", "Play", () => actions.togglePlay());
    this.mute = button("control mute", "volume", "Mute", () => actions.toggleMute());
    this.slider = el("input", {
      type: "range",
      min: 0,
      max: 1,
      step: 0.05,
      "aria-label": "Volume",
      class: "slider",
    });
    this.slider.addEventListener("input", () => actions.setVolume(Number(this.slider.value)));
    this.live = el(
      "button",
      { type: "button", class: "control live" },
      el("span", { class: "dot", "aria-hidden": "true" }),
      this.liveWord,
      this.liveTime,
    );
    this.live.addEventListener("click", () => actions.goLive());
    this.captions = button("control captions", "captions", "Captions", () => actions.toggleCaptions());
    this.quality = el(
      "button",
      {
        type: "button",
        class: "control quality",
        "aria-haspopup": "menu",
        "aria-expanded": "false",
        title: "Quality",
      },
      icon("quality"),
      this.qualityText,
    );
    this.quality.addEventListener("click", () => this.toggleMenu());
    this.pip = button("control pip", "pip", "Picture in picture", () => actions.togglePip());
    this.fullscreen = button("control fullscreen", "fullscreen", "Full screen", () =>
      actions.toggleFullscreen(),
    );
    this.menu = el("div", { class: "menu", role: "menu", "aria-label": "Quality", hidden: true });
    this.menu.addEventListener("keydown", (event) => this.onMenuKey(event));
    document.addEventListener("pointerdown", this.onOutside);
    this.root = el(
      "div",
      { class: "bar", role: "group", "aria-label": "Player controls" },
      scrubber,
      this.play,
      el("div", { class: "volume" }, this.mute, this.slider),
      this.live,
      this.place,
      el("span", { class: "space" }),
      this.captions,
      this.quality,
      this.pip,
      this.fullscreen,
    );
  }

  menuOpen(): boolean {
    return !this.menu.hidden;
  }

  destroy(): void {
    document.removeEventListener("pointerdown", this.onOutside);
  }

  show(f: Facts): void {
    setIcon(this.play, f.playing ? "pause" : "play");
    relabel(this.play, f.playing ? "Pause (K)" : "Play (K)");
    const silent = f.muted || f.volume === 0;
    setIcon(this.mute, silent ? "muted" : "volume");
    relabel(this.mute, silent ? "Unmute (M)" : "Mute (M)");
    const level = silent ? "0" : String(f.volume);
    if (this.slider.value !== level) this.slider.value = level;
    this.slider.style.setProperty("--value", level);
    this.showLive(f);
    this.captions.hidden = f.captions === "none";
    setAttribute(this.captions, "aria-pressed", String(f.captions === "on"));
    this.showQuality(f);
    this.pip.hidden = !document.pictureInPictureEnabled;
    setAttribute(this.pip, "aria-pressed", String(f.pip));
    setIcon(this.fullscreen, f.fullscreen ? "exitFullscreen" : "fullscreen");
    relabel(this.fullscreen, f.fullscreen ? "Leave full screen (F)" : "Full screen (F)");
  }

  private showLive(f: Facts): void {
    this.live.hidden = !f.onAir || f.place !== null;
    this.place.hidden = f.place === null;
    if (f.place !== null) setText(this.place, `${clockTime(f.place.now)} / ${clockTime(f.place.end)}`);
    this.live.dataset.at = f.atLive ? "live" : "behind";
    setText(this.liveWord, f.atLive ? "Live" : "Go live");
    setText(this.liveTime, f.latency === null ? "" : seconds(f.latency));
    const behind = f.latency === null ? "" : `, ${seconds(f.latency)} behind the camera`;
    relabel(this.live, f.atLive ? `Live${behind}` : `Go to live (L)${behind}`);
  }

  private showQuality(f: Facts): void {
    this.quality.hidden = f.levels.length < 2;
    const names = levelNames(f.levels);
    const now = names[f.current] ?? "";
    const text = f.selected < 0 ? (now === "" ? "Auto" : `Auto ${now}`) : (names[f.selected] ?? "");
    setText(this.qualityText, text);
    setAttribute(this.quality, "aria-label", `Quality: ${text}`);
    const key = JSON.stringify([names, now, f.selected]);
    if (key === this.menuKey) return;
    this.menuKey = key;
    const focused = this.menu.contains(document.activeElement);
    const items = [...names.keys()].reverse().map((i) => this.item(names[i] ?? "", "", i, f.selected === i));
    this.menu.replaceChildren(this.item("Auto", now, -1, f.selected < 0), ...items);
    if (focused) this.focusChecked();
    if (this.quality.hidden) this.closeMenu(false);
  }

  private item(name: string, note: string, index: number, checked: boolean): HTMLElement {
    const node = el(
      "button",
      { type: "button", class: "item", role: "menuitemradio", "aria-checked": String(checked), tabindex: -1 },
      icon("check"),
      el("span", {}, name),
    );
    if (note !== "") node.append(el("span", { class: "note" }, note));
    node.dataset.level = String(index);
    node.addEventListener("click", () => {
      this.actions.selectLevel(index);
      this.closeMenu(true);
    });
    return node;
  }

  private toggleMenu(): void {
    if (this.menuOpen()) {
      this.closeMenu(true);
      return;
    }
    this.menu.hidden = false;
    setAttribute(this.quality, "aria-expanded", "true");
    this.focusChecked();
  }

  private closeMenu(refocus: boolean): void {
    if (this.menu.hidden) return;
    this.menu.hidden = true;
    setAttribute(this.quality, "aria-expanded", "false");
    if (refocus) this.quality.focus();
  }

  private focusChecked(): void {
    this.menu.querySelector<HTMLElement>('[aria-checked="true"]')?.focus();
  }

  private onMenuKey(event: KeyboardEvent): void {
    const items = [...this.menu.querySelectorAll<HTMLElement>(".item")];
    const at = items.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (to !== undefined) items[(to + items.length) % items.length]?.focus();
    else if (event.key === "Escape" || event.key === "Tab") this.closeMenu(true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  private readonly onOutside = (event: Event) => {
    const target = event.target as Node;
    if (!this.menu.contains(target) && !this.quality.contains(target)) this.closeMenu(false);
  };
}

// What lies over the picture: the card, the notice, the spinner and the two buttons. It decides nothing.

import { el, icon, setText } from "./dom";
import type { Card } from "./words";

/** What lies there now. */
export interface Covering {
  /** The card's text; `null` without a card. */
  words: Card | null;
  /** A line while the picture stays; empty for none. */
  notice: string;
  spins: boolean;
  offersPlay: boolean;
  offersSound: boolean;
}

export class Cover {
  private readonly label = el("p", { class: "card-label" });
  private readonly title = el("h2", { class: "card-title" });
  private readonly text = el("p", { class: "card-text" });
  private readonly card: HTMLElement;
  private readonly notice = el("p", { class: "notice", role: "status" });
  private readonly spinner = el("div", { class: "spinner", "aria-hidden": "true" });
  private readonly play: HTMLButtonElement;
  private readonly unmute: HTMLButtonElement;

  constructor(play: () => void, unmute: () => void) {
    this.card = el(
      "div",
      { class: "card", role: "status" },
      el("div", { class: "card-body" }, this.label, this.title, this.text),
    );
    this.play = el("button", { type: "button", class: "big-play", "aria-label": "Play" }, icon("play"));
    this.play.addEventListener("click", play);
    this.unmute = el("button", { type: "button", class: "unmute" }, icon("muted"), "Turn the sound on");
    this.unmute.addEventListener("click", unmute);
  }

  /** In the order in which they lie over each other. */
  parts(): HTMLElement[] {
    return [this.card, this.spinner, this.play, this.unmute, this.notice];
  }

  show({ words, notice, spins, offersPlay, offersSound }: Covering): void {
    this.card.hidden = words === null;
    if (words !== null) {
      setText(this.label, words.label);
      setText(this.title, words.title);
      setText(this.text, words.text);
    }
    this.card.dataset.busy = String(words?.busy === true);
    this.notice.hidden = notice === "";
    setText(this.notice, notice);
    this.spinner.hidden = !spins;
    this.play.hidden = !offersPlay;
    this.unmute.hidden = !offersSound;
  }
}

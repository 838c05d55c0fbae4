// The list of keys, as a dialog.

import { el, icon } from "./dom";
import { SHORTCUTS } from "./words";

export function makeHelp(): HTMLDialogElement {
  const close = el("button", { type: "button", class: "control", "aria-label": "Close" }, icon("close"));
  const list = el("dl");
  for (const [keys, what] of SHORTCUTS) list.append(el("dt", {}, keys), el("dd", {}, what));
  const dialog = el("dialog", { class: "help", "aria-label": "Keyboard shortcuts" });
  dialog.append(el("div", { class: "help-head" }, el("h2", {}, "Keyboard"), close), list);
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  return dialog;
}

// Elements in one expression, and the icons. No text from outside is ever parsed as markup.

type Attributes = Record<string, string | number | boolean | null | undefined>;

export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children);
  return node;
}

/** Writes text only where it changed, so that screen readers and selections are left in peace. */
export function setText(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node: Element, name: string, value: string | null): void {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

const SVG = "http://www.w3.org/2000/svg";

/** Paths on a 24 by 24 grid; a leading "s" draws the outline instead of filling. */
const ICONS = {
  play: ["M8 5.6v12.8a.8.8 0 0 0 1.2.7l10.4-6.4a.8.8 0 0 0 0-1.4L9.2 4.9a.8.8 0 0 0-1.2.7Z"],
  pause: [
    "M7.5 5h2a1 1 0 0 1 1 1v12a1 1 0 0 1-1 1h-2a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1Z",
    "M14.5 5h2a1 1 0 0 1 1 1v12a1 1 0 0 1-1 1h-2a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1Z",
  ],
  volume: [
    "M12 5.6v12.8a.7.7 0 0 1-1.2.5L7 15.5H4.5a1 1 0 0 1-1-1v-5a1 1 0 0 1 1-1H7l3.8-3.4a.7.7 0 0 1 1.2.5Z",
    "s15.5 9a4.2 4.2 0 0 1 0 6M18 6.5a7.8 7.8 0 0 1 0 11",
  ],
  muted: [
    "M12 5.6v12.8a.7.7 0 0 1-1.2.5L7 15.5H4.5a1 1 0 0 1-1-1v-5a1 1 0 0 1 1-1H7l3.8-3.4a.7.7 0 0 1 1.2.5Z",
    "s15.5 9.5l5 5M20.5 9.5l-5 5",
  ],
  captions: ["s4 6.5h16v11H4zM7.5 13.5h3.5M13.5 13.5h3M7.5 10.5h2M12 10.5h4.5"],
  quality: ["s4 7.5h9M17 7.5h3M4 16.5h3M11 16.5h9", "s15 5.5v4M9 14.5v4"],
  pip: ["s20 11V6.5H4v11h6.5", "M13 13h8v6h-8z"],
  fullscreen: ["s4.5 9.5v-5h5M14.5 4.5h5v5M19.5 14.5v5h-5M9.5 19.5h-5v-5"],
  exitFullscreen: ["s9.5 4.5v5h-5M19.5 9.5h-5v-5M14.5 19.5v-5h5M4.5 14.5h5v5"],
  check: ["s5.5 12.5l4 4 9-9.5"],
  close: ["s6 6l12 12M18 6L6 18"],
} satisfies Record<string, string[]>;

export type IconName = keyof typeof ICONS;

export function icon(name: IconName): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  for (const data of ICONS[name]) {
    const path = document.createElementNS(SVG, "path");
    const outline = data.startsWith("s");
    path.setAttribute("d", outline ? `M${data.slice(1)}` : data);
    path.setAttribute("class", outline ? "outline" : "solid");
    svg.append(path);
  }
  return svg;
}

/** Changes the icon of a button, if it is another one. */
export function setIcon(button: HTMLElement, name: IconName): void {
  if (button.dataset.icon === name) return;
  button.dataset.icon = name;
  button.replaceChildren(icon(name));
}

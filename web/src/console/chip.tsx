// A channel's state as a coloured word.

import type { Channel } from "./model";
import { chip } from "./words";

export function Chip(props: { channel: Pick<Channel, "state" | "enabled"> }) {
  const { text, tone } = chip(props.channel);
  return <span class={`chip ${tone}`}>{text}</span>;
}

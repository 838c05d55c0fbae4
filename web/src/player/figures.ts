// What tests and a developer's console may read of a player.

import type { Level } from "./format";
import type { View } from "./session";

export interface PlayerFigures {
  state: View;
  serverState: string | null;
  media: string;
  /** It plays the channel's past, from the list of that. */
  past: boolean;
  /** Seconds behind the camera's clock, `null` if unknown. */
  latency: number | null;
  stalls: number;
  stalledSeconds: number;
  /** Index of the level on the screen, -1 if unknown. */
  level: number;
  levels: (Level & { name: string })[];
  playedSeconds: number;
  droppedFrames: number;
  /** The last failure, mended or not; empty if there was none. */
  error: string;
}

/** Puts the figures where tests and a developer's console find them: `window.millstream`. */
export function exposeFigures(player: { figures(): PlayerFigures }): void {
  const figures = {} as PlayerFigures;
  for (const name of Object.keys(player.figures()) as (keyof PlayerFigures)[]) {
    Object.defineProperty(figures, name, { enumerable: true, get: () => player.figures()[name] });
  }
  Object.defineProperty(window, "millstream", { value: figures, configurable: true });
}

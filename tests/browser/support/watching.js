// Reading `window.millstream`, which our own player keeps for tests.

import { until } from "./wait.js";

/** @param {import("playwright-core").Page} page */
export function figures(page) {
  // The getters do not survive the way out of the page, so they are copied there.
  return page.evaluate(() => (window.millstream ? { ...window.millstream } : null));
}

/** Waits until the player shows one of these states. Gives its figures. */
export function shows(page, states, seconds = 20) {
  const wanted = [states].flat();
  let seen;
  const read = async () => {
    seen = await figures(page);
    return seen && wanted.includes(seen.state) && seen;
  };
  return until(`the player shows ${wanted.join(" or ")}`, read, { seconds, every: 100, describe: () => seen });
}

/** Waits until it has played this much more. */
export async function plays(page, more, seconds = 20) {
  const before = (await figures(page))?.playedSeconds ?? 0;
  let seen;
  const read = async () => {
    seen = await figures(page);
    return seen && seen.playedSeconds >= before + more && seen;
  };
  return until(`${more} s more are played`, read, { seconds, describe: () => seen });
}

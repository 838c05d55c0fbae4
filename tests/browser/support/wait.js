// Waiting for something to be so, instead of for time to pass.

import { setTimeout as pause } from "node:timers/promises";

/**
 * Asks `read` again and again until it gives something truthy, and gives that.
 * After `seconds` it fails with `what` and the last thing that was read.
 * @template T
 * @param {string} what
 * @param {() => Promise<T> | T} read
 * @param {{ seconds?: number, every?: number, describe?: () => unknown }} [options] `every` in ms
 * @returns {Promise<NonNullable<T>>}
 */
export async function until(what, read, { seconds = 20, every = 200, describe } = {}) {
  const deadline = performance.now() + seconds * 1000;
  let last;
  for (;;) {
    last = await read();
    if (last) return last;
    if (performance.now() > deadline) {
      const seen = describe ? await describe() : last;
      throw new Error(`not within ${seconds} s: ${what}; last seen: ${JSON.stringify(seen)}`);
    }
    await pause(every);
  }
}

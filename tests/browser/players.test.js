// hls.js, dash.js and shaka-player each play half a minute of a live channel: no error, no stall, in real time.
//
// MILLSTREAM_URL and MILLSTREAM_CHANNEL name a server that is already on air; without them one is started.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, openPage } from "./support/browser.js";
import { startPlayerSite } from "./support/player-site.js";
import { Publisher } from "./support/publisher.js";
import { channel, Server } from "./support/server.js";
import { until } from "./support/wait.js";

const SECONDS = 30;
/** Under load Chromium's media clock runs slow without a visible stall. */
const LEAST_PLAYED = 0.95;
/** A busy machine may fail one run; a fault of ours fails both. */
const RUNS = 2;

describe("players", { timeout: 420_000 }, () => {
  /** @type {Server | undefined} */ let server;
  /** @type {Publisher | undefined} */ let publisher;
  let base, name, site, browser;

  before(async () => {
    base = process.env.MILLSTREAM_URL;
    name = process.env.MILLSTREAM_CHANNEL ?? "players";
    if (!base) {
      server = await Server.start(channel(name, "players-stream-key"));
      publisher = new Publisher(server.rtmp("players-stream-key"));
      await server.reaches(name, "live");
      base = server.url;
    }
    site = await startPlayerSite();
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    await site?.close();
    await publisher?.drop();
    await server?.stop();
  });

  /** One run: gives what happened. */
  async function run(player, manifest) {
    const { page, faults, close } = await openPage(browser, { hosts: [site.host, new URL(base).host] });
    try {
      await page.goto(site.page(player, `${base}/live/${name}/${manifest}`));
      const meter = () => page.evaluate(() => ({ ...window.meter }));
      let seen;
      await until(`${player} plays`, async () => (seen = await meter()).played > 1 || seen.errors.length > 0, {
        seconds: 25,
        describe: () => seen,
      });
      const from = await meter();
      const started = performance.now();
      let to = from;
      const done = async () => {
        to = await meter();
        return performance.now() - started >= SECONDS * 1000 || to.errors.length > 0;
      };
      await until(`${SECONDS} s have passed`, done, { seconds: SECONDS + 10, every: 500 });
      const due = (performance.now() - started) / 1000;
      return {
        ratio: (to.played - from.played) / due,
        stalls: to.stalls,
        stalledMs: Math.round(to.stalledMs),
        errors: [...to.errors, ...faults],
        heights: to.heights,
      };
    } finally {
      await close();
    }
  }

  for (const [player, manifest] of [
    ["hls", "index.m3u8"],
    ["dash", "manifest.mpd"],
    ["shaka", "manifest.mpd"],
    ["shaka", "index.m3u8"],
  ]) {
    test(`${player} plays ${manifest} for ${SECONDS} s`, async (t) => {
      let result;
      for (let i = 0; i < RUNS; i++) {
        result = await run(player, manifest);
        t.diagnostic(JSON.stringify(result));
        assert.deepEqual(result.errors, [], "an error is never excused by a busy machine");
        if (result.stalls === 0 && result.ratio >= LEAST_PLAYED) break;
      }
      assert.equal(result.stalls, 0, `stalls: ${JSON.stringify(result)}`);
      assert.ok(result.ratio >= LEAST_PLAYED, `played ${result.ratio.toFixed(3)} of the time that was due`);
    });
  }
});

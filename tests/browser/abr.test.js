// Adaptive bit rate: each player goes down when the network gets narrow, goes on, and comes up again.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, openPage } from "./support/browser.js";
import { startPlayerSite } from "./support/player-site.js";
import { Publisher } from "./support/publisher.js";
import { channel, Server } from "./support/server.js";
import { until } from "./support/wait.js";

/** Enough for the lowest rendition and the sound, too little for the highest. */
const NARROW_BITS = 1_500_000;
const WIDE_BITS = 60_000_000;

describe("adaptive bit rate", { timeout: 300_000 }, () => {
  let server, publisher, site, browser;

  before(async () => {
    const ladder = `[channel.ladder]
video = [{ height = 720, bit_rate = 2_400_000 }, { height = 360, bit_rate = 500_000 }]`;
    server = await Server.start(channel("abr", "abr-stream-key", ladder));
    publisher = new Publisher(server.rtmp("abr-stream-key"));
    await server.reaches("abr", "live");
    site = await startPlayerSite();
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    await site?.close();
    await publisher?.drop();
    await server?.stop();
  });

  for (const [player, manifest] of [
    ["hls", "index.m3u8"],
    ["dash", "manifest.mpd"],
    ["shaka", "manifest.mpd"],
  ]) {
    test(`${player} switches down and up again`, async (t) => {
      const hosts = [site.host, new URL(server.url).host];
      const { page, faults, close } = await openPage(browser, { hosts });
      const network = await page.context().newCDPSession(page);
      const limit = (bits) =>
        network.send("Network.emulateNetworkConditions", {
          offline: false,
          latency: 20,
          downloadThroughput: bits / 8,
          uploadThroughput: bits / 8,
        });
      let seen;
      const height = () => page.evaluate(() => document.querySelector("video").videoHeight);
      const plays = async (pixels, seconds) => {
        const read = async () => {
          seen = await page.evaluate(() => ({ ...window.meter }));
          return seen.errors.length > 0 || (await height()) === pixels;
        };
        await until(`${player} shows ${pixels} lines`, read, { seconds, describe: () => seen });
        assert.deepEqual(seen.errors, []);
      };
      try {
        await network.send("Network.enable");
        await limit(WIDE_BITS);
        await page.goto(site.page(player, `${server.url}/live/abr/${manifest}`));
        await plays(720, 40);
        await limit(NARROW_BITS);
        await plays(360, 60);
        const { played } = seen;
        await until("it goes on playing in the narrow", async () => {
          seen = await page.evaluate(() => ({ ...window.meter }));
          return seen.played > played + 5;
        });
        await limit(WIDE_BITS);
        await plays(720, 60);
        t.diagnostic(JSON.stringify({ ...seen, height: await height() }));
        assert.deepEqual(faults, []);
      } finally {
        await close();
      }
    });
  }
});

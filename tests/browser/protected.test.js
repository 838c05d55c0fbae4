// shaka-player plays protected channels with ClearKey in Chromium: DASH in both schemes, HLS, and over a change of keys.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { launch, openPage } from "./support/browser.js";
import { startPlayerSite } from "./support/player-site.js";
import { Publisher } from "./support/publisher.js";
import { channel, Server } from "./support/server.js";
import { until } from "./support/wait.js";

const KEYS = [
  "a0112233445566778899aabbccddeeff:0f0e0d0c0b0a09080706050403020100",
  "b0112233445566778899aabbccddeeff:1f0e0d0c0b0a09080706050403020100",
].join("\n");
const SECONDS = 14;

/** [what it shows, settings, manifest] */
const CASES = [
  ["cbcs in DASH", 'scheme = "cbcs"', "manifest.mpd"],
  ["cbcs in HLS", 'scheme = "cbcs"', "index.m3u8"],
  ["cenc in DASH", 'scheme = "cenc"', "manifest.mpd"],
  ["a change of keys in DASH", "rotation_seconds = 10", "manifest.mpd"],
];

describe("protected channels", { timeout: 300_000 }, () => {
  let site, browser;

  before(async () => {
    site = await startPlayerSite();
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    await site?.close();
  });

  for (const [what, settings, manifest] of CASES) {
    test(`shaka plays ${what}`, async (t) => {
      const more = `mode = "passthrough"\n[channel.protection]\nkeys = "demo.keys"\n${settings}`;
      const server = new Server(channel("demo", "protected-stream-key", more), {});
      const folder = join(server.folder, "data/content-keys");
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, "demo.keys"), KEYS);
      let publisher;
      try {
        await server.launch("127.0.0.1:0", "127.0.0.1:0");
        publisher = new Publisher(server.rtmp("protected-stream-key"));
        await server.reaches("demo", "live");
        const { page, faults, close } = await openPage(browser, { hosts: [site.host, new URL(server.url).host] });
        try {
          const address = new URL(site.page("shaka", `${server.url}/live/demo/${manifest}`));
          address.searchParams.set("clearkey", `${server.url}/live/demo/clearkey`);
          await page.goto(address.href);
          let seen;
          const played = async () => {
            seen = await page.evaluate(() => ({ ...window.meter }));
            return seen.played >= SECONDS || seen.errors.length > 0;
          };
          await until(`${SECONDS} s are played`, played, { seconds: 40, every: 250, describe: () => seen });
          t.diagnostic(JSON.stringify(seen));
          assert.deepEqual([...seen.errors, ...faults], []);
          const keys = await page.evaluate(() => document.querySelector("video").mediaKeys !== null);
          assert.ok(keys, "the browser decrypts: the stream was not clear");
        } finally {
          await close();
        }
      } finally {
        await publisher?.drop();
        await server.stop();
      }
    });
  }
});

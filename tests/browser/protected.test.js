// shaka-player, hls.js, dash.js and the watch page play protected channels with ClearKey in Chromium: DASH in both schemes,
// HLS, over a change of keys, and AV1.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { launch, openPage } from "./support/browser.js";
import { startPlayerSite } from "./support/player-site.js";
import { Publisher } from "./support/publisher.js";
import { channel, Server } from "./support/server.js";
import { until } from "./support/wait.js";
import { figures, plays, shows } from "./support/watching.js";

const KEYS = [
  "a0112233445566778899aabbccddeeff:0f0e0d0c0b0a09080706050403020100",
  "b0112233445566778899aabbccddeeff:1f0e0d0c0b0a09080706050403020100",
].join("\n");
const SECONDS = 14;

const ROTATES = "rotation_seconds = 10";
const AV1 = `low_latency = false
[[channel.ladder.video]]
height = 180
codec = "av1"
preset = "12"`;

/** [player, what it shows, the channel's other settings, settings of its protection, manifest] */
const CASES = [
  ["shaka", "cbcs in DASH", "", 'scheme = "cbcs"', "manifest.mpd"],
  ["shaka", "cbcs in HLS", "", 'scheme = "cbcs"', "index.m3u8"],
  ["shaka", "cenc in DASH", "", 'scheme = "cenc"', "manifest.mpd"],
  ["shaka", "a change of keys in DASH", "", ROTATES, "manifest.mpd"],
  ["shaka", "a change of keys in HLS", "", ROTATES, "index.m3u8"],
  ["hls", "cbcs", "", 'scheme = "cbcs"', "index.m3u8"],
  ["hls", "a change of keys", "", ROTATES, "index.m3u8"],
  ["dash", "cbcs", "", 'scheme = "cbcs"', "manifest.mpd"],
  ["dash", "a change of keys", "", ROTATES, "manifest.mpd"],
  ["shaka", "AV1 in cbcs", AV1, 'scheme = "cbcs"', "manifest.mpd"],
  ["shaka", "AV1 in cenc", AV1, 'scheme = "cenc"', "manifest.mpd"],
];

/** Starts a server with a protected channel and a broadcast on it, works with it, and stops both. */
async function onAir(settings, protection, work) {
  const more = `${settings}\n[channel.protection]\nkeys = "demo.keys"\n${protection}`;
  const server = new Server(channel("demo", "protected-stream-key", more), {});
  const folder = join(server.folder, "data/content-keys");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "demo.keys"), KEYS);
  let publisher;
  try {
    await server.launch("127.0.0.1:0", "127.0.0.1:0");
    publisher = new Publisher(server.rtmp("protected-stream-key"));
    await server.reaches("demo", "live");
    await work(server, publisher);
  } finally {
    await publisher?.drop();
    await server.stop();
  }
}

const decrypts = (page) => page.evaluate(() => document.querySelector("video").mediaKeys !== null);

describe("protected channels", { timeout: 900_000 }, () => {
  let site, browser;

  before(async () => {
    site = await startPlayerSite();
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    await site?.close();
  });

  for (const [player, what, channelSettings, settings, manifest] of CASES) {
    test(`${player} plays ${what}`, (t) =>
      onAir(channelSettings || 'mode = "passthrough"', settings, async (server) => {
        const { page, faults, close } = await openPage(browser, {
          hosts: [site.host, new URL(server.url).host],
        });
        try {
          const address = new URL(site.page(player, `${server.url}/live/demo/${manifest}`));
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
          assert.ok(await decrypts(page), "the browser decrypts: the stream was not clear");
        } finally {
          await close();
        }
      }));
  }

  test("the watch page plays a change of keys, live and recorded", (t) =>
    onAir('mode = "passthrough"\nreconnect_seconds = 2', ROTATES, async (server, publisher) => {
      const { page, faults, close } = await openPage(browser, { hosts: [new URL(server.url).host] });
      try {
        await page.goto(`${server.url}/watch/demo`);
        await plays(page, SECONDS, 40);
        assert.ok(await decrypts(page), "the browser decrypts: the stream was not clear");
        t.diagnostic(JSON.stringify(await figures(page)));
        await publisher.drop();
        await server.reaches("demo", "offline");
        const { assets } = await (await fetch(`${server.url}/api/v1/assets`)).json();
        await page.goto(`${server.url}/watch/vod/${assets[0].id}`);
        await plays(page, SECONDS, 40);
        assert.ok(await decrypts(page), "the browser decrypts: the recording is not clear");
        assert.deepEqual(faults, []);
      } finally {
        await close();
      }
    }));

  test("the watch page says that it cannot get the keys", () =>
    onAir('mode = "passthrough"', "clear_key = false", async (server) => {
      const { page, close } = await openPage(browser, { hosts: [new URL(server.url).host] });
      try {
        await page.goto(`${server.url}/watch/demo`);
        await shows(page, "locked");
        await page.getByText("this page cannot get its keys").waitFor();
      } finally {
        await close();
      }
    }));
});

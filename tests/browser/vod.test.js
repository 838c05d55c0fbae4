// A recording as it lies, in a folder behind nginx and in a public S3 bucket, plays from end to end in hls.js, dash.js
// and shaka-player: nothing of ours is between.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { launch, openPage } from "./support/browser.js";
import { startPlayerSite } from "./support/player-site.js";
import { Publisher } from "./support/publisher.js";
import { channel, Server } from "./support/server.js";
import { startNginx, startS3 } from "./support/static-stores.js";
import { until } from "./support/wait.js";

const SECONDS = 8;
const SETTINGS = 'mode = "passthrough"\nreconnect_seconds = 1';

/** Records one broadcast; gives the asset's name. */
async function record(server) {
  const publisher = new Publisher(server.rtmp("vod-stream-key"), { seconds: SECONDS });
  try {
    let seen;
    const ended = async () => {
      seen = await server.json("/api/v1/assets");
      return seen.assets.find((asset) => asset.state === "ended")?.id;
    };
    return await until("the recording has ended", ended, { seconds: 45, describe: () => [seen, server.log()] });
  } finally {
    await publisher.drop();
  }
}

describe("recordings without us", { timeout: 300_000 }, () => {
  let site, browser;
  const toStop = [];

  before(async () => {
    site = await startPlayerSite();
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    await site?.close();
    for (const one of toStop.reverse()) await one.stop();
  });

  /** Plays the manifest to its end. */
  async function plays(player, manifest) {
    const { page, faults, close } = await openPage(browser, { hosts: [site.host, new URL(manifest).host] });
    try {
      await page.goto(site.page(player, manifest));
      const look = () =>
        page.evaluate(() => {
          const { ended, duration, played } = document.querySelector("video");
          let seconds = 0;
          for (let i = 0; i < played.length; i++) seconds += played.end(i) - played.start(i);
          return { ...window.meter, ended, duration, seconds };
        });
      let seen;
      const done = async () => (seen = await look()).ended || seen.errors.length > 0;
      await until(`${player} plays ${manifest} to the end`, done, { seconds: 40, describe: () => seen });
      assert.deepEqual([...seen.errors, ...faults], []);
      assert.ok(Math.abs(seen.duration - SECONDS) < 1.2, JSON.stringify(seen));
      assert.ok(seen.seconds > seen.duration - 0.5, JSON.stringify(seen));
    } finally {
      await close();
    }
  }

  for (const [where, start] of [
    ["a folder behind nginx", fromFolder],
    ["a public S3 bucket", fromS3],
  ]) {
    test(`from ${where}`, async () => {
      const base = await start();
      for (const [player, manifest] of [
        ["hls", "index.m3u8"],
        ["dash", "manifest.mpd"],
        ["shaka", "manifest.mpd"],
      ]) {
        await plays(player, `${base}/${manifest}`);
      }
    });
  }

  async function fromFolder() {
    const server = await Server.start(channel("demo", "vod-stream-key", SETTINGS));
    toStop.push(server);
    const id = await record(server);
    const nginx = await startNginx(join(server.folder, "data/store"));
    toStop.push(nginx);
    return `${nginx.url}/vod/${id}`;
  }

  async function fromS3() {
    const s3 = await startS3();
    toStop.push(s3);
    const server = await Server.start(s3.archive + channel("demo", "vod-stream-key", SETTINGS), s3.env);
    toStop.push(server);
    const id = await record(server);
    // Nothing of ours runs while it is played.
    await server.kill();
    return `${s3.url}/vod/${id}`;
  }
});

// A channel that needs a signature plays in hls.js, in dash.js and on the watch page: by signed cookies, and by a wildcard
// policy in the URL that playlists and MPDs carry on to what they name (STANDARDS 7.13).

import assert from "node:assert/strict";
import { createSign, generateKeyPairSync } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { launch, openPage } from "./support/browser.js";
import { startPlayerSite } from "./support/player-site.js";
import { Publisher } from "./support/publisher.js";
import { channel, Server } from "./support/server.js";
import { until } from "./support/wait.js";
import { plays } from "./support/watching.js";

const ID = "KBROWSERTEST";
const SECONDS = 6;

describe("signed access", { timeout: 300_000 }, () => {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  let server, publisher, site, browser;

  before(async () => {
    site = await startPlayerSite();
    const access = `[access]\nrequire = true\nsites = ["http://${site.host}"]\n`;
    server = new Server(access + channel("signed", "signed-stream-key", 'mode = "passthrough"'));
    const keys = join(server.folder, "data/keys");
    mkdirSync(keys, { recursive: true });
    writeFileSync(join(keys, `${ID}.pem`), publicKey.export({ type: "spki", format: "pem" }));
    await server.launch("127.0.0.1:0", "127.0.0.1:0");
    publisher = new Publisher(server.rtmp("signed-stream-key"), { picture: "testsrc2=size=640x360:rate=30" });
    const live = async () => (await server.json("/api/v1/channels/signed")).state === "live";
    await until("the channel is live", live, { seconds: 40, describe: () => server.log() });
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    await site?.close();
    await publisher?.drop();
    await server?.stop();
  });

  /** Policy, signature and key-pair id for everything of the channel, as CloudFront's signers write them. */
  function signature() {
    const policy = JSON.stringify({
      Statement: [
        {
          Resource: `${server.url}/live/signed/*`,
          Condition: { DateLessThan: { "AWS:EpochTime": Math.floor(Date.now() / 1000) + 600 } },
        },
      ],
    });
    const plain = (bytes) =>
      bytes.toString("base64").replaceAll("+", "-").replaceAll("=", "_").replaceAll("/", "~");
    const signed = createSign("RSA-SHA1").update(policy).sign(privateKey);
    return { Policy: plain(Buffer.from(policy)), Signature: plain(signed), "Key-Pair-Id": ID };
  }

  async function withCookies(page) {
    const cookies = Object.entries(signature()).map(([name, value]) => ({
      name: `CloudFront-${name}`,
      value,
      domain: "127.0.0.1",
      path: "/live/signed/",
    }));
    await page.context().addCookies(cookies);
  }

  const hosts = () => [site.host, new URL(server.url).host];

  /** Opens a player and gives what its meter saw once it has played, or failed. */
  async function watched(player, manifest, way) {
    const tab = await openPage(browser, { hosts: hosts() });
    try {
      const query = way === "query" ? `?${new URLSearchParams(signature())}` : "";
      if (way === "cookies") await withCookies(tab.page);
      const url = site.page(player, `${server.url}/live/signed/${manifest}${query}`);
      await tab.page.goto(way === "cookies" ? `${url}&credentials=1` : url);
      let seen;
      const done = async () => {
        seen = await tab.page.evaluate(() => ({ ...window.meter }));
        return seen.played >= SECONDS || seen.errors.length > 0;
      };
      await until(`${player} plays or fails`, done, { seconds: 40, describe: () => seen });
      return { ...seen, errors: [...seen.errors, ...tab.faults] };
    } finally {
      await tab.close();
    }
  }

  for (const [player, manifest] of [
    ["hls", "index.m3u8"],
    ["dash", "manifest.mpd"],
  ]) {
    for (const way of ["cookies", "query"]) {
      test(`${player} by ${way}`, async () => {
        const seen = await watched(player, manifest, way);
        assert.deepEqual(seen.errors, []);
        assert.ok(seen.played >= SECONDS);
      });
    }
    test(`${player} without a signature plays nothing`, async () => {
      const seen = await watched(player, manifest, "none");
      assert.ok(seen.errors.length > 0);
      assert.ok(!(seen.played > 0), "it played");
    });
  }

  test("the watch page by cookies", async () => {
    const tab = await openPage(browser, { hosts: hosts() });
    try {
      await withCookies(tab.page);
      await tab.page.goto(`${server.url}/watch/signed`);
      await plays(tab.page, SECONDS);
      assert.deepEqual(tab.faults, []);
    } finally {
      await tab.close();
    }
  });
});

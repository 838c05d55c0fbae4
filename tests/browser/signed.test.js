// A low-latency channel behind an edge that wants signatures, its cache warm: it plays in hls.js, in dash.js, in the browser's
// own HLS as on Apple's devices, and on the watch page, by signed cookies and by a wildcard policy in the URL, which playlists
// and MPDs carry on to what they name (STANDARDS 7.13, CHECK-7c).

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { launch, openPage } from "./support/browser.js";
import { startPlayerSite } from "./support/player-site.js";
import { Publisher } from "./support/publisher.js";
import { channel, Server, startEdge } from "./support/server.js";
import { Signer } from "./support/signature.js";
import { until } from "./support/wait.js";
import { plays } from "./support/watching.js";

const SECONDS = 6;

describe("signed access", { timeout: 300_000 }, () => {
  let signer, server, edge, publishers, site, browser;

  before(async () => {
    site = await startPlayerSite();
    const quick = 'mode = "passthrough"\nlow_latency = true\npart_seconds = 0.5';
    // The origin answers the edge without a signature; the watch page is its own.
    const channels = channel("signed", "signed-stream-key", quick) + channel("page", "page-stream-key", quick);
    server = new Server(`[access]\npaths = ["/live/page/"]\n${channels}`);
    const keys = join(server.folder, "data/keys");
    signer = new Signer("KBROWSERTEST", keys);
    await server.launch("127.0.0.1:0", "127.0.0.1:0");
    edge = await startEdge(server.url, {
      MILLSTREAM_ACCESS_REQUIRE: "true",
      MILLSTREAM_ACCESS_KEYS: keys,
      MILLSTREAM_ACCESS_SITES: `http://${site.host}`,
    });
    const picture = "testsrc2=size=640x360:rate=30";
    publishers = ["signed", "page"].map((name) => new Publisher(server.rtmp(`${name}-stream-key`), { picture }));
    for (const name of ["signed", "page"]) {
      const live = async () => (await server.json(`/api/v1/channels/${name}`)).state === "live";
      await until(`${name} is live`, live, { seconds: 40, describe: () => server.log() });
    }
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    await site?.close();
    for (const publisher of publishers ?? []) await publisher.drop();
    await edge?.stop();
    await server?.stop();
  });

  const hosts = () => [site.host, new URL(server.url).host, new URL(edge.url).host];
  const folder = () => `${edge.url}/live/signed/`;

  /** Opens a player and gives what its meter saw once it has played, or failed. */
  async function watched(player, manifest, way) {
    const tab = await openPage(browser, { hosts: hosts() });
    let reloads = 0;
    tab.page.on("request", (request) => (reloads += request.url().includes("_HLS_msn=") ? 1 : 0));
    try {
      const query = way === "query" ? `?${new URLSearchParams(signer.everythingBelow(folder()))}` : "";
      if (way === "cookies") await signer.giveCookies(tab.page, folder());
      const url = site.page(player, `${folder()}${manifest}${query}`);
      await tab.page.goto(way === "cookies" ? `${url}&credentials=1` : url);
      let seen;
      const done = async () => {
        seen = await tab.page.evaluate(() => ({ ...window.meter }));
        return seen.played >= SECONDS || seen.errors.length > 0;
      };
      await until(`${player} plays or fails`, done, { seconds: 40, describe: () => seen });
      return { ...seen, reloads, errors: [...seen.errors, ...tab.faults] };
    } finally {
      await tab.close();
    }
  }

  for (const [player, manifest] of [
    ["hls", "index.m3u8"],
    ["dash", "manifest.mpd"],
    ["native", "index.m3u8"],
  ]) {
    for (const way of ["cookies", "query"]) {
      test(`${player} by ${way}`, async () => {
        const seen = await watched(player, manifest, way);
        assert.deepEqual(seen.errors, []);
        assert.ok(seen.played >= SECONDS);
        // hls.js asks for each part as it comes: directives break no signature.
        if (player === "hls") assert.ok(seen.reloads > 4, `${seen.reloads} reloads`);
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
      await signer.giveCookies(tab.page, `${server.url}/live/page/`);
      await tab.page.goto(`${server.url}/watch/page`);
      await plays(tab.page, SECONDS);
      assert.deepEqual(tab.faults, []);
    } finally {
      await tab.close();
    }
  });
});

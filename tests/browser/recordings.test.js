// Recordings in the console and on their watch page: listed, watched with thumbnails, clipped, deleted.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { launch, openPage } from "./support/browser.js";
import { timesOf } from "./support/mp4.js";
import { Publisher } from "./support/publisher.js";
import { channel, Server } from "./support/server.js";
import { until } from "./support/wait.js";
import { figures, plays, shows } from "./support/watching.js";

const KEY = "recordings-stream-key";
const PASSED_KEY = "quay-stream-key";
/**
 * Browsers count in microseconds. This time, in ticks of 90 kHz, lies between two, so that Chromium's rounding puts a first
 * picture of it a microsecond before the list begins, and throws its segment away.
 */
const BETWEEN_MICROSECONDS = 161_590_509_992_951n;
/** Where screenshots go, if they are wanted. */
const SHOTS = process.env.SCREENSHOTS;

describe("recordings", { timeout: 240_000 }, () => {
  let server, browser, publisher, tab, asset;

  const shot = async (name) => {
    if (!SHOTS) return;
    mkdirSync(SHOTS, { recursive: true });
    await tab.page.screenshot({ path: `${SHOTS}/${name}.png` });
  };
  /** Waits until the pointer over the bar brings a picture that is really there. */
  const thumbnail = async (page) => {
    const bar = page.locator(".scrub");
    await bar.waitFor({ timeout: 30_000 });
    const address = await until(
      "a thumbnail is shown",
      async () => {
        const box = await bar.boundingBox();
        await page.mouse.move(box.x + box.width * 0.4, box.y + box.height / 2);
        await page.mouse.move(box.x + box.width * 0.5, box.y + box.height / 2);
        const image = await page.locator(".scrub-picture").evaluate((node) => node.style.backgroundImage);
        return /url\("(.+)"\)/.exec(image)?.[1];
      },
      { seconds: 30 },
    );
    const answer = await fetch(address);
    assert.equal(answer.headers.get("content-type"), "image/jpeg");
    const size = await page.evaluate(async (src) => {
      const image = new Image();
      image.src = src;
      await image.decode();
      return [image.naturalWidth, image.naturalHeight];
    }, address);
    assert.deepEqual(size, [256, 12 * 144]);
  };

  before(async () => {
    const record = "record = true\nreconnect_seconds = 3";
    server = await Server.start(
      channel("harbour", KEY, record) + channel("quay", PASSED_KEY, `${record}\nmode = "passthrough"`),
    );
    browser = await launch();
    tab = await openPage(browser, {
      hosts: [new URL(server.url).host],
      viewport: { width: 1280, height: 900 },
    });
    publisher = new Publisher(server.rtmp(KEY));
    await server.reaches("harbour", "live", 30);
  });
  after(async () => {
    await browser?.close();
    await publisher?.drop();
    await server?.stop();
  });

  test("a channel's watch page moves in its window, with thumbnails, and goes to live", async () => {
    const { page } = tab;
    // So that what is gone back to has not been loaded.
    await until(
      "the list is long",
      async () => {
        const list = await (await fetch(`${server.url}/live/harbour/audio/index.m3u8`)).text();
        return [...list.matchAll(/#EXTINF:([\d.]+)/g)].reduce((sum, [, seconds]) => sum + Number(seconds), 0) > 10;
      },
      { seconds: 30 },
    );
    await page.goto(`${server.url}/watch/harbour`);
    await shows(page, "live", 30);
    const poster = await fetch(`${server.url}/live/harbour/poster.jpg`);
    assert.equal(poster.status, 200);
    assert.equal(poster.headers.get("content-type"), "image/jpeg");
    await thumbnail(page);
    await shot("live-scrubber");
    const before = (await figures(page)).latency;
    await page.locator(".scrub").focus();
    await page.keyboard.press("Home");
    await until("it is where it was", async () => (await figures(page)).latency > before + 3);
    await plays(page, 1);
    assert.ok((await figures(page)).latency > before + 3, "it plays what was");
    await page.getByRole("button", { name: /Go to live/ }).click();
    await until("it is live again", async () => (await figures(page)).latency < before + 3);
  });

  test("the recording is listed, with its poster", async () => {
    await publisher.end();
    asset = await until(
      "the recording has ended",
      async () => (await server.json("/api/v1/assets")).assets.find((a) => a.state === "ended"),
      { seconds: 40 },
    );
    const { page } = tab;
    await page.goto(`${server.url}/#/recordings`);
    await page.locator(`[data-asset="${asset.id}"]`).waitFor();
    await page.getByText(/used/).first().waitFor();
    await until("the poster is a picture", () =>
      page.locator("img.poster").first().evaluate((image) => image.naturalWidth > 0),
    );
    await shot("recordings");
  });

  test("its watch page plays it from the beginning, with thumbnails", async () => {
    const { page } = tab;
    await page.goto(`${server.url}/watch/vod/${asset.id}`);
    await plays(page, 1, 30);
    assert.ok((await page.locator(".place").textContent()).startsWith("0:0"));
    await thumbnail(page);
    await shot("vod-scrubber");
    await page.locator(".scrub").focus();
    await page.keyboard.press("End");
    await until("it has ended", async () => (await figures(page)).state === "ended");
    await page.getByRole("button", { name: "Play", exact: true }).first().click();
    await plays(page, 1, 20);

    await page.goto(`${server.url}/watch/vod/no-such-recording`);
    await shows(page, "not_found");
    await page.getByText("There is no recording").waitFor();
  });

  test("a first picture that rounding puts before the beginning is shown all the same", async () => {
    const broadcast = new Publisher(server.rtmp(PASSED_KEY));
    await server.reaches("quay", "live", 30);
    await until("there is a segment", async () =>
      /EXTINF/.test(await (await fetch(`${server.url}/live/quay/source/index.m3u8`)).text()),
    );
    await broadcast.end();
    const { id } = await until(
      "the recording has ended",
      async () =>
        (await server.json("/api/v1/assets")).assets.find((a) => a.channel === "quay" && a.state === "ended"),
      { seconds: 40 },
    );
    const first = await fetch(`${server.url}/vod/${id}/source/1.m4s`);
    const by = BETWEEN_MICROSECONDS - timesOf(Buffer.from(await first.arrayBuffer()))[0].read();
    const { page, close } = await openPage(browser, { hosts: [new URL(server.url).host] });
    await page.route("**/*.m4s", async (route) => {
      const response = await route.fetch();
      const body = await response.body();
      const moved = route.request().url().includes("/audio/") ? (by * 48_000n) / 90_000n : by;
      for (const time of timesOf(body)) time.write(time.read() + moved);
      await route.fulfill({ response, body });
    });
    await page.goto(`${server.url}/watch/vod/${id}`);
    await plays(page, 1, 8);
    const from = await page.locator("video").evaluate((video) => video.buffered.start(0));
    assert.ok(from < 0.1, `it begins at ${from} s`);
    await close();
  });

  test("the lists of pictures are what players read", async () => {
    const text = async (path) => (await fetch(`${server.url}/vod/${asset.id}/${path}`)).text();
    assert.match(await text("index.m3u8"), /#EXT-X-IMAGE-STREAM-INF:.*URI="storyboard\.m3u8"/);
    assert.match(await text("manifest.mpd"), /thumbnail_tile" value="1x12"/);
    const cues = await text("storyboard.vtt");
    assert.match(cues, /^WEBVTT\n\n00:00:00\.000 --> .*\nstoryboard-\d+\.jpg#xywh=0,\d+,256,144\n/);
  });

  test("a clip is cut by its handles, and deleted", async () => {
    const { page, faults } = tab;
    await page.goto(`${server.url}/#/recordings/${asset.id}`);
    const start = page.getByRole("slider", { name: "Start of the clip" });
    await start.waitFor({ timeout: 30_000 });
    await start.focus();
    for (let i = 0; i < 4; i++) await page.keyboard.press("ArrowRight");
    assert.equal(await start.getAttribute("aria-valuetext"), "0:04");
    await page.getByLabel("Title").fill("The good part");
    await shot("clip");
    await page.getByRole("button", { name: "Make clip" }).click();
    await page.getByText("“The good part” is there").waitFor({ timeout: 20_000 });
    const made = (await server.json("/api/v1/assets?kind=clip")).assets[0];
    assert.equal(made.title, "The good part");
    assert.ok(made.duration_seconds < asset.duration_seconds);

    // The same at the frame.
    await start.focus();
    await page.keyboard.press("ArrowRight");
    await page.getByLabel("Cut exactly").check();
    await page.getByLabel("Title").fill("The exact part");
    await shot("clip-exact");
    await page.getByRole("button", { name: "Make clip" }).click();
    await page.getByText("“The exact part” is there").waitFor({ timeout: 75_000 });
    const exact = (await server.json("/api/v1/assets?kind=clip")).assets.find((a) => a.title === "The exact part");
    const wanted = asset.duration_seconds - 5;
    assert.ok(Math.abs(exact.duration_seconds - wanted) < 0.2, `${exact.duration_seconds} s, not ${wanted} s`);

    await page.goto(`${server.url}/#/recordings`);
    const row = page.locator(`[data-asset="${made.id}"]`);
    await row.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete recording" }).click();
    await row.waitFor({ state: "detached" });
    await page.locator(`[data-asset="${asset.id}"]`).waitFor();
    await page.setViewportSize({ width: 390, height: 800 });
    await shot("recordings-phone");
    assert.deepEqual(faults, []);
  });
});

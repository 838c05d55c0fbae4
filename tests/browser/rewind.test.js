// Live rewind on the watch page: back to the start of a past that is ten times as deep as the window in memory, on across
// the place where the media comes from memory again, and back to live.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { launch, openPage } from "./support/browser.js";
import { camera, readFrames, takeFrames } from "./support/glass.js";
import { stop } from "./support/process.js";
import { channel, Server } from "./support/server.js";
import { until } from "./support/wait.js";
import { figures, plays, shows } from "./support/watching.js";

const KEY = "rewind-stream-key";
/** As short as the configuration allows. */
const WINDOW_SECONDS = 10;
const DVR_SECONDS = 10 * WINDOW_SECONDS;
/** Segments stay in memory for two windows. */
const MEMORY_SECONDS = 2 * WINDOW_SECONDS;
const SEGMENT_SECONDS = 1;
/** A short standstill may happen on a busy machine; a fault of ours lasts longer. */
const STANDSTILL_SECONDS = 1.5;
/** Where screenshots go, if they are wanted. */
const SHOTS = process.env.SCREENSHOTS;

const SETTINGS = `
record = true
window_seconds = ${WINDOW_SECONDS}
dvr_seconds = ${DVR_SECONDS}
segment_seconds = ${SEGMENT_SECONDS}
part_seconds = 0.5
[channel.ladder]
video = [{ height = 360 }]`;

describe("live rewind", { timeout: 400_000 }, () => {
  let server, browser, lens, tab;

  const shot = async (name) => {
    if (!SHOTS) return;
    mkdirSync(SHOTS, { recursive: true });
    await tab.page.screenshot({ path: `${SHOTS}/${name}.png` });
  };
  /** Goes to so many seconds behind live by a click on the bar. */
  const click = async (page, behind) => {
    const bar = page.locator(".scrub");
    const [min, max] = await bar.evaluate((node) => [node.ariaValueMin, node.ariaValueMax].map(Number));
    const box = await bar.boundingBox();
    await page.mouse.click(box.x + box.width * (1 - behind / (max - min)), box.y + box.height / 2);
  };
  /** Frames follow each other: none is older than the one before, none is a segment further on than the time explains. */
  const followOn = (frames, rate = 1) => {
    for (const [i, { made, age }] of frames.entries()) {
      if (i === 0) continue;
      const before = frames[i - 1];
      const step = made - before.made;
      const jump = step - rate * (made + age - before.made - before.age);
      assert.ok(step >= 0 && jump <= 1000 * SEGMENT_SECONDS, `frame ${i} of ${frames.length}: ${step} ms on`);
    }
  };
  const age = (frames) => frames.at(-1).age / 1000;

  before(async () => {
    server = await Server.start(channel("harbour", KEY, SETTINGS));
    browser = await launch();
    lens = camera(server.rtmp(KEY), 640);
    await server.reaches("harbour", "live", 30);
    const deep = async () => {
      const answer = await fetch(`${server.url}/live/harbour/rewind.json`);
      if (answer.status !== 200) return null;
      const { from, seconds } = await answer.json();
      assert.equal(seconds, DVR_SECONDS);
      return Date.now() - Date.parse(from) > 1000 * DVR_SECONDS;
    };
    await until("the past is as deep as it gets", deep, { seconds: DVR_SECONDS + 30, every: 1000 });
  });
  after(async () => {
    await browser?.close();
    if (lens) await stop(lens);
    await server?.stop();
  });

  test("to the start, on across the join, and back to live", async (t) => {
    tab = await openPage(browser, {
      hosts: [new URL(server.url).host],
      viewport: { width: 1000, height: 720 },
    });
    const { page, faults } = tab;
    const lists = [];
    page.on("request", (request) => {
      if (request.url().includes("index.m3u8")) lists.push(new URL(request.url()).search);
    });
    await page.goto(`${server.url}/watch/harbour`);
    await shows(page, "live", 30);
    const live = await plays(page, 2);
    assert.equal(live.past, false);
    assert.ok(!lists.some((query) => query.includes("dvr")), "who watches live reads the short list");
    const bar = page.locator(".scrub");
    await bar.waitFor();
    const span = () => bar.evaluate((node) => Number(node.ariaValueMax) - Number(node.ariaValueMin));
    const wide = await span();
    assert.ok(wide > 0.8 * DVR_SECONDS && wide <= DVR_SECONDS, `the bar is ${wide} s wide`);
    await shot("rewind-live");

    // Thumbnails of what has left the window, with their time.
    const box = await bar.boundingBox();
    const preview = page.locator(".scrub-picture");
    await until(
      "a thumbnail of the start is shown",
      async () => {
        await page.mouse.move(box.x + box.width * 0.21, box.y + box.height / 2);
        await page.mouse.move(box.x + box.width * 0.2, box.y + box.height / 2);
        return preview.isVisible();
      },
      { seconds: 15 },
    );
    assert.match(await page.locator(".scrub-words").textContent(), /^−1:1\d\d\d:\d\d:\d\d$/);
    await shot("rewind-thumbnail");

    // The start of the past.
    await bar.focus();
    await page.keyboard.press("Home");
    const at = await until("it plays the start of the past", async () => {
      const now = await figures(page);
      return now.past && now.media === "playing" && now.latency > 0.8 * DVR_SECONDS && now;
    });
    assert.ok(at.latency <= DVR_SECONDS + 2, `${at.latency} s behind`);
    await readFrames(page);
    await plays(page, 4);
    const old = await takeFrames(page);
    assert.ok(age(old) > 0.8 * DVR_SECONDS && age(old) < DVR_SECONDS, `the picture is ${age(old)} s old`);
    followOn(old);
    await shot("rewind-start");

    // On across the join, twice as fast as it moves away.
    await click(page, MEMORY_SECONDS + 12);
    await until("it has moved on", async () => Math.abs((await figures(page)).latency - MEMORY_SECONDS - 12) < 6);
    await plays(page, 1);
    await takeFrames(page);
    const from = await figures(page);
    await page.evaluate(() => {
      document.querySelector("video").playbackRate = 2;
    });
    const frames = [];
    await until(
      "it has come into what is in memory",
      async () => {
        frames.push(...(await takeFrames(page)));
        return frames.length > 0 && age(frames) < MEMORY_SECONDS - 8;
      },
      { seconds: 60, describe: async () => [frames.at(-1), await figures(page)] },
    );
    const to = await figures(page);
    const first = frames[0].age / 1000;
    t.diagnostic(`${frames.length} frames from ${first} s to ${age(frames)} s behind, ${to.stalls - from.stalls} stalls`);
    assert.ok(first > MEMORY_SECONDS, "it began in what only the recording has");
    assert.equal(to.past, true);
    followOn(frames, 2);
    assert.ok(to.stalledSeconds - from.stalledSeconds < STANDSTILL_SECONDS, JSON.stringify(to));

    // Back to live, with low latency.
    await page.getByRole("button", { name: /^Go to live/ }).click();
    const back = await until("it is live again", async () => {
      const now = await figures(page);
      return !now.past && now.media === "playing" && now.latency < 6 && now;
    });
    lists.length = 0;
    await until("it reads the list of low latency", () => lists.some((query) => query.includes("_HLS_part=")));
    assert.ok(!lists.some((query) => query.includes("dvr")));
    await page.getByRole("button", { name: /^Live, / }).waitFor();
    t.diagnostic(`${back.latency.toFixed(1)} s behind after the return, ${live.latency.toFixed(1)} s before it`);
    assert.equal(back.error, "");
    assert.deepEqual(faults, []);
    await tab.close();
  });

  test("on a phone, by keys, and after a long pause", async () => {
    tab = await openPage(browser, { hosts: [new URL(server.url).host], viewport: { width: 390, height: 700 } });
    const { page, faults } = tab;
    await page.goto(`${server.url}/watch/harbour`);
    await shows(page, "live", 30);
    const live = await plays(page, 2);
    await page.locator(".scrub").waitFor();
    await page.keyboard.press("k");
    await until("it pauses", async () => (await figures(page)).media === "paused");
    const long = async () => (await figures(page)).latency > MEMORY_SECONDS + 2;
    await until("the live list has let go of it", long, { seconds: 40, describe: () => figures(page) });
    await page.keyboard.press("k");
    const on = await until("it goes on where it was", async () => {
      const now = await figures(page);
      return now.past && now.media === "playing" && now;
    });
    assert.ok(on.latency > MEMORY_SECONDS, `${on.latency} s behind: it went on elsewhere`);
    await plays(page, 1);
    await page.mouse.move(200, 100);
    await shot("rewind-phone");
    for (let i = 0; i < 4; i++) await page.keyboard.press("ArrowLeft");
    await until("it went back", async () => (await figures(page)).latency > on.latency + 12);
    await page.keyboard.press("l");
    await until("it is live again", async () => {
      const now = await figures(page);
      return !now.past && now.media === "playing" && now.latency < live.latency + 4;
    });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 390, `${wide} px wide on a phone of 390`);
    assert.deepEqual(faults, []);
    await tab.close();
  });
});

// The watch page through a broadcast: off air, on air, the broadcaster drops and returns, the end, and again.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { launch, openPage } from "./support/browser.js";
import { Publisher } from "./support/publisher.js";
import { channel, Server } from "./support/server.js";
import { until } from "./support/wait.js";
import { figures, plays, shows } from "./support/watching.js";

const KEY = "watch-stream-key";
const RECONNECT_SECONDS = 8;
/** A short standstill may happen on a busy machine; a fault of ours lasts longer. */
const STANDSTILL_SECONDS = 1.5;

describe("watch page", { timeout: 400_000 }, () => {
  let browser;
  /** @type {Server} */ let server;
  /** @type {Publisher | undefined} */ let publisher;
  /** @type {Awaited<ReturnType<typeof openPage>>} */ let tab;

  const publish = () => {
    publisher = new Publisher(server.rtmp(KEY));
  };
  const open = async (path, options = {}) => {
    tab = await openPage(browser, { hosts: [new URL(server.url).host], ...options });
    await tab.page.goto(server.url + path);
    return tab.page;
  };

  before(async () => {
    browser = await launch();
  });
  after(() => browser?.close());

  beforeEach(async () => {
    publisher = undefined;
    const settings = `title = "Harbour camera"\nreconnect_seconds = ${RECONNECT_SECONDS}\nslate_after_seconds = 2`;
    const ladder = "[channel.ladder]\nvideo = [{ height = 480 }, { height = 240 }]";
    server = await Server.start(channel("cam", KEY, `${settings}\n${ladder}`));
  });
  afterEach(async () => {
    await tab?.close();
    await publisher?.drop();
    await server?.stop();
  });

  test("publish, drop, return, end, off air, again", async (t) => {
    const page = await open("/watch/cam");
    await shows(page, "off_air");
    await page.getByText("There is no broadcast right now").waitFor();
    assert.equal(await page.locator("h1").textContent(), "Harbour camera");

    publish();
    await shows(page, "live");
    const playing = await plays(page, 5);
    assert.ok(playing.latency > 0 && playing.latency < 15, `latency ${playing.latency}`);
    assert.deepEqual(
      playing.levels.map((l) => l.name),
      ["240p", "480p"],
    );

    await publisher.drop();
    await shows(page, "reconnecting");
    await page.getByText("Waiting for the broadcaster to return").waitFor();
    await plays(page, 3);

    publish();
    await shows(page, "live");
    const after = await plays(page, 8);
    assert.ok(after.stalledSeconds < STANDSTILL_SECONDS, `stood still: ${JSON.stringify(after)}`);
    assert.equal(after.error, "");
    t.diagnostic(JSON.stringify({ latency: after.latency, stalls: after.stalls, dropped: after.droppedFrames }));

    const before = (await server.json("/api/v1/channels/cam")).newest_segment.number;
    await publisher.end();
    await shows(page, "ended", RECONNECT_SECONDS + 30);
    await page.getByText("The broadcast has ended").waitFor();
    // Who comes now finds it off air.
    const late = await openPage(browser, { hosts: [new URL(server.url).host] });
    await late.page.goto(`${server.url}/watch/cam`);
    await shows(late.page, "off_air");
    await late.close();

    publish();
    await shows(page, "live", 30);
    const again = await plays(page, 5);
    assert.ok(again.latency < 15, `latency ${again.latency}: the old session is played`);
    const number = (await server.json("/api/v1/channels/cam")).newest_segment.number;
    assert.ok(number > before, "numbers go on");
    assert.deepEqual(tab.faults, []);
  });

  test("the server is killed and comes back", async (t) => {
    publish();
    await server.reaches("cam", "live");
    const page = await open("/watch/cam");
    await plays(page, 3);
    await server.kill();
    await publisher?.drop();
    await shows(page, "no_connection", 40);
    await page.getByText("Trying again by itself").waitFor();
    await server.relaunch();
    publish();
    await server.reaches("cam", "live");
    const started = performance.now();
    await shows(page, "live", 20);
    t.diagnostic(`live ${((performance.now() - started) / 1000).toFixed(1)} s after the server was`);
    const { latency } = await plays(page, 5);
    assert.ok(latency !== null && latency < 20, `latency ${latency}`);
    assert.deepEqual(tab.faults, []);
  });

  test("the controls, the keys and the menu", async () => {
    publish();
    await server.reaches("cam", "live");
    const page = await open("/watch/cam", { viewport: { width: 900, height: 700 } });
    await plays(page, 2);
    const video = (name) => page.evaluate((n) => document.querySelector("video")[n], name);
    const key = (k) => page.keyboard.press(k);

    const muted = await video("muted");
    await key("m");
    assert.equal(await video("muted"), !muted);
    await key("m");

    await key("k");
    await until("paused by key", () => video("paused"));
    await page.getByRole("button", { name: "Play", exact: true }).waitFor();
    await key("k");
    await until("playing by key", async () => !(await video("paused")));

    // So much that there is something to go back to.
    await plays(page, 10);
    await key("ArrowLeft");
    await key("ArrowLeft");
    await page.getByRole("button", { name: /^Go to live/ }).waitFor();
    const behind = (await figures(page)).latency;
    await key("l");
    await until("at live again", async () => (await figures(page)).latency < behind - 2);

    await page.mouse.move(400, 200);
    await page.getByRole("button", { name: /^Quality/ }).click();
    await page.getByRole("menuitemradio", { name: "240p" }).click();
    await until("240 lines on the screen", async () => (await video("videoHeight")) === 240, { seconds: 30 });
    await until("its level is known", async () => (await figures(page)).level === 0);

    await key("?");
    await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
    await key("Escape");

    await page.setViewportSize({ width: 320, height: 640 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 320, `${wide} px wide on a phone of 320`);
    assert.deepEqual(tab.faults, []);
  });

  test("a browser that allows no sound plays without it and offers it", async () => {
    const strict = await launch({ autoplay: false });
    try {
      publish();
      await server.reaches("cam", "live");
      tab = await openPage(strict, { hosts: [new URL(server.url).host] });
      const { page } = tab;
      // Every question to a page counts as a touch of the viewer, so the page has to speak up by itself.
      await page.addInitScript(() => {
        const say = (event) => console.log(`${event.type}, muted: ${event.target.muted}`);
        document.addEventListener("playing", say, { capture: true, once: true });
      });
      const spoken = page.waitForEvent("console", (message) => message.text().startsWith("playing"));
      await page.goto(`${server.url}/watch/cam`);
      assert.equal((await spoken).text(), "playing, muted: true");
      await page.getByRole("button", { name: "Turn the sound on" }).click();
      assert.equal(await page.evaluate(() => document.querySelector("video").muted), false);
      await plays(page, 1);
    } finally {
      await strict.close();
    }
  });

  test("the embedded player waits for a click where it is told to", async () => {
    publish();
    await server.reaches("cam", "live");
    const page = await open("/embed/cam?autoplay=0&muted=1");
    const asked = [];
    page.on("request", (request) => asked.push(request.url()));
    const play = page.getByRole("button", { name: "Play", exact: true });
    await play.first().waitFor();
    assert.equal((await figures(page)).media, "detached");
    assert.deepEqual(
      asked.filter((url) => url.includes(".m")),
      [],
      "no media before the click",
    );
    await play.first().click();
    await plays(page, 2);
    assert.equal(await page.evaluate(() => document.querySelector("video").muted), true);
    assert.deepEqual(tab.faults, []);
  });

  test("an unknown channel is said to be unknown", async () => {
    const page = await open("/watch/nothing");
    await shows(page, "not_found");
    await page.getByText("There is no channel “nothing”").waitFor();
    assert.deepEqual(tab.faults, []);
  });
});

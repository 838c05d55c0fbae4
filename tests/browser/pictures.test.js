// Pictures of the pages, for people to look at: tests/out/*.png. With UPDATE_IMAGES=1 also docs/images/watch.png.

import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { launch, openPage } from "./support/browser.js";
import { Publisher } from "./support/publisher.js";
import { channel, Server } from "./support/server.js";
import { until } from "./support/wait.js";
import { figures, plays, shows } from "./support/watching.js";

const ROOT = resolve(import.meta.dirname, "../..");
const OUT = join(ROOT, "tests/out");
const DESKTOP = { viewport: { width: 1280, height: 800 } };
const PHONE = {
  viewport: { width: 360, height: 720 },
  context: { deviceScaleFactor: 2, hasTouch: true, isMobile: true },
};
/** Dusk over water, and the time in UTC. */
const FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf";
const DUSK =
  "gradients=size=1280x720:rate=30:nb_colors=5:speed=0.00001:x0=640:y0=0:x1=640:y1=719:" +
  "c0=0x0b1c2e:c1=0x1d4a63:c2=0xd9a066:c3=0x174252:c4=0x081820";
const CLOCK =
  `,drawtext=fontfile=${FONT}:text='%{gmtime\\:%H\\\\\\:%M\\\\\\:%S} UTC':` +
  "x=(w-tw)/2:y=h*0.28:fontsize=84:fontcolor=white@0.92";
const PICTURE = existsSync(FONT) ? DUSK + CLOCK : DUSK;

describe("pictures", { timeout: 180_000 }, () => {
  let server, browser, publisher;

  before(async () => {
    mkdirSync(OUT, { recursive: true });
    const quiet = channel("choir", "choir-stream-key", 'title = "Sunday choir"');
    const live = channel("harbour", "harbour-stream-key", 'title = "Harbour camera"');
    server = await Server.start(live + quiet);
    publisher = new Publisher(server.rtmp("harbour-stream-key"), { picture: PICTURE });
    await server.reaches("harbour", "live");
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await publisher?.drop();
    await server?.stop();
  });

  async function picture(name, path, options, ready) {
    const { page, faults, close } = await openPage(browser, { hosts: [new URL(server.url).host], ...options });
    try {
      await page.goto(server.url + path);
      await ready(page);
      const { width } = options.viewport;
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= width, `${name} is ${wide} px wide on a screen of ${width}`);
      await page.screenshot({ path: join(OUT, `${name}.png`) });
      assert.deepEqual(faults, []);
    } finally {
      await close();
    }
  }

  /** Plays, with its controls in sight. */
  const playing = async (page) => {
    await plays(page, 3, 30);
    assert.equal((await figures(page)).state, "live");
    await page.locator(".player").dispatchEvent("pointermove");
    const shown = () => page.evaluate(() => getComputedStyle(document.querySelector(".bar")).opacity === "1");
    await until("the controls are in sight", shown, { every: 50 });
  };

  for (const [size, options] of [
    ["desktop", DESKTOP],
    ["phone", PHONE],
  ]) {
    test(`watch page, ${size}`, async () => {
      await picture(`watch-${size}`, "/watch/harbour", options, playing);
      if (size === "desktop" && process.env.UPDATE_IMAGES === "1") {
        mkdirSync(join(ROOT, "docs/images"), { recursive: true });
        copyFileSync(join(OUT, "watch-desktop.png"), join(ROOT, "docs/images/watch.png"));
      }
    });
    test(`off air, ${size}`, () => picture(`off-air-${size}`, "/watch/choir", options, (page) => shows(page, "off_air")));
    test(`console, ${size}`, () =>
      picture(`console-${size}`, "/#/channels/harbour", options, async (page) => {
        await plays(page, 2, 30);
      }));
  }
});

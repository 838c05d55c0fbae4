// A file from the operator's computer becomes a recording: chosen in the console, with its progress, after an
// interruption too; and what cannot be imported says why.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { launch, openPage } from "./support/browser.js";
import { Server } from "./support/server.js";
import { until } from "./support/wait.js";
import { plays } from "./support/watching.js";

/** Where screenshots go, if they are wanted. */
const SHOTS = process.env.SCREENSHOTS;
const SECONDS = 20;

describe("imports in the console", { timeout: 240_000 }, () => {
  let server, browser, tab, folder, film;

  const shot = async (name) => {
    if (!SHOTS) return;
    mkdirSync(SHOTS, { recursive: true });
    await tab.page.screenshot({ path: `${SHOTS}/${name}.png`, fullPage: true });
  };
  const list = async () => (await server.json("/api/v1/imports")).imports;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "millstream-film-"));
    film = join(folder, "Harbour Film.mov");
    const args = ["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25"];
    args.push("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", String(SECONDS));
    // Large enough for several pieces.
    args.push("-c:v", "libx264", "-preset", "ultrafast", "-b:v", "6M", "-minrate", "6M", "-maxrate", "6M");
    args.push("-bufsize", "6M", "-x264-params", "nal-hrd=cbr", "-c:a", "aac", film);
    execFileSync("ffmpeg", args);
    server = await Server.start();
    browser = await launch();
    tab = await openPage(browser, { hosts: [new URL(server.url).host], viewport: { width: 1280, height: 800 } });
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test("a file is sent, goes on after an interruption, and becomes a recording", async () => {
    const { page, faults } = tab;
    let pieces = 0;
    // The second piece is lost on its way.
    await page.route("**/api/v1/imports/*/file", (route) => {
      if (route.request().method() === "PATCH") pieces++;
      return pieces === 2 ? (pieces++, route.abort()) : route.continue();
    });
    await page.goto(`${server.url}/#/recordings`);
    await page.getByText("Import a video file").waitFor();
    await shot("import-none");
    await page.getByLabel("File to import").setInputFiles(film);
    const row = page.locator("[data-import]");
    await row.waitFor();
    const line = () => row.locator(".import-line").textContent({ timeout: 1000 }).catch(() => "gone");
    const seen = new Set();
    await until(
      "it is encoded, and said so",
      async () => {
        const words = await line();
        seen.add(words.split(",")[0]);
        return /^Encoding, [1-9]\d? %, [\d.]+ times real time, .+ left$/.test(words);
      },
      { seconds: 60, every: 50, describe: () => [...seen] },
    );
    assert.ok(await row.locator("progress").evaluate((bar) => bar.value > 0 && bar.value < 1));
    await shot("import-running");
    await page.setViewportSize({ width: 390, height: 780 });
    await shot("import-running-phone");
    await page.setViewportSize({ width: 1280, height: 800 });
    const asset = page.locator('[data-asset="harbour-film"]');
    await asset.waitFor({ timeout: 120_000 });
    assert.ok(pieces > 2, `${pieces} pieces`);
    const [made] = await list();
    assert.equal(made.state, "done");
    assert.ok(Math.abs(made.duration_seconds - SECONDS) < 0.5);

    // It plays, and is one file to take along.
    const link = asset.getByRole("link", { name: "Download" });
    assert.equal(await link.getAttribute("href"), "/vod/harbour-film/asset.mp4");
    const file = await fetch(server.url + (await link.getAttribute("href")), { headers: { range: "bytes=4-7" } });
    assert.equal(await file.text(), "ftyp");
    await page.goto(`${server.url}/watch/vod/harbour-film`);
    await plays(page, 1, 30);
    assert.deepEqual(faults, []);
  });

  test("what is no film says so, and goes when it was read", async () => {
    const { page, faults } = tab;
    const text = join(folder, "notes.mp4");
    writeFileSync(text, "This is no film at all.\n".repeat(100));
    await page.goto(`${server.url}/#/recordings`);
    await page.getByLabel("File to import").setInputFiles(text);
    const failed = page.locator("[data-import].failed");
    await failed.waitFor({ timeout: 30_000 });
    const [said] = (await list()).filter((i) => i.state === "failed");
    assert.ok(said.error.length > 10);
    await page.getByText(said.error).waitFor();
    await shot("import-failed");
    await failed.getByRole("button", { name: "Dismiss" }).click();
    await failed.waitFor({ state: "detached" });
    assert.deepEqual((await list()).filter((i) => i.state === "failed"), []);
    assert.deepEqual(faults, []);
  });
});

// The stream keys of a channel in the console: added with an end and networks, used, made anew, revoked.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { launch, openPage } from "./support/browser.js";
import { Publisher } from "./support/publisher.js";
import { channel, Server } from "./support/server.js";
import { until } from "./support/wait.js";

/** Where screenshots go, if they are wanted. */
const SHOTS = process.env.SCREENSHOTS;

describe("stream keys in the console", { timeout: 180_000 }, () => {
  let server, browser, publisher, tab;

  const shot = async (name) => {
    if (!SHOTS) return;
    mkdirSync(SHOTS, { recursive: true });
    await tab.page.screenshot({ path: `${SHOTS}/${name}.png`, fullPage: true });
  };

  before(async () => {
    server = await Server.start(channel("fixed", "fixed-stream-key"));
    const made = await fetch(`${server.url}/api/v1/channels`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ name: "harbour", title: "Harbour camera", mode: "passthrough", reconnect_seconds: 1 }),
    });
    assert.equal(made.status, 201);
    browser = await launch();
    tab = await openPage(browser, { hosts: [new URL(server.url).host], viewport: { width: 1280, height: 900 } });
  });
  after(async () => {
    await browser?.close();
    await publisher?.drop();
    await server?.stop();
  });

  test("add, publish, rotate, revoke", async () => {
    const { page, faults } = tab;
    const panel = page.locator(".keys");
    const row = (name) => panel.locator(`[data-key="${name}"]`);
    const button = (name) => panel.getByRole("button", { name, exact: true });
    const keys = async () => (await server.json("/api/v1/channels/harbour/keys")).keys;
    await page.goto(`${server.url}/#/channels/harbour`);
    await row("default").waitFor();

    // A refusal in the server's words.
    await button("Add a key").click();
    await panel.getByLabel("Name").fill("default");
    await button("Make the key").click();
    await panel.getByRole("alert").waitFor();
    await panel.getByLabel("Name").fill("studio-2");
    await panel.getByLabel(/^Valid until/).fill("2099-12-01T12:00");
    await panel.getByLabel(/^Only from/).fill("127.0.0.0/8, 192.0.2.0/24");
    await panel.getByLabel(/^Passphrase for SRT/).selectOption("32");
    await shot("keys-add");
    await button("Make the key").click();
    const secret = await panel.locator("#made-key").textContent();
    await row("studio-2").getByText("only from 127.0.0.0/8, 192.0.2.0/24").waitFor();
    const [, made] = await keys();
    assert.equal(made.name, "studio-2");
    assert.equal(made.srt_key_bytes, 32);
    const passphrase = await panel.locator("#made-passphrase").textContent();
    assert.ok(passphrase.length >= 10 && passphrase !== secret);
    await row("studio-2").getByText("SRT with AES-256").waitFor();
    assert.equal(new Date(made.expires).getUTCFullYear(), 2099);

    publisher = new Publisher(server.rtmp(secret), { picture: "testsrc2=size=320x180:rate=30" });
    await row("studio-2").getByText("Publishing").waitFor({ timeout: 20_000 });
    await shot("keys");
    await page.setViewportSize({ width: 390, height: 800 });
    await shot("keys-phone");
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 390, `${wide} px wide on a phone of 390`);
    await page.setViewportSize({ width: 1280, height: 900 });

    // Another secret: the stream goes on.
    await row("studio-2").getByRole("button", { name: "Rotate" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Rotate key" }).click();
    await until("there is another key", async () => (await panel.locator("#made-key").textContent()) !== secret);
    assert.equal((await keys())[1].publishing, true);

    // Revoked, its stream ends.
    await row("studio-2").getByRole("button", { name: "Revoke" }).click();
    await page.getByRole("dialog").getByText("the stream that it let in ends now").waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke key" }).click();
    await row("studio-2").waitFor({ state: "detached" });
    assert.deepEqual((await keys()).map((key) => key.name), ["default"]);
    await until("its stream has ended", async () => (await server.state("harbour")) !== "live");
    assert.deepEqual(faults, []);
  });

  test("a key of the configuration file is changed there", async () => {
    const { page, faults } = tab;
    await page.goto(`${server.url}/#/channels/fixed`);
    const row = page.locator('.keys [data-key="default"]');
    await row.getByText("set in the configuration file").waitFor();
    assert.equal(await row.getByRole("button").count(), 0);
    assert.deepEqual(faults, []);
  });
});

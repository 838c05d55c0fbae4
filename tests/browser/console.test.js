// The console: a channel from its creation to its deletion, by the mouse of an operator.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, openPage } from "./support/browser.js";
import { Publisher } from "./support/publisher.js";
import { Server } from "./support/server.js";
import { plays } from "./support/watching.js";

describe("console", { timeout: 180_000 }, () => {
  let server, browser, publisher, tab;

  before(async () => {
    server = await Server.start();
    browser = await launch();
    tab = await openPage(browser, {
      hosts: [new URL(server.url).host],
      viewport: { width: 1280, height: 900 },
      context: { permissions: ["clipboard-read", "clipboard-write"] },
    });
  });
  after(async () => {
    await browser?.close();
    await publisher?.drop();
    await server?.stop();
  });

  test("create, copy the key, publish, preview, stop, delete", async () => {
    const { page, faults } = tab;
    const button = (name) => page.getByRole("button", { name, exact: true });
    const create = async (name, title) => {
      await page.getByLabel("Name").fill(name);
      await page.getByLabel("Title").fill(title);
      await button("Create channel").click();
    };
    await page.goto(server.url);
    await page.getByText("No channels yet").waitFor();
    await page.getByRole("link", { name: "Create a channel" }).click();

    // A refusal is shown in the server's words, at the field.
    await create("Not A Name", "");
    await page.locator("#field-name-hint.wrong").waitFor();
    await create("harbour", "Harbour camera");

    // The key is there once.
    const key = await page.locator("#stream-key").textContent();
    assert.match(key, /^[\w.~-]{8,}$/);
    await page.getByRole("button", { name: /Copy Stream key/ }).click();
    await page.getByRole("button", { name: /Copied Stream key/ }).waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), key);
    const address = await page.locator("#rtmp-server").textContent();
    assert.equal(address, `rtmp://${server.listening.rtmp}/live`);

    // What is shown is what an encoder needs.
    publisher = new Publisher(`${address}/${key}`);
    const chip = page.locator(".channel-title .chip");
    await page.locator(".channel-title .chip", { hasText: "Live" }).waitFor({ timeout: 30_000 });
    await plays(page, 3, 30);
    await page.getByText("1280 × 720, 30 fps").first().waitFor();
    await page.getByRole("row", { name: /^480p H\.264/ }).waitFor();

    await page.reload();
    await page.getByText("Shown only once").waitFor();
    assert.equal(await page.locator("#stream-key").count(), 0);
    assert.ok(!(await page.content()).includes(key), "the key is nowhere any more");

    // The same name again.
    await page.getByRole("link", { name: "New channel" }).click();
    await create("harbour", "");
    await page.getByRole("alert").waitFor();
    await button("Cancel").click();

    // Settings.
    await button("Settings").click();
    await page.getByLabel("Title").fill("Harbour, north side");
    await button("Save").click();
    await page.getByRole("heading", { name: "Harbour, north side", level: 1 }).waitFor();
    const { config } = await server.json("/api/v1/channels/harbour");
    assert.equal(config.title, "Harbour, north side");

    // A new key closes the old one's door.
    await button("Make a new key").first().click();
    await page.getByRole("dialog").getByRole("button", { name: "Make a new key" }).click();
    const next = await page.locator("#stream-key").textContent();
    assert.notEqual(next, key);

    await button("Stop").click();
    await button("Stop channel").click();
    await chip.filter({ hasText: "Stopped" }).waitFor({ timeout: 30_000 });
    await button("Start").click();
    await chip.filter({ hasText: "Off air" }).waitFor();

    await button("Delete").click();
    await button("Delete channel").click();
    await page.getByText("No channels yet").waitFor();
    assert.deepEqual((await server.json("/api/v1/channels")).channels, []);
    assert.deepEqual(faults, []);
  });

  test("without the server it says so, and recovers", async () => {
    const { page } = tab;
    await page.goto(server.url);
    await page.getByText("No channels yet").waitFor();
    await server.kill();
    await page.getByRole("alert").getByText("The server does not answer").waitFor();
    await server.relaunch();
    await page.getByRole("alert").waitFor({ state: "detached" });
  });
});

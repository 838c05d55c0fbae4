// Users and tokens in the console: the first admin, what admins do with others, the own password, what a role sees.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, openPage } from "./support/browser.js";
import { Server } from "./support/server.js";

const PASSWORD = "correct horse battery";
const ANOTHER = "another one entirely";

describe("users and tokens in the console", { timeout: 180_000 }, () => {
  let server, browser, tab;

  before(async () => {
    server = await Server.start('[[channel]]\nname = "news"\ntitle = "News"\n');
    browser = await launch();
    tab = await openPage(browser, {
      hosts: [new URL(server.url).host],
      viewport: { width: 1280, height: 900 },
      context: { permissions: ["clipboard-read", "clipboard-write"] },
    });
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  const shot = (page, name) =>
    process.env.SCREENSHOTS && page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}.png`, fullPage: true });

  /** The status of a request with a token. */
  const status = async (token, path = "/api/v1/channels") =>
    (await fetch(server.url + path, { headers: { authorization: `Bearer ${token}` } })).status;

  test("the first admin, users, tokens, the own password", async () => {
    const { page, faults } = tab;
    const button = (name) => page.getByRole("button", { name, exact: true });
    const logIn = async (user, password) => {
      await page.getByLabel("User").fill(user);
      await page.getByLabel("Password").fill(password);
      await button("Log in").click();
    };
    // On this machine with nothing configured everything is open; the first one is to be an admin.
    await page.goto(server.url);
    await page.getByRole("link", { name: "Users" }).click();
    await page.getByText("There are none yet").waitFor();
    await shot(page, "users-none");
    await button("Add a user").click();
    await page.getByLabel("Name", { exact: true }).fill("anna");
    await page.getByLabel("Password", { exact: true }).fill("short");
    assert.equal(await page.getByRole("radio", { name: /^Admin/ }).isChecked(), true);
    await page.getByRole("radio", { name: /^Viewer/ }).check();
    await button("Add the user").click();
    await page.getByRole("alert").filter({ hasText: "fewer than 10 characters" }).waitFor();
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await button("Add the user").click();
    await page.getByRole("alert").filter({ hasText: "to be an admin" }).waitFor();
    await shot(page, "users-refused");
    await page.getByRole("radio", { name: /^Admin/ }).check();
    await page.getByRole("button", { name: "Show “Password”" }).click();
    assert.equal(await page.getByLabel("Password", { exact: true }).getAttribute("type"), "text");
    await button("Add the user").click();

    // That closes the console; the password opens it.
    await page.getByRole("heading", { name: "Log in" }).waitFor();
    await logIn("anna", PASSWORD);
    await page.getByRole("heading", { name: "Users and tokens" }).waitFor();
    await page.locator("[data-user=anna]").getByText("you", { exact: true }).waitFor();

    // A user for one channel.
    await button("Add a user").click();
    await page.getByLabel("Name", { exact: true }).fill("vera");
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await page.getByLabel("Only for these channels").fill("Not A Name");
    await button("Add the user").click();
    await page.getByRole("alert").filter({ hasText: "The list of channels is not valid" }).waitFor();
    await page.getByLabel("Only for these channels").fill("news, acme-*");
    await shot(page, "users-add");
    await button("Add the user").click();
    await page.getByRole("status").filter({ hasText: "vera is added" }).waitFor();
    await page.locator("[data-user=vera]").getByText("for news, acme-*").waitFor();

    // Another role, and another password.
    await button("Role of vera").click();
    await page.getByRole("radio", { name: /^Operator/ }).check();
    await button("Change the role").click();
    await page.locator("[data-user=vera]").getByText("operator", { exact: true }).waitFor();
    await button("Password of vera").click();
    await page.getByLabel("Another password for vera", { exact: true }).fill(ANOTHER);
    await button("Set the password").click();
    await page.getByRole("status").filter({ hasText: "another password" }).waitFor();
    const logged = await fetch(`${server.url}/api/v1/session`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ user: "vera", password: ANOTHER }),
    });
    assert.equal((await logged.json()).caller.role, "operator");

    // A token is shown once, opens what it is for, and nothing when it is revoked.
    await button("Make a token").click();
    await page.getByLabel("Name", { exact: true }).fill("ci");
    await page.getByLabel("Valid for").selectOption("30 days");
    await button("Make the token").click();
    const token = await page.locator("#made-token").textContent();
    assert.match(token, /^mst_/);
    await page.getByRole("button", { name: /Copy Token/ }).click();
    await page.getByRole("button", { name: /Copied Token/ }).waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), token);
    await shot(page, "users-token");
    assert.deepEqual([await status(token), await status(token, "/api/v1/tokens")], [200, 403]);
    await page.locator("[data-token=ci]").getByText(/ · used /).waitFor();
    await page.reload();
    await page.locator("[data-token=ci]").waitFor();
    assert.ok(!(await page.content()).includes(token), "the token is nowhere any more");
    await shot(page, "users-all");
    await page.setViewportSize({ width: 390, height: 844 });
    await button("Role of vera").click();
    await shot(page, "users-phone");
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 390, `the page is ${wide} px wide`);
    await page.setViewportSize({ width: 1280, height: 900 });
    await button("Cancel").click();
    await button("Revoke ci").click();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke token" }).click();
    await page.getByText("No tokens yet").waitFor();
    assert.equal(await status(token), 401);

    // The last admin stays.
    await button("Remove anna").click();
    await page.getByRole("dialog").getByText("This is you").waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Remove user" }).click();
    await page.getByRole("dialog").getByRole("alert").filter({ hasText: "last admin" }).waitFor();
    await page.keyboard.press("Escape");

    // One's own password, by the keyboard.
    await page.locator(".who summary").focus();
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Your password" }).waitFor();
    const change = async (present, next, again) => {
      await page.getByLabel("Present password", { exact: true }).fill(present);
      await page.getByLabel("New password", { exact: true }).fill(next);
      await page.getByLabel("New password again", { exact: true }).fill(again);
      await page.keyboard.press("Enter");
    };
    await change(PASSWORD, ANOTHER, "mistyped one");
    await page.getByRole("alert").filter({ hasText: "not the same" }).waitFor();
    await change("not it at all", ANOTHER, ANOTHER);
    await page.getByRole("alert").filter({ hasText: "The present password is not right" }).waitFor();
    await shot(page, "users-password");
    await change(PASSWORD, ANOTHER, ANOTHER);
    await page.getByRole("status").filter({ hasText: "is changed" }).waitFor();
    await page.reload();
    await page.getByRole("heading", { name: "Your password" }).waitFor();
    await page.locator(".who summary").click();
    await button("Log out").click();
    await logIn("anna", ANOTHER);
    await page.getByRole("heading", { name: "Your password" }).waitFor();

    // Who is removed is out at once.
    await page.getByRole("link", { name: "Users" }).click();
    await button("Remove vera").click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove user" }).click();
    await page.locator("[data-user=vera]").waitFor({ state: "detached" });
    assert.deepEqual(faults, []);
  });

  test("each sees what the role and the channels allow, and is offered no more", async () => {
    const { page } = tab;
    const ask = (method, path, body) =>
      page.evaluate(
        async ([method, path, body]) =>
          (await fetch(path, { method, headers: { "content-type": "application/json" }, body })).status,
        [method, path, JSON.stringify(body)],
      );
    for (const name of ["sport", "acme-1"]) assert.equal(await ask("POST", "/api/v1/channels", { name }), 201);
    for (const [name, role, channels] of [
      ["scoped", "operator", ["sport", "acme-*"]],
      ["single", "operator", ["sport"]],
      ["seer", "viewer", ["sport"]],
      ["watcher", "viewer", null],
    ]) {
      assert.equal(await ask("POST", "/api/v1/users", { name, role, channels, password: PASSWORD }), 201);
    }
    /** What a user finds in the console, and every refusal that the console ran into by itself. */
    const visit = async (name, paths) => {
      const own = await openPage(browser, { hosts: [new URL(server.url).host], viewport: { width: 1280, height: 900 } });
      const refused = [];
      own.page.on("response", (r) => r.status() === 403 && refused.push(`${r.request().method()} ${r.url()}`));
      await own.page.goto(server.url);
      await own.page.getByLabel("User").fill(name);
      await own.page.getByLabel("Password").fill(PASSWORD);
      await own.page.getByRole("button", { name: "Log in", exact: true }).click();
      await own.page.locator(".who summary").waitFor();
      const seen = {};
      for (const path of paths) {
        await own.page.goto(`${server.url}/#/${path}`);
        await own.page.locator("h1:visible").first().waitFor();
        await own.page.waitForLoadState("networkidle");
        const offered = own.page.locator("a.button:visible, button:visible");
        seen[path] = { offered: await offered.allInnerTexts(), text: await own.page.locator("main, .empty-state").first().innerText() };
      }
      seen.entries = await own.page.locator(".entry-title").allInnerTexts();
      seen.areas = await own.page.locator(".areas a").allInnerTexts();
      await shot(own.page, `users-as-${name}`);
      await own.close();
      assert.deepEqual(refused, [], `${name} ran into refusals`);
      return seen;
    };
    const pages = ["recordings", "new", "users", "channels/news", "channels/sport"];
    const scoped = await visit("scoped", pages);
    assert.deepEqual(scoped.entries.toSorted(), ["acme-1", "sport"], "only their channels");
    assert.deepEqual(scoped.areas, ["Channels", "Recordings"]);
    assert.match(scoped["channels/news"].text, /no channel “news”/);
    assert.match(scoped.users.text, /needs the role admin/);
    assert.match(scoped.new.text, /Yours: sport, acme-\*/);
    assert.ok(!scoped.recordings.text.includes("Import a video file"), "imports are of the whole server");
    for (const name of ["New channel", "Stop", "Settings", "Delete", "Add a key"]) {
      assert.ok(scoped["channels/sport"].offered.includes(name), `an operator is not offered ${name}`);
    }
    const single = await visit("single", ["channels/sport"]);
    assert.ok(!single["channels/sport"].offered.includes("New channel"), "the one name is taken");
    for (const name of ["seer", "watcher"]) {
      const seen = await visit(name, pages);
      assert.equal(seen.entries.length, name === "seer" ? 1 : 3);
      assert.match(seen.new.text, /needs the role operator, and yours is viewer/);
      for (const path of ["channels/sport", "recordings"]) {
        const harmless = /^(Open watch page|Copy|Watch|Download|Change password|Log out)$|^$/;
        const more = seen[path].offered.filter((label) => !harmless.test(label));
        assert.deepEqual(more, [], `${name} is offered more on ${path}`);
      }
    }
  });
});

// The console with operators: log in, what each role is offered, log out.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, openPage } from "./support/browser.js";
import { Server } from "./support/server.js";

const ADMIN = "an-admin-by-the-environment-0123456789";
const PASSWORD = "correct horse battery";

describe("console with operators", { timeout: 120_000 }, () => {
  let server, browser, tab;

  const ask = (method, path, body) =>
    fetch(server.url + path, {
      method,
      headers: { authorization: `Bearer ${ADMIN}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });

  before(async () => {
    const channels = '[operators]\nrequire = true\n[[channel]]\nname = "news"\ntitle = "News"\n';
    server = await Server.start(channels, { MILLSTREAM_OPERATORS_ADMIN_TOKEN: ADMIN });
    for (const [name, role] of [
      ["anna", "admin"],
      ["vera", "viewer"],
    ]) {
      const added = await ask("POST", "/api/v1/users", { name, role, password: PASSWORD });
      assert.equal(added.status, 201);
    }
    assert.equal((await ask("POST", "/api/v1/channels", { name: "harbour", title: "Harbour" })).status, 201);
    browser = await launch();
    tab = await openPage(browser, {
      hosts: [new URL(server.url).host],
      viewport: { width: 1280, height: 800 },
    });
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  test("log in, roles, log out", async () => {
    const { page } = tab;
    const button = (name) => page.getByRole("button", { name, exact: true });
    const shot = (name) =>
      process.env.SCREENSHOTS && page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}.png` });
    const logIn = async (user, password) => {
      await page.getByLabel("User").fill(user);
      await page.getByLabel("Password").fill(password);
      await button("Log in").click();
    };
    await page.goto(server.url);
    await page.getByRole("heading", { name: "Log in" }).waitFor();
    assert.ok(!(await page.content()).includes("Harbour"), "nothing is shown before");
    await shot("operators-log-in");
    await logIn("vera", "not the password");
    await page.getByRole("alert").filter({ hasText: "user or the password is wrong" }).waitFor();
    assert.equal(await page.getByLabel("Password").inputValue(), "", "a wrong password does not stay");
    await shot("operators-refused");

    // A viewer sees, and is offered nothing else.
    await logIn("vera", PASSWORD);
    await page.getByRole("heading", { name: "Harbour" }).waitFor();
    for (const name of ["Stop", "Settings", "Delete", "Make a new key"]) {
      assert.equal(await button(name).count(), 0, `a viewer is offered ${name}`);
    }
    assert.equal(await page.getByRole("link", { name: "New channel" }).count(), 0);
    const cookies = await page.context().cookies();
    assert.deepEqual(
      cookies.map((c) => [c.name, c.httpOnly, c.sameSite]),
      [["millstream", true, "Strict"]],
    );
    const status = await page.evaluate(async () => (await fetch("/api/v1/channels/harbour/stop", { method: "POST" })).status);
    assert.equal(status, 403, "the server refuses it, too");
    await page.locator(".who summary").click();
    await page.getByText("viewer", { exact: true }).waitFor();
    await shot("operators-viewer");

    // A role that changes counts at once; the log-in goes on over a reload.
    assert.equal((await ask("PATCH", "/api/v1/users/vera", { role: "operator" })).status, 200);
    await page.reload();
    await button("Stop").waitFor();
    await shot("operators-operator");

    // Another password ends it, wherever the console is open.
    assert.equal((await ask("PATCH", "/api/v1/users/vera", { password: "another one entirely" })).status, 200);
    await page.getByRole("heading", { name: "Log in" }).waitFor();

    await logIn("anna", PASSWORD);
    await button("Stop").click();
    await button("Start").waitFor();
    await page.locator(".who summary").click();
    await button("Log out").click();
    await page.getByRole("heading", { name: "Log in" }).waitFor();
    await page.reload();
    await page.getByRole("heading", { name: "Log in" }).waitFor();
    assert.deepEqual(await page.context().cookies(), [], "the cookie is gone");

    // By a token.
    await button("Log in with a token").click();
    await page.getByLabel("Token").fill(ADMIN);
    await button("Log in").click();
    await page.getByRole("heading", { name: "Harbour" }).waitFor();
    await page.locator(".who summary", { hasText: "admin_token" }).waitFor();

    // On a phone.
    await page.setViewportSize({ width: 390, height: 844 });
    await page.locator(".who summary").click();
    await shot("operators-phone");
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 390, `the page is ${wide} px wide`);
  });
});

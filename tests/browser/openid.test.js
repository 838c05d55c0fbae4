// Log-in to the console by an OpenID Connect provider: its button, its page, the way back, and what may go wrong on it.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, openPage } from "./support/browser.js";
import { CLIENT, Provider, SECRET } from "./support/openid.js";
import { Server } from "./support/server.js";

describe("log-in by OpenID Connect", { timeout: 120_000 }, () => {
  let provider, server, browser, tab;

  before(async () => {
    provider = await Provider.start();
    server = await Server.start("", { MILLSTREAM_OPERATORS_OPENID_SECRET: SECRET });
    // Its own address is known when it has started once.
    await server.kill();
    server.channels = `[operators]
require = true
openid_issuer = "${provider.issuer}"
openid_client = "${CLIENT}"
openid_url = "${server.url}"
openid_roles = ["ops=admin", "studio=operator:news"]
[[channel]]
name = "news"
title = "News"
[[channel]]
name = "sport"
title = "Sport"
`;
    await server.relaunch();
    browser = await launch();
    const hosts = [new URL(server.url).host, new URL(provider.issuer).host];
    tab = await openPage(browser, { hosts, viewport: { width: 1280, height: 800 } });
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    await provider?.stop();
  });

  test("there and back", async () => {
    const { page, faults } = tab;
    const shot = (name) =>
      process.env.SCREENSHOTS && page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}.png` });
    const begin = async () => {
      await page.getByRole("link", { name: "Log in with your organisation" }).click();
      await page.getByRole("button", { name: "I am anna" }).click();
    };
    const refused = async (words) => {
      await page.getByRole("alert").filter({ hasText: words }).waitFor();
      await page.getByRole("heading", { name: "Log in" }).waitFor();
    };
    await page.goto(server.url);
    await page.getByRole("link", { name: "Log in with your organisation" }).waitFor();
    await shot("openid-log-in");

    // Known there, but with no role here; and who does not agree there.
    provider.groups = ["staff"];
    await begin();
    await refused("no role here");
    await shot("openid-no-role");
    provider.error = "access_denied";
    await begin();
    await refused("broken off");
    provider.error = null;

    // The role and the channels of a group, by RS256.
    provider.groups = ["staff", "studio"];
    await begin();
    await page.getByRole("heading", { name: "News", level: 1 }).waitFor();
    assert.deepEqual(await page.locator(".entry-title").allInnerTexts(), ["News"], "only their channel");
    await page.locator(".who summary", { hasText: "anna@id.example" }).click();
    await page.getByText("operator, for news").waitFor();
    assert.equal(await page.getByRole("link", { name: "Change password" }).count(), 0, "it is changed there");
    const cookies = await page.context().cookies(server.url);
    assert.deepEqual(
      cookies.map((c) => [c.name, c.httpOnly, c.sameSite]),
      [["millstream", true, "Strict"]],
    );
    await page.reload();
    await page.getByRole("heading", { name: "News", level: 1 }).waitFor();
    await page.locator(".who summary").click();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByRole("heading", { name: "Log in" }).waitFor();

    // The provider's keys are others now, by ES256; the group is another, too.
    provider.rotate("ES256");
    provider.groups = ["ops"];
    await begin();
    await page.getByRole("link", { name: "Users" }).waitFor();
    await page.locator(".who summary").click();
    await page.getByRole("button", { name: "Log out" }).click();
    assert.deepEqual(await page.context().cookies(server.url), []);

    // Away before anything is known of it: said at the log-in.
    await server.kill();
    await server.relaunch();
    await provider.stop();
    await page.goto(server.url);
    await page.getByRole("link", { name: "Log in with your organisation" }).click();
    await refused("cannot be used now");
    await shot("openid-away");
    assert.match(server.log(), /gave no usable answer/);
    assert.deepEqual(faults, []);
  });
});

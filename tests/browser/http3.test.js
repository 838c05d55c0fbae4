// The watch page over HTTP/3 in Chromium: everything comes by QUIC, and the channel, which needs signed cookies, plays.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { launch, openPage } from "./support/browser.js";
import { Publisher } from "./support/publisher.js";
import { channel, Server } from "./support/server.js";
import { Signer } from "./support/signature.js";
import { until } from "./support/wait.js";
import { plays, shows } from "./support/watching.js";

/** A certificate of its own for localhost, in files; `spki` is what Chromium can be told to trust. */
function certify(folder) {
  const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  const made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "10"];
  const named = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  execFileSync("openssl", [...made, ...named, "-keyout", key, "-out", cert], { stdio: "ignore" });
  const { publicKey } = new X509Certificate(readFileSync(cert));
  const spki = createHash("sha256").update(publicKey.export({ type: "spki", format: "der" })).digest("base64");
  return { cert, key, spki };
}

describe("HTTP/3", { timeout: 120_000 }, () => {
  let folder, signer, server, publisher, browser, base;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "millstream-http3-"));
    const { cert, key, spki } = certify(folder);
    signer = new Signer("KHTTP3TEST", join(folder, "keys"));
    server = await Server.start(channel("cam", "http3-stream-key", 'mode = "passthrough"'), {
      MILLSTREAM_SERVER_HTTPS: "127.0.0.1:0",
      MILLSTREAM_SERVER_HTTP3: "true",
      MILLSTREAM_SERVER_TLS_CERTIFICATE: cert,
      MILLSTREAM_SERVER_TLS_KEY: key,
      MILLSTREAM_ACCESS_PATHS: "/live/cam/",
      MILLSTREAM_ACCESS_KEYS: join(folder, "keys"),
    });
    assert.equal(server.listening.http3, server.listening.https);
    base = `localhost:${server.listening.https.split(":")[1]}`;
    publisher = new Publisher(server.rtmp("http3-stream-key"));
    const live = async () => (await server.json("/api/v1/channels/cam")).state === "live";
    await until("the channel is live", live, { seconds: 20, describe: () => server.log() });
    const quic = [`--origin-to-force-quic-on=${base}`, `--ignore-certificate-errors-spki-list=${spki}`];
    quic.push("--host-resolver-rules=MAP localhost 127.0.0.1");
    browser = await launch({ quic });
  });

  after(async () => {
    await browser?.close();
    await publisher?.drop();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test("the watch page and its media come by QUIC, and the channel plays", async (t) => {
    const { page, faults, close } = await openPage(browser, { hosts: [base] });
    try {
      const cam = `https://${base}/live/cam/`;
      await page.goto(`https://${base}/watch/cam`);
      const list = () => page.evaluate(async (url) => (await fetch(url)).status, `${cam}index.m3u8`);
      assert.equal(await list(), 403, "without cookies");
      await signer.giveCookies(page, cam);
      assert.equal(await list(), 200, "with cookies");
      await page.reload();
      await shows(page, "live", 30);
      await plays(page, 6, 30);
      const spoken = () =>
        page.evaluate(() => {
          const all = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
          const count = {};
          for (const { nextHopProtocol: p } of all) count[p || "none"] = (count[p || "none"] ?? 0) + 1;
          return count;
        });
      let seen;
      await until("media by HTTP/3", async () => (seen = await spoken()).h3 > 5, { describe: () => seen });
      t.diagnostic(JSON.stringify(seen));
      assert.deepEqual(Object.keys(seen).filter((p) => p !== "h3" && p !== "none"), []);
      assert.deepEqual(faults, []);
    } finally {
      await close();
    }
  });
});

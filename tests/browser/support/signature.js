// A viewer's signature in CloudFront's format, by Node's own cryptography.

import { createSign, generateKeyPairSync } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** base64 as URLs and cookies take it. */
const plain = (bytes) =>
  bytes.toString("base64").replaceAll("+", "-").replaceAll("=", "_").replaceAll("/", "~");

/** A key pair whose public half lies in a folder of trusted keys. */
export class Signer {
  /** @param {string} id the key-pair id @param {string} folder */
  constructor(id, folder) {
    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    this.id = id;
    this.privateKey = privateKey;
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `${id}.pem`), publicKey.export({ type: "spki", format: "pem" }));
  }

  /** Policy, signature and key-pair id for everything below a URL, for ten minutes. */
  everythingBelow(base) {
    const end = Math.floor(Date.now() / 1000) + 600;
    const condition = { DateLessThan: { "AWS:EpochTime": end } };
    const policy = JSON.stringify({ Statement: [{ Resource: `${base}*`, Condition: condition }] });
    const signed = createSign("RSA-SHA1").update(policy).sign(this.privateKey);
    return { Policy: plain(Buffer.from(policy)), Signature: plain(signed), "Key-Pair-Id": this.id };
  }

  /** The same as cookies of a page's context. */
  async giveCookies(page, base) {
    const { hostname, pathname, protocol } = new URL(base);
    const where = { domain: hostname, path: pathname, secure: protocol === "https:", httpOnly: true };
    const all = Object.entries(this.everythingBelow(base));
    await page.context().addCookies(all.map(([name, value]) => ({ name: `CloudFront-${name}`, value, ...where })));
  }
}

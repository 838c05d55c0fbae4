// A small OpenID Connect provider with a page to log in on: authorization code with PKCE, ID tokens by RS256 or ES256.

import { createHash, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { createServer } from "node:http";

export const CLIENT = "millstream";
export const SECRET = "the secret of the client";

const encoded = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

export class Provider {
  /** Who logs in is in these groups. */
  groups = [];
  /** Sends the browser back with this instead of a code. */
  error = null;
  #codes = new Map();
  #key;

  static async start() {
    const provider = new Provider();
    provider.rotate("RS256");
    provider.server = createServer((req, res) => void provider.#answer(req, res));
    await new Promise((resolve) => provider.server.listen(0, "127.0.0.1", resolve));
    provider.issuer = `http://127.0.0.1:${provider.server.address().port}`;
    return provider;
  }

  /** Another key. @param {"RS256" | "ES256"} alg */
  rotate(alg) {
    const pair =
      alg === "RS256"
        ? generateKeyPairSync("rsa", { modulusLength: 2048 })
        : generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.#key = { alg, kid: randomUUID(), ...pair };
  }

  stop() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }

  async #answer(req, res) {
    const url = new URL(req.url, this.issuer);
    const json = (value, status = 200) =>
      res.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    switch (url.pathname) {
      case "/.well-known/openid-configuration":
        return json({
          issuer: this.issuer,
          authorization_endpoint: `${this.issuer}/authorize`,
          token_endpoint: `${this.issuer}/token`,
          jwks_uri: `${this.issuer}/keys`,
        });
      case "/keys": {
        const { alg, kid, publicKey } = this.#key;
        return json({ keys: [{ ...publicKey.export({ format: "jwk" }), alg, kid, use: "sig" }] });
      }
      case "/authorize":
        return res
          .writeHead(200, { "content-type": "text/html" })
          .end(`<h1>Who are you?</h1><form action="/agree"><input type=hidden name=q value="${encoded(url.search)}">
                <button>I am anna</button></form>`);
      case "/agree": {
        const asked = new URLSearchParams(Buffer.from(url.searchParams.get("q"), "base64url").toString());
        const back = new URL(asked.get("redirect_uri"));
        back.searchParams.set("state", asked.get("state"));
        if (this.error === null) {
          const code = randomUUID();
          this.#codes.set(code, asked);
          back.searchParams.set("code", code);
        } else back.searchParams.set("error", this.error);
        return res.writeHead(302, { location: back.href }).end();
      }
      case "/token": {
        let body = "";
        for await (const part of req) body += part;
        const form = new URLSearchParams(body);
        const asked = this.#codes.get(form.get("code"));
        this.#codes.delete(form.get("code"));
        const basic = Buffer.from(`${CLIENT}:${encodeURIComponent(SECRET)}`).toString("base64");
        const challenge = createHash("sha256").update(form.get("code_verifier") ?? "").digest("base64url");
        const fits = asked?.get("code_challenge") === challenge && asked.get("redirect_uri") === form.get("redirect_uri");
        if (req.headers.authorization !== `Basic ${basic}` || !fits) return json({ error: "invalid_grant" }, 400);
        return json({ access_token: "unused", token_type: "Bearer", id_token: this.#token(asked.get("nonce")) });
      }
      default:
        return json({}, 404);
    }
  }

  #token(nonce) {
    const { alg, kid, privateKey } = this.#key;
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: this.issuer, aud: CLIENT, sub: "1", email: "anna@id.example", groups: this.groups, nonce };
    const signed = `${encoded({ alg, kid })}.${encoded({ ...claims, iat: now, exp: now + 300 })}`;
    const signature = sign("sha256", Buffer.from(signed), { key: privateKey, dsaEncoding: "ieee-p1363" });
    return `${signed}.${signature.toString("base64url")}`;
  }
}

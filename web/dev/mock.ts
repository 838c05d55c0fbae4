// A stand-in for the server while the pages are made: the API, the public status and live HLS, as a Vite plugin.
// `GET /dev/state?channel=NAME&state=live` puts a channel into a state; `&down=1` makes the server not answer.

import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import type { Connect, Plugin } from "vite";
import { MockArchive } from "./archive.ts";
import { type MockChannel, MockChannels } from "./channels.ts";
import { LoopedMedia, RENDITIONS, SEGMENT_SECONDS } from "./media.ts";

const POLICY =
  "default-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; img-src 'self' data: blob:; " +
  "style-src 'self' 'unsafe-inline'; connect-src 'self'";

function json(res: ServerResponse, status: number, value: unknown): void {
  const type = status >= 400 ? "application/problem+json" : "application/json";
  res.writeHead(status, { "content-type": type, "cache-control": "no-store" });
  res.end(JSON.stringify(value));
}

function problem(res: ServerResponse, status: number, title: string, detail: string): void {
  json(res, status, { type: "about:blank", status, title, detail });
}

async function body(req: IncomingMessage): Promise<Record<string, unknown>> {
  const parts: Buffer[] = [];
  for await (const part of req) parts.push(part as Buffer);
  const text = Buffer.concat(parts).toString();
  return text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
}

class Mock {
  private readonly channels = new MockChannels();
  private readonly archive: MockArchive;
  private media: LoopedMedia | undefined;
  private down = false;
  private readonly startedAt = Date.now();

  constructor(private readonly cache: string) {
    this.archive = new MockArchive(`${cache}.storyboard.jpg`);
    const demo = this.channels.add("demo", { title: "Harbour camera" });
    this.channels.setState(demo, "live", 31 * 60_000);
    const choir = this.channels.add("choir", { title: "Sunday choir", since: Date.now() - 3 * 86_400_000 });
    choir.enabled = true;
    const town = this.channels.add("town-hall", { title: "Town hall" });
    this.channels.setState(town, "input_loss", 11 * 60_000);
    town.since = Date.now() - 9000;
    town.warnings.push("The machine cannot encode the whole ladder in real time; 1080p was switched off.");
    this.channels.add("studio-b", { mode: "passthrough", enabled: false });
  }

  async handle(req: IncomingMessage, res: ServerResponse, next: () => void): Promise<void> {
    const url = new URL(req.url ?? "/", "http://localhost");
    const path = url.pathname;
    if (path === "/dev/state") return this.control(url, res);
    if (this.down && /^\/(api|live)\//.test(path)) {
      req.socket.destroy();
      return;
    }
    if (path === "/api/v1/time") {
      res.writeHead(200, { "content-type": "text/plain", "cache-control": "no-store" });
      res.end(new Date().toISOString());
      return;
    }
    if (path.startsWith("/api/v1/")) return this.api(req, res, path.slice("/api/v1".length));
    const vod = /^\/vod\/([^/]+)\/(.+)$/.exec(path);
    if (vod) {
      const asset = this.archive.find(vod[1] ?? "");
      const file = asset && this.archive.file(asset, vod[2] ?? "");
      if (!file) return problem(res, 404, "Not Found", "no such asset, or nothing of this name in it");
      res.writeHead(200, { "content-type": file.type }).end(req.method === "HEAD" ? undefined : file.body);
      return;
    }
    const live = /^\/live\/([^/]+)\/(.+)$/.exec(path);
    if (live) return this.live(res, live[1] ?? "", live[2] ?? "");
    if (path.startsWith("/watch/")) req.url = "/watch.html";
    else if (path.startsWith("/embed/")) req.url = "/embed.html";
    next();
  }

  private control(url: URL, res: ServerResponse): void {
    this.down = url.searchParams.get("down") === "1";
    const channel = this.channels.all.get(url.searchParams.get("channel") ?? "");
    const state = url.searchParams.get("state");
    if (channel && state) this.channels.setState(channel, state);
    json(res, 200, { down: this.down, state: channel?.state ?? null });
  }

  private live(res: ServerResponse, name: string, rest: string): void {
    const channel = this.channels.all.get(name);
    if (!channel) return problem(res, 404, "Not Found", "no such channel");
    if (rest === "status.json") {
      return json(res, 200, {
        state: channel.state,
        since: new Date(channel.since).toISOString(),
        title: channel.title,
      });
    }
    this.media ??= new LoopedMedia(this.cache);
    const window = this.channels.window(channel, Date.now());
    if (window === null) {
      res.writeHead(503, { "retry-after": "2" }).end();
      return;
    }
    const text = (type: string, lines: string[]) =>
      res.writeHead(200, { "content-type": type, "cache-control": "max-age=1" }).end(`${lines.join("\n")}\n`);
    if (rest === "index.m3u8") {
      const audio =
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="Main",DEFAULT=YES,AUTOSELECT=YES,URI="audio/index.m3u8"';
      const variants = RENDITIONS.flatMap((r) => [
        `#EXT-X-STREAM-INF:BANDWIDTH=${Math.round(r.bitRate * 1.2)},RESOLUTION=${r.width}x${r.height},` +
          'FRAME-RATE=30.000,CODECS="avc1.64001f,mp4a.40.2",AUDIO="audio"',
        `${r.name}/index.m3u8`,
      ]);
      text("application/vnd.apple.mpegurl", [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        audio,
        ...variants,
      ]);
      return;
    }
    const [track = "", file = ""] = rest.split("/");
    if (file === "index.m3u8") {
      const lines = ["#EXTM3U", "#EXT-X-VERSION:7", `#EXT-X-TARGETDURATION:${SEGMENT_SECONDS}`];
      lines.push(`#EXT-X-MEDIA-SEQUENCE:${window.first}`, '#EXT-X-MAP:URI="init.mp4"');
      for (let n = window.first; n <= window.last; n++) {
        const time = new Date((n - 1) * SEGMENT_SECONDS * 1000).toISOString();
        lines.push(`#EXT-X-PROGRAM-DATE-TIME:${time}`, `#EXTINF:${SEGMENT_SECONDS.toFixed(3)},`, `${n}.m4s`);
      }
      if (window.ended) lines.push("#EXT-X-ENDLIST");
      text("application/vnd.apple.mpegurl", lines);
      return;
    }
    const media =
      file === "init.mp4" ? this.media.init(track) : this.media.segment(track, Number.parseInt(file, 10));
    if (media === undefined) return problem(res, 404, "Not Found", "no such segment");
    res.writeHead(200, { "content-type": "video/mp4" }).end(media);
  }

  private async api(req: IncomingMessage, res: ServerResponse, path: string): Promise<void> {
    const { channels, archive } = this;
    if (path === "/session") {
      const caller = { name: "this machine", kind: "machine", role: "admin", channels: null };
      return json(res, 200, { required: false, caller, openid: null });
    }
    const created = new Date(this.startedAt).toISOString();
    if (path === "/users")
      return json(res, 200, { users: [{ name: "anna", role: "admin", channels: null, created }] });
    if (path === "/tokens")
      return json(res, 200, { tokens: [{ name: "ci", role: "operator", channels: ["demo"], created }] });
    if (path === "/storage")
      return json(res, 200, { bytes: 306e6, deleting_bytes: 0, keep_seconds: 604_800, keep_bytes: 50e9 });
    if (path === "/imports") return json(res, 200, { imports: [] });
    if (path.startsWith("/assets") && path.split("/").length === 2)
      return json(res, 200, { assets: archive.assets.map((a) => archive.view(a)), next: null });
    if (path === "/clips") {
      const { asset, start, end, title } = await body(req);
      const made = archive.clip(String(asset), String(start), String(end), String(title ?? ""));
      return made ? json(res, 201, made) : problem(res, 404, "Not Found", `there is no asset ${asset}`);
    }
    if (path.startsWith("/assets/")) {
      const asset = archive.find(path.slice(8));
      if (!asset) return problem(res, 404, "Not Found", "there is no such asset");
      if (req.method === "DELETE") archive.remove(asset.id);
      return json(res, 200, archive.view(asset));
    }
    if (path === "/server") {
      return json(res, 200, {
        version: "0.1.0-mock",
        listening: { http: "127.0.0.1:5173", rtmp: "0.0.0.0:1935" },
        uptime_seconds: (Date.now() - this.startedAt) / 1000,
      });
    }
    if (path === "/channels" && req.method === "GET") {
      return json(res, 200, { channels: [...channels.all.values()].map((c) => channels.status(c)) });
    }
    if (path === "/channels" && req.method === "POST") {
      const fields = await body(req);
      const name = String(fields.name ?? "");
      if (!/^[a-z0-9][a-z0-9_-]{0,62}$/.test(name)) {
        return problem(
          res,
          422,
          "Invalid channel",
          "name: use a-z, 0-9, - and _, beginning with a letter or digit",
        );
      }
      if (channels.all.has(name))
        return problem(res, 409, "Conflict", `there is already a channel named ${name}`);
      const channel = channels.add(name, fields as Partial<MockChannel>);
      return json(res, 201, { ...channels.status(channel), stream_key: channels.key() });
    }
    const [, name = "", action = ""] = /^\/channels\/([^/]+)(?:\/(.+))?$/.exec(path) ?? [];
    const channel = channels.all.get(decodeURIComponent(name));
    if (!channel) return problem(res, 404, "Not Found", `there is no channel named ${name}`);
    switch (`${req.method} ${action}`) {
      case "GET ":
        break;
      case "PATCH ":
        Object.assign(channel, await body(req));
        break;
      case "DELETE ":
        channels.all.delete(channel.name);
        res.writeHead(204).end();
        return;
      case "POST start":
        channel.enabled = true;
        break;
      case "POST stop":
        channel.enabled = false;
        channels.setState(channel, "offline");
        break;
      case "GET keys":
        return json(res, 200, {
          keys: [
            {
              name: "default",
              managed_by: "api",
              created: null,
              expires: null,
              addresses: [],
              publishing: true,
            },
          ],
        });
      case "POST rotate-key":
        return json(res, 200, { stream_key: channels.key() });
      default:
        return problem(res, 405, "Method Not Allowed", `${req.method} ${path}`);
    }
    json(res, 200, channels.status(channel));
  }
}

export function mockServer(): Plugin {
  const mock = () => new Mock(join(import.meta.dirname, "../node_modules/.mock-media"));
  const use = (middlewares: Connect.Server, strict: boolean) => {
    const server = mock();
    middlewares.use((req, res, next) => {
      if (strict) res.setHeader("content-security-policy", POLICY);
      server
        .handle(req, res, next)
        .catch((error: unknown) => problem(res, 500, "Mock failed", String(error)));
    });
  };
  return {
    name: "millstream-mock",
    configureServer: (server) => use(server.middlewares, false),
    configurePreviewServer: (server) => use(server.middlewares, true),
  };
}

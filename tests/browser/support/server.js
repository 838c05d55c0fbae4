// The real server in a folder of its own, on free ports.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { start, stop } from "./process.js";
import { until } from "./wait.js";

const ROOT = resolve(import.meta.dirname, "../../..");
const BINARY = resolve(ROOT, process.env.MILLSTREAM_BIN ?? "target/release/millstream");

export class Server {
  /** @param {string} channels TOML of the channels @param {Record<string, string>} env further variables */
  static async start(channels = "", env = {}) {
    const server = new Server(channels, env);
    await server.launch("127.0.0.1:0", "127.0.0.1:0");
    return server;
  }

  constructor(channels, env) {
    this.channels = channels;
    this.env = env;
    this.folder = mkdtempSync(join(tmpdir(), "millstream-browser-"));
    this.logFile = join(this.folder, "server.log");
  }

  async launch(http, rtmp) {
    const data = join(this.folder, "data");
    const config = join(this.folder, "millstream.toml");
    writeFileSync(
      config,
      `[server]\nhttp = "${http}"\ndata_dir = ${JSON.stringify(data)}\n[ingest]\nrtmp = "${rtmp}"\nsrt = "off"\nwebrtc = "off"\n${this.channels}`,
    );
    const listening = join(data, "listening.json");
    rmSync(listening, { force: true });
    this.child = start(BINARY, ["serve", "--config", config], this.logFile, this.env);
    this.listening = await until(
      "the server listens",
      () => {
        if (this.child.exitCode !== null) throw new Error(`the server ended: ${this.log()}`);
        try {
          return JSON.parse(readFileSync(listening, "utf8"));
        } catch {
          return null;
        }
      },
      { every: 50, describe: () => this.log() },
    );
    this.url = `http://${this.listening.http}`;
  }

  /** What the server has said so far, its end. */
  log() {
    try {
      return readFileSync(this.logFile, "utf8").slice(-4000);
    } catch {
      return "";
    }
  }

  /** @param {string} key the stream key */
  rtmp(key) {
    return `rtmp://${this.listening.rtmp}/live/${key}`;
  }

  async json(path) {
    const response = await fetch(this.url + path);
    return response.json();
  }

  async state(channel) {
    return (await this.json(`/live/${channel}/status.json`)).state;
  }

  /** Waits until the channel is in this state. */
  reaches(channel, state, seconds = 20) {
    let seen;
    const read = async () => (seen = await this.state(channel)) === state;
    return until(`channel ${channel} is ${state}`, read, { seconds, describe: () => [seen, this.log()] });
  }

  /** Power cut: no goodbye. The next launch takes the same ports. */
  async kill() {
    await stop(this.child, "SIGKILL");
  }

  async relaunch() {
    await this.launch(this.listening.http, this.listening.rtmp);
  }

  async stop() {
    if (this.child) await stop(this.child);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** TOML of one channel. */
export function channel(name, key, more = "") {
  return `[[channel]]\nname = "${name}"\nstream_key = "${key}"\n${more}\n`;
}

/**
 * An edge in front of a server, with a folder and a port of its own.
 * @param {string} origin @param {Record<string, string>} env further variables
 */
export async function startEdge(origin, env = {}) {
  const folder = mkdtempSync(join(tmpdir(), "millstream-edge-"));
  const args = ["serve", "--role", "edge", "--origin", origin, "--http", "127.0.0.1:0", "--data-dir", folder];
  const logFile = join(folder, "edge.log");
  const child = start(BINARY, args, logFile, env);
  const listening = await until(
    "the edge listens",
    () => {
      try {
        return JSON.parse(readFileSync(join(folder, "listening.json"), "utf8"));
      } catch {
        return null;
      }
    },
    { every: 50, describe: () => readFileSync(logFile, "utf8").slice(-2000) },
  );
  return {
    url: `http://${listening.http}`,
    stop: async () => {
      await stop(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

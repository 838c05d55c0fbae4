// Pages with other people's players, on an origin of their own: what they load from the server is cross-origin.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";

const HERE = import.meta.dirname;
const PLAYER = join(HERE, "../../../web/src/player");
const MODULES = join(HERE, "../node_modules");
/** @type {Record<string, { file: string, type: string }>} */
const FILES = {
  "/hls.js": { file: join(MODULES, "hls.js/dist/hls.min.js"), type: "text/javascript" },
  "/dash.js": { file: join(MODULES, "dashjs/dist/modern/umd/dash.all.min.js"), type: "text/javascript" },
  "/shaka.js": { file: join(MODULES, "shaka-player/dist/shaka-player.compiled.js"), type: "text/javascript" },
  "/latency-control.js": { file: join(PLAYER, "latency-control.js"), type: "text/javascript" },
  "/meter.js": { file: join(HERE, "players/meter.js"), type: "text/javascript" },
};
for (const player of ["hls", "dash", "dash-low-latency", "native", "shaka"]) {
  FILES[`/${player}`] = { file: join(HERE, `players/${player}.html`), type: "text/html" };
}

export async function startPlayerSite() {
  const server = createServer((request, response) => {
    const known = FILES[new URL(request.url ?? "/", "http://x").pathname];
    if (known === undefined) {
      response.writeHead(request.url === "/favicon.ico" ? 204 : 404).end();
      return;
    }
    response.writeHead(200, { "content-type": `${known.type}; charset=utf-8` }).end(readFileSync(known.file));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const host = `127.0.0.1:${server.address().port}`;
  return {
    host,
    /** @param {string} player @param {string} url of the playlist or manifest */
    page: (player, url) => `http://${host}/${player}?url=${encodeURIComponent(url)}`,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

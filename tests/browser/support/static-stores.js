// Servers that know nothing of us, before a recording's files: nginx over a folder, and a public S3 bucket.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { start, stop } from "./process.js";
import { until } from "./wait.js";

const ROOT = resolve(import.meta.dirname, "../../..");
const NGINX = ["/usr/sbin/nginx", "/usr/bin/nginx"].find((path) => existsSync(path)) ?? "nginx";

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** nginx over a folder: types by suffix, open to pages of other origins, nothing else. */
export async function startNginx(folder) {
  const own = mkdtempSync(join(tmpdir(), "millstream-nginx-"));
  const port = await freePort();
  const places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((p) => `${p}_temp_path ${own}/${p};`);
  // The test's folders are its user's own.
  const user = process.getuid() === 0 ? "user root;" : "";
  const types = "application/vnd.apple.mpegurl m3u8; application/dash+xml mpd; video/mp4 mp4 m4s;";
  writeFileSync(
    join(own, "nginx.conf"),
    `${user} daemon off; pid ${own}/pid; error_log ${own}/error.log; events {}
     http { access_log off; ${places.join(" ")} types { ${types} }
       server { listen 127.0.0.1:${port}; root ${folder}; add_header Access-Control-Allow-Origin *; } }`,
  );
  const child = start(NGINX, ["-p", own, "-e", `${own}/error.log`, "-c", join(own, "nginx.conf")], join(own, "log"));
  const url = `http://127.0.0.1:${port}`;
  await until("nginx answers", () => fetch(url).then(() => true, () => false), { every: 50 });
  return {
    url,
    stop: async () => {
      await stop(child);
      rmSync(own, { recursive: true, force: true });
    },
  };
}

/** An S3 server whose bucket everybody may read; a user of least privilege writes. */
export async function startS3() {
  // Opens the bucket as its owner would, tells what there is, and lives until its input ends.
  const policy = JSON.stringify({
    Version: "2012-10-17",
    Statement: [
      { Effect: "Allow", Principal: "*", Action: "s3:GetObject", Resource: "arn:aws:s3:::millstream/*" },
    ],
  });
  const cors =
    "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>" +
    "<AllowedHeader>*</AllowedHeader></CORSRule></CORSConfiguration>";
  const script = `set -e
    owner() { curl -sS --fail-with-body --user test:test --aws-sigv4 aws:amz:us-east-1:s3 "$@" >/dev/null; }
    owner -X DELETE "$MILLSTREAM_TEST_S3/millstream?publicAccessBlock"
    owner -X PUT "$MILLSTREAM_TEST_S3/millstream?policy" --data-binary '${policy}'
    owner -X PUT "$MILLSTREAM_TEST_S3/millstream?cors" --data-binary '${cors}'
    echo "$MILLSTREAM_TEST_S3 $MILLSTREAM_TEST_S3_KEY $MILLSTREAM_TEST_S3_SECRET"
    exec cat >/dev/null`;
  const child = spawn(join(ROOT, "scripts/s3-for-tests"), ["bash", "-c", script], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = once(child, "exit");
  const said = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next();
  const [url, key, secret] = String(said.value ?? "").split(" ");
  if (!secret) throw new Error("the S3 server did not start; see its message above");
  return {
    url: `${url}/millstream`,
    archive: `[archive]\nurl = "s3://millstream"\nendpoint = "${url}"\nregion = "us-east-1"\naddressing = "path"\n`,
    env: { AWS_ACCESS_KEY_ID: key, AWS_SECRET_ACCESS_KEY: secret },
    stop: async () => {
      child.stdin.end();
      await ended;
    },
  };
}

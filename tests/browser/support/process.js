// Child processes that never outlive the test.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";

const running = new Set();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** Starts a program whose output goes to a file. */
export function start(program, args, logFile, env = {}) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
  const log = createWriteStream(logFile, { flags: "a" });
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  running.add(child);
  child.exited = once(child, "exit").then(([code, signal]) => {
    running.delete(child);
    log.end();
    return { code, signal };
  });
  child.exited.catch(() => running.delete(child));
  return child;
}

/** Asks a child to end, and makes it end if it does not within `seconds`. Gives how it ended. */
export async function stop(child, signal = "SIGTERM", seconds = 15) {
  if (child.exitCode === null && child.signalCode === null) child.kill(signal);
  const timer = setTimeout(() => child.kill("SIGKILL"), seconds * 1000);
  const how = await child.exited;
  clearTimeout(timer);
  return how;
}

// Debian's Chromium, and pages that notice what must not happen in them.

import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
/** Lets pages play with sound without a click. */
const AUTOPLAY = "--autoplay-policy=no-user-gesture-required";

/** @param {{ autoplay?: boolean, quic?: string[] }} [options] `quic` are flags for a browser that may speak HTTP/3 */
export function launch({ autoplay = true, quic } = {}) {
  const flags = quic ? [...FLAGS.filter((flag) => flag !== "--disable-quic"), ...quic] : FLAGS;
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: autoplay ? [...flags, AUTOPLAY] : flags,
  });
}

/** A larger page costs processor time: there is no graphics card here. */
export const SMALL = { width: 640, height: 480 };

/**
 * A page of its own, with a list of what went wrong in it: scripts' errors, refusals by the content policy, requests
 * to hosts other than `hosts`.
 * @param {import("playwright-core").Browser} browser
 * @param {{ hosts: string[], viewport?: { width: number, height: number }, context?: object }} options
 */
export async function openPage(browser, { hosts, viewport = SMALL, context: more = {} }) {
  const context = await browser.newContext({ viewport, ...more });
  const page = await context.newPage();
  /** @type {string[]} */
  const faults = [];
  page.on("pageerror", (error) => faults.push(`script: ${error.message}`));
  page.on("console", (message) => {
    if (/Content Security Policy/i.test(message.text())) faults.push(`policy: ${message.text()}`);
  });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol.startsWith("http") && !hosts.includes(url.host)) faults.push(`foreign host: ${request.url()}`);
  });
  return { page, faults, close: () => context.close() };
}

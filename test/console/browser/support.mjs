// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Shared by the tests: a browser that reaches only the console, and pages that report whatever goes wrong in them.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after } from "node:test";
import { chromium } from "playwright-core";

/** The console's address, with a trailing slash. */
export const address = process.env.CONSOLE_ADDRESS;
export const token = process.env.CONSOLE_TOKEN;
const pictures = process.env.CONSOLE_PICTURES;

export const sizes = { desktop: { width: 1366, height: 860 }, phone: { width: 390, height: 844 } };

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  // There is no sandbox for root, which containers run as. No other host resolves, so nothing reaches the network.
  args: ["--no-sandbox", `--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE ${new URL(address).hostname}`],
});
if (process.env.NODE_TEST_CONTEXT) after(() => browser.close());

/** What went wrong on all pages: errors, console messages (such as of the CSP), requests to other origins. */
export const problems = [];

/** Opens a page of the console as a visitor who is not signed in. */
export async function visit({ size = "desktop", scheme = "light", locale = "en-US", scale = 1, hash = "" } = {}) {
  const { width, height } = sizes[size];
  const context = await browser.newContext({
    viewport: { width: Math.round(width / scale), height: Math.round(height / scale) },
    deviceScaleFactor: scale,
    colorScheme: scheme,
    locale,
    timezoneId: "UTC",
  });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000); // machines that do other work, too
  page.on("pageerror", (error) => problems.push(`error: ${error.message}`));
  page.on("console", (message) => {
    // A 401 tells the page that nobody is signed in.
    const expected = message.text().includes("401") || message.type() === "debug";
    if (!expected) problems.push(`${message.type()}: ${message.text()}`);
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(address)) problems.push(`request to ${request.url()}`);
  });
  await page.goto(address + hash);
  return page;
}

/** Opens the page at a hash such as #/videos, signed in. */
export async function open(hash = "#/videos", options = {}) {
  const page = await visit({ ...options, hash: `#token=${token}` });
  await page.locator("nav a[aria-current=page]").waitFor();
  if (hash !== "#/videos") await go(page, hash);
  return page;
}

/** Navigates to another page of the console. */
export async function go(page, hash) {
  await page.evaluate((to) => {
    location.hash = to;
  }, hash);
}

/** Returns the row of a video in the list. */
export const row = (page, name) =>
  page.locator(".video").filter({ has: page.getByRole("heading", { name, exact: true }) });

/** Opens the review of a video and waits for its first frame. */
export async function review(name, options) {
  const page = await open("#/videos", options);
  await row(page, name).getByRole("heading").getByRole("link").click();
  await shown(page, 0);
  return page;
}

export const frame = async (page) => Number(await page.getByRole("slider").first().getAttribute("aria-valuenow"));

/** Waits until the page shows a frame and listens to keys. */
export async function shown(page, number) {
  await page.locator(`.timeline[aria-valuenow="${number}"]`).waitFor();
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 200))));
}

/** Fails on anything that axe finds on the page in its current state. */
export async function accessible(page, what) {
  await page.evaluate(axe);
  const { violations, passes } = await page.evaluate(() =>
    globalThis.axe.run(document, {
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }),
  );
  assert.ok(passes.length > 10, "axe looked at the page");
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
  assert.deepEqual(found, [], what);
}

/** Saves a picture of the page, if a directory for pictures is given. */
export async function picture(page, name) {
  if (!pictures) return;
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: join(pictures, `${name}.png`), animations: "disabled" });
}

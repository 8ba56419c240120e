// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { test } from "node:test";
import { go, open, problems } from "./support.mjs";

const limit = 1000; // milliseconds

test("the first of 1,000 videos are there within a second", async (context) => {
  const page = await open();
  const times = [];
  for (let load = 0; load < 5; load++) {
    await page.reload({ waitUntil: "commit" });
    await page.locator(".video").nth(9).waitFor();
    times.push(await page.evaluate(() => Math.round(performance.now())));
  }
  context.diagnostic(`milliseconds to the first view: ${times.join(", ")}`);
  assert.ok(Math.min(...times) < limit, `${times}`);
});

test("all 1,000 are counted, searched, and shown as one scrolls", async () => {
  const page = await open();
  await page.getByRole("link", { name: "All 1,000" }).waitFor();
  await page.getByRole("searchbox").fill("clip-777");
  await page.getByRole("heading", { name: "clip-777.mp4" }).waitFor();
  await page.getByRole("searchbox").fill("");
  await page.locator("h1").focus();
  const shown = () => page.locator(".video").count();
  for (let presses = 0; presses < 30 && (await shown()) <= 300; presses++) {
    await page.keyboard.press("End");
    await page.waitForTimeout(200);
  }
  assert.ok((await shown()) > 300, `${await shown()} are shown`);
  await go(page, "#/videos?show=failed");
  await page.getByText("No videos here.").waitFor();
});

test("nothing went wrong in any page, and all requests were to the console", () => assert.deepEqual(problems, []));

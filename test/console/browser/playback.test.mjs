// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// In each video, a white square moves by 12 pixels per frame, so that the pixels identify the frame.
import assert from "node:assert/strict";
import { test } from "node:test";
import { frame, problems, review, shown } from "./support.mjs";

const step = 12; // pixels

/** Returns the number of the frame on the screen, judged by its pixels. */
async function pictured(page) {
  return page.evaluate((pixels) => {
    const picture = document.querySelector(".still") ?? document.querySelector("video");
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [picture.videoWidth ?? picture.naturalWidth, 1];
    const context = canvas.getContext("2d");
    context.drawImage(picture, 0, 4, canvas.width, 1, 0, 0, canvas.width, 1);
    const { data } = context.getImageData(0, 0, canvas.width, 1);
    const white = Array.from({ length: canvas.width }, (_, x) => x).filter((x) => data[4 * x] > 200);
    return Math.round(white[0] / pixels);
  }, step);
}

for (const name of process.env.CONSOLE_VIDEOS.split(",")) {
  test(`each frame is the one that is asked for: ${name}`, async () => {
    const page = await review(name);
    // Without a proxy, the page shows stills until the proxy is ready.
    await page.locator("video").waitFor({ timeout: 60_000 });
    await page.locator(".caption").waitFor({ state: "detached" });
    const field = page.getByLabel("Frame", { exact: false }).and(page.getByRole("spinbutton"));
    for (const number of [7, 8, 22, 21, 3, 3, 0, 24, 11]) {
      await field.fill(String(number));
      await field.press("Enter");
      await shown(page, number);
      assert.equal(await pictured(page), number);
    }
    await page.locator(".still").waitFor({ state: "detached" }); // the browser's own picture is exact
    await page.locator("h1").focus();
    for (const number of [24, 24]) {
      // Plays to the end, then starts again there.
      for (let press = 0; press < 2; press++) await page.keyboard.press("Shift+ArrowRight");
      await shown(page, number);
      assert.equal(await pictured(page), number);
    }
    await page.waitForTimeout(2000); // longer than the player waits for the browser
    assert.equal(await page.locator(".still").count(), 0, "the last frame is the browser's own");
    await field.fill("11");
    await field.press("Enter");
    await shown(page, 11);
    await page.locator("h1").focus();
    for (let press = 0; press < 6; press++) await page.keyboard.press("ArrowRight");
    await shown(page, 17);
    await page.keyboard.press("Shift+ArrowLeft");
    await shown(page, 7);
    assert.equal(await pictured(page), await frame(page));
  });
}

test("nothing went wrong in any page, and all requests were to the console", () => assert.deepEqual(problems, []));

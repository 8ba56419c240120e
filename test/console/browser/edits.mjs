// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Helpers of the tests of corrections.
import assert from "node:assert/strict";
import { shown } from "./support.mjs";

/** Goes to a frame by its number. */
export async function toFrame(page, number) {
  const field = page.locator(".frame-number input");
  await field.fill(String(number));
  await field.press("Enter");
  await shown(page, number);
  await field.blur();
}

/** Returns the server's corrections of the video on the page. */
export const edits = (page) =>
  page.evaluate(async () => (await fetch(`api/v1/videos/${location.hash.split(/[/?]/)[2]}/edits`)).json());

/** Waits until everything is saved, and returns the corrections. */
export async function saved(page) {
  await page.getByText("Everything is saved.").waitFor();
  return edits(page);
}

/** Returns the operations in force that draw, remove or mask. */
export const inForce = ({ operations, live }) =>
  operations.filter(({ id, type }) => live.includes(id) && type !== "revert" && type !== "confirm");

/** Drags from one pixel of the video to another. */
export async function drag(page, [x0, y0], [x1, y1]) {
  const box = await page.locator(".edit-layer").boundingBox();
  const [width, height] = await page
    .locator(".edit-layer")
    .evaluate((layer) => [layer.viewBox.baseVal.width, layer.viewBox.baseVal.height]);
  const to = (x, y) => [box.x + (x / width) * box.width, box.y + (y / height) * box.height];
  await page.mouse.move(...to(x0, y0));
  await page.mouse.down();
  await page.mouse.move(...to((x0 + x1) / 2, (y0 + y1) / 2));
  await page.mouse.move(...to(x1, y1));
  await page.mouse.up();
}

/** Presses Tab until the element with that name has the focus. */
export async function tabTo(page, name) {
  for (let presses = 0; presses < 90; presses++) {
    const focused = await page.evaluate(() => {
      const element = document.activeElement;
      return element.getAttribute("aria-label") ?? element.labels?.[0]?.textContent ?? element.textContent;
    });
    if (name.test(focused?.trim() ?? "")) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`Tab does not reach ${name}`);
}

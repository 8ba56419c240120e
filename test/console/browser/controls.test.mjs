// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Watches a video of a few minutes while it is processed, and controls it by keyboard.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { accessible, address, go, open, picture, problems, row, token } from "./support.mjs";

/** Puts a file into the watched folder. */
async function upload(name, path) {
  const response = await fetch(`${address}api/v1/uploads?name=${name}`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/octet-stream" },
    body: readFileSync(path),
  });
  assert.equal(response.status, 201);
}

/** Waits until the row of a video shows a state. */
const state = (page, name, text) => row(page, name).locator(".badge").getByText(text, { exact: true }).waitFor();

const press = (page, name, button) => row(page, name).getByRole("button", { name: button, exact: true }).press("Enter");

test("work shows up by itself, with how far it is and how long it takes", async () => {
  const page = await open();
  await upload("street.mp4", process.env.CONSOLE_LONG_CLIP);
  await state(page, "street.mp4", "Working");
  const bar = row(page, "street.mp4").getByRole("progressbar");
  await row(page, "street.mp4")
    .getByText(/Frame \d+ of [\d,]+, about .+ left/)
    .waitFor();
  const before = Number(await bar.getAttribute("value"));
  await page.waitForFunction((value) => document.querySelector(".video.working progress").value > value, before);
});

for (const [size, scheme] of [
  ["desktop", "light"],
  ["desktop", "dark"],
  ["phone", "light"],
  ["phone", "dark"],
]) {
  test(`axe finds nothing while work goes on: ${size}, ${scheme}`, async () => {
    const page = await open("#/videos", { size, scheme });
    await state(page, "street.mp4", "Working");
    await accessible(page, "videos");
    await picture(page, `console-videos-${size}-${scheme}`);
    await go(page, "#/system");
    await page.locator(".waterfall .bar").first().waitFor();
    await page.locator(".chart canvas").nth(2).waitFor();
    await accessible(page, "system");
    await picture(page, `console-system-${size}-${scheme}`);
  });
}

test("an urgent video is put first, and the other goes on afterwards", async () => {
  const page = await open();
  await upload("urgent.mp4", process.env.CONSOLE_CLIP);
  await row(page, "urgent.mp4").getByText("Next in the queue.").waitFor();
  await press(page, "urgent.mp4", "Put first");
  await state(page, "urgent.mp4", "To review");
  await state(page, "street.mp4", "Working");
});

test("work is paused, goes on, is canceled and tried again", async () => {
  const page = await open();
  await press(page, "street.mp4", "Pause");
  await state(page, "street.mp4", "Paused");
  await press(page, "street.mp4", "Resume");
  await state(page, "street.mp4", "Working");
  await press(page, "street.mp4", "Cancel");
  const dialog = page.getByRole("dialog", { name: "Cancel this video?" });
  await dialog.waitFor();
  await accessible(page, "the question whether to cancel");
  await dialog.getByRole("button", { name: "Keep working" }).press("Enter");
  await dialog.waitFor({ state: "detached" });
  await state(page, "street.mp4", "Working");
  await press(page, "street.mp4", "Cancel");
  await dialog.getByRole("button", { name: "Discard and cancel" }).press("Enter");
  await state(page, "street.mp4", "Canceled");
  await press(page, "street.mp4", "Try again");
  await state(page, "street.mp4", "Working");
  await press(page, "street.mp4", "Pause");
  await state(page, "street.mp4", "Paused");
});

test("nothing went wrong in any page, and all requests were to the console", () => assert.deepEqual(problems, []));

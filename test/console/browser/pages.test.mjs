// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, address, go, open, picture, problems, row, shown, sizes, token, visit } from "./support.mjs";

// The pages, and their content once they are complete.
const pages = {
  videos: ["#/videos", ".video.failed"],
  system: ["#/system", ".waterfall .bar"],
  audit: ["#/audit", ".records tbody tr, .none"],
};

test("the address of the start line signs in, and does not keep the token", async () => {
  const page = await open();
  assert.equal(page.url(), `${address}#/videos`);
  await row(page, "walk.mp4").waitFor();
  const cookies = await page.context().cookies();
  assert.equal(cookies.length, 1);
  assert.equal(cookies[0].httpOnly, true);
  assert.equal(cookies[0].sameSite, "Strict");
  await page.reload();
  await row(page, "walk.mp4").waitFor();
});

test("a visitor signs in by keyboard, and out", async () => {
  const page = await visit();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await accessible(page, "sign-in");
  await picture(page, "console-sign-in-desktop-light");
  await page.getByLabel("Token", { exact: true }).focus();
  await page.keyboard.type("wrong");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").waitFor();
  await accessible(page, "sign-in with an error");
  await page.keyboard.press("Control+a");
  await page.keyboard.type(token);
  await page.keyboard.press("Enter");
  await row(page, "walk.mp4").waitFor();
  await page.getByRole("button", { name: "Sign out" }).press("Enter");
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
});

test("the list says what happened to each video", async () => {
  const page = await open();
  await row(page, "urgent.mp4")
    .getByText(/Masked\. \d+ moments? to look at before you publish it\./)
    .waitFor();
  await row(page, "notes.mp4")
    .getByText("This is not a video. Check that the file plays, and copy it again.")
    .waitFor();
  await row(page, "notes.mp4").getByRole("button", { name: "Try again" }).waitFor();
});

test("filters and the search narrow the list", async () => {
  const page = await open();
  await page.getByRole("link", { name: /^Failed/ }).press("Enter");
  await row(page, "notes.mp4").waitFor();
  assert.equal(await row(page, "walk.mp4").count(), 0);
  await page.getByRole("link", { name: /^All/ }).press("Enter");
  await page.getByRole("searchbox").fill("WALK");
  await row(page, "walk.mp4").waitFor();
  assert.equal(await page.locator(".video").count(), 1);
  await page.getByRole("searchbox").fill("nowhere");
  await page.getByRole("button", { name: "Show all videos" }).press("Enter");
  await row(page, "notes.mp4").waitFor();
});

test("the system page has the frames that were worked on, step by step", async () => {
  const page = await open("#/system");
  await page.locator(".waterfall").getByText("Find people").first().waitFor();
  await page.locator(".frames li button").nth(3).press("Enter");
  await page.waitForFunction(() => location.hash.includes("trace="));
  assert.equal(await page.locator(".chart canvas").count(), 3);
});

test("a link skips to the content", async () => {
  const page = await open();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "content");
});

for (const [size, scheme] of [
  ["desktop", "light"],
  ["desktop", "dark"],
  ["phone", "light"],
  ["phone", "dark"],
]) {
  test(`axe finds nothing, and nothing is cut off: ${size}, ${scheme}`, async () => {
    const page = await open("#/videos", { size, scheme });
    for (const [name, [hash, complete]] of Object.entries(pages)) {
      await go(page, hash);
      await page.locator(complete).first().waitFor();
      await accessible(page, name);
      await fits(page, name);
    }
  });
}

test("everything is there at 200 % zoom", async () => {
  const page = await open("#/videos", { scale: 2 });
  for (const [name, [hash, complete]] of Object.entries(pages)) {
    await go(page, hash);
    await page.locator(complete).first().waitFor();
    await fits(page, name);
    await accessible(page, `${name} at 200 %`);
  }
  await go(page, "#/videos");
  await row(page, "variable.mp4").getByRole("heading").getByRole("link").click(); // which nobody decides on meanwhile
  await shown(page, 0);
  await page.keyboard.press("n");
  await page.locator(".moment[aria-current] .seen:not(.not)").waitFor();
  await fits(page, "review");
  await accessible(page, "review at 200 %");
  for (const [key, title] of [
    ["?", "Keys"],
    ["x", "Reject this video?"],
  ]) {
    await page.keyboard.press(key);
    await page.getByRole("dialog", { name: title }).waitFor();
    await fits(page, title);
    await accessible(page, `${title} at 200 %`);
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
  }
  assert.equal(page.viewportSize().width, sizes.desktop.width / 2);
});

test("Japanese is chosen by the browser's language, or by hand", async () => {
  const page = await open("#/videos", { locale: "ja-JP" });
  await page.getByRole("heading", { name: "動画", exact: true }).waitFor();
  assert.equal(await page.locator("html").getAttribute("lang"), "ja");
  await picture(page, "console-videos-desktop-japanese");
  await page.getByRole("combobox").selectOption("en");
  await page.getByRole("heading", { name: "Videos", exact: true }).waitFor();
});

test("a video that is put into the folder shows up by itself", async () => {
  const page = await open();
  const name = `late-${Date.now()}.mp4`;
  assert.equal(await row(page, name).count(), 0);
  await fetch(`${address}api/v1/uploads?name=${name}`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/octet-stream" },
    body: "this is no video",
  });
  await row(page, name).getByText("This is not a video.").waitFor();
});

test("files that are dropped onto the page are sent", async () => {
  const page = await open();
  const data = await page.evaluateHandle(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(["this is no video either"], "dropped.mp4"));
    return transfer;
  });
  await page.dispatchEvent("body", "dragover", { dataTransfer: data });
  await page.getByText("Drop files here to mask them").waitFor();
  await page.dispatchEvent("body", "drop", { dataTransfer: data });
  await row(page, "dropped.mp4").getByText("This is not a video.").waitFor();
});

test("the audit verifies", async () => {
  const page = await open("#/audit");
  await page.getByRole("checkbox", { name: "Also compare the files" }).check();
  await page.getByRole("button", { name: "Verify" }).press("Enter");
  await page.getByText(/All \d+ entr(y is|ies are) valid\./).waitFor();
});

test("nothing went wrong in any page, and all requests were to the console", () => assert.deepEqual(problems, []));

/** Fails if the page scrolls sideways. */
async function fits(page, what) {
  const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= window, `${what} is ${content} wide in a window of ${window}`);
}

// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, frame, go, open, picture, problems, review, row, shown } from "./support.mjs";

for (const [size, scheme] of [
  ["desktop", "light"],
  ["desktop", "dark"],
  ["phone", "light"],
  ["phone", "dark"],
]) {
  test(`axe finds nothing in a review: ${size}, ${scheme}`, async () => {
    const page = await review("walk.mp4", { size, scheme });
    await page.getByRole("button", { name: "Next moment" }).click();
    await page.locator(".moment[aria-current] .seen:not(.not)").waitFor();
    await accessible(page, "review");
    const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(content <= window, `the review is ${content} wide in a window of ${window}`);
    await page.locator(".pager").scrollIntoViewIfNeeded();
    const stage = await page.locator(".stage").boundingBox();
    assert.ok(stage.y >= 0, "the picture shows beside the way to the next moment");
    await picture(page, `console-review-${size}-${scheme}`);
  });
}

test("axe finds nothing in the dialogs, which give the focus back", async () => {
  const page = await review("walk.mp4");
  for (const [key, title] of [
    ["?", "Keys"],
    ["y", "Approve this video?"],
    ["x", "Reject this video?"],
  ]) {
    const button = page.getByRole("button", { name: "Next moment" });
    await button.focus();
    await page.keyboard.press(key);
    await page.getByRole("dialog", { name: title }).waitFor();
    await accessible(page, title);
    if (key === "y") await picture(page, "console-approve-desktop-light");
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    assert.ok(await button.evaluate((element) => element === document.activeElement), `the focus after ${title}`);
  }
});

test("single keys can be switched off", async () => {
  const page = await review("walk.mp4");
  await page.keyboard.press("?");
  await page.getByRole("checkbox").uncheck();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("y");
  await page.waitForTimeout(300);
  assert.equal(await frame(page), 0);
  assert.equal(await page.getByRole("dialog").count(), 0);
});

test("a moment plays again and again", async () => {
  const page = await review("walk.mp4");
  await page.keyboard.press("n");
  await page.locator(".moment[aria-current] .seen:not(.not)").waitFor();
  const position = page.getByLabel("Position in the moment");
  const [first, last] = [Number(await position.getAttribute("min")), Number(await position.getAttribute("max"))];
  await page.keyboard.press("l");
  await page.getByRole("button", { name: "Pause" }).waitFor();
  await page.waitForFunction((to) => Number(document.querySelector(".timeline").ariaValueNow) >= to - 1, last);
  await page.waitForFunction((to) => Number(document.querySelector(".timeline").ariaValueNow) < to - 1, last);
  await page.keyboard.press("l");
  await page.getByRole("button", { name: "Play" }).waitFor();
  assert.ok((await frame(page)) >= first);
});

test("a reload keeps the moment and the frame", async () => {
  const page = await review("walk.mp4");
  await page.keyboard.press("n");
  await page.keyboard.press("n");
  await page.locator(".moment[aria-current] .seen:not(.not)").waitFor();
  const before = await frame(page);
  await page.keyboard.press("ArrowRight");
  await shown(page, before + 1);
  await page.waitForFunction((number) => location.hash.endsWith(`frame=${number}`), before + 1);
  await page.reload();
  await shown(page, before + 1);
  assert.match(await page.locator(".pager").innerText(), /^2 \/ \d+$/);
});

test("playing is remembered as watched", async () => {
  const page = await review("talk.mp4");
  const meter = page.locator(".meter progress");
  const before = Number(await meter.getAttribute("value"));
  await page.locator("h1").focus();
  await page.keyboard.press("+");
  await page.keyboard.press("Space");
  await page.getByRole("button", { name: "Pause" }).waitFor();
  await page.waitForFunction(() => Number(document.querySelector(".timeline").getAttribute("aria-valuenow")) > 40);
  await page.keyboard.press("Space");
  await page.getByRole("button", { name: "Play" }).waitFor();
  const watched = Number(await meter.getAttribute("value"));
  assert.ok(watched > before + 0.2, `${watched} of the video were watched`);
  await page.reload();
  await page.waitForFunction((share) => document.querySelector(".meter progress")?.value > share, watched - 0.02);
});

test("whoever has a keyboard alone steps through all moments, and approves", async () => {
  const page = await open();
  await tabTo(page, /^walk.mp4: Review$/);
  await page.keyboard.press("Enter");
  await shown(page, 0);
  await page.getByText(/^The second look found/).waitFor(); // which adds moments
  const all = await page.locator(".list > ol .moment").count();
  assert.ok(all > 5, `${all} moments`);
  for (let moment = 1; moment <= all; moment++) {
    await page.keyboard.press("n");
    await page.locator(".moment[aria-current] .seen:not(.not)").waitFor();
    assert.ok((await page.locator(".pager").innerText()).startsWith(`${moment} /`));
    // The browser shows the frame itself, but on a busy machine not immediately.
    await page.locator(".still").waitFor({ state: "detached" });
  }
  await page.getByText(`${all} of ${all} moments seen`).waitFor();
  await page.getByRole("button", { name: "Approve…", disabled: false }).waitFor(); // the second look is done
  await page.keyboard.press("y");
  await tabTo(page, /^Note/);
  await page.keyboard.type("All heads are covered.");
  await tabTo(page, /^Approve$/);
  await page.keyboard.press("Enter");
  await page.getByText(/Approved by operator, .* You can publish it\./).waitFor();
  await accessible(page, "an approved review");
  await go(page, "#/videos");
  await row(page, "walk.mp4")
    .getByText(/Approved by operator/)
    .waitFor();
  await go(page, "#/audit");
  await page.getByRole("row", { name: /approved walk\.mp4 .*All heads are covered/ }).waitFor();
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    await accessible(page, `audit, ${scheme}`);
    await picture(page, `console-audit-desktop-${scheme}`);
  }
});

test("moments that are also weak are stepped through once they are unfolded, also after a reload", async () => {
  const page = await review("talk.mp4");
  await page.getByText(/^The second look found/).waitFor();
  const pager = page.locator(".pager");
  const [first, all] = [await page.locator(".list > ol .moment").count(), await page.locator(".moment").count()];
  assert.ok(all > first, `${all - first} are also weak`);
  assert.equal(await pager.innerText(), `${first}`);
  await tabTo(page, /^Also weak/);
  await page.keyboard.press("Enter");
  for (let moment = 1; moment <= all; moment++) {
    await page.keyboard.press("n");
    await page.locator(".moment[aria-current] .seen:not(.not)").waitFor();
    assert.equal(await pager.innerText(), `${moment} / ${all}`);
  }
  await accessible(page, "unfolded moments");
  await page.reload();
  await page.locator("details .moment[aria-current]").waitFor();
  await page.getByText(`${first} of ${first} moments seen`).waitFor();
});

test("what was rejected says why, and can be reviewed again", async () => {
  const page = await review("talk.mp4");
  await page.keyboard.press("x");
  await tabTo(page, /^Note$/);
  await page.keyboard.type("A face shows.");
  await tabTo(page, /^Reject$/);
  await page.keyboard.press("Enter");
  await page.getByText(/Rejected by operator/).waitFor();
  await page.getByRole("button", { name: "Review again" }).press("Enter");
  await page.getByRole("button", { name: "Approve…" }).waitFor();
});

test("nothing went wrong in any page, and all requests were to the console", () => assert.deepEqual(problems, []));

/** Presses Tab until the element with that name has the focus. */
async function tabTo(page, name) {
  for (let presses = 0; presses < 60; presses++) {
    const focused = await page.evaluate(() => {
      const element = document.activeElement;
      return element.getAttribute("aria-label") ?? element.labels?.[0]?.textContent ?? element.textContent;
    });
    if (name.test(focused?.trim() ?? "")) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`Tab does not reach ${name}`);
}

// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Adds masks to a video that shows a person whom the pipeline did not find.
import assert from "node:assert/strict";
import { test } from "node:test";
import { drag, edits, inForce, saved, tabTo, toFrame } from "./edits.mjs";
import { accessible, picture, problems, review, shown } from "./support.mjs";

const openEditor = async (options) => {
  const page = await review("talk.mp4", options);
  await page.keyboard.press("e");
  await page.getByRole("heading", { name: "Corrections" }).waitFor();
  return page;
};

test("a mouse draws a mask, moves it by a keyframe, and ends it", async () => {
  const page = await openEditor();
  await toFrame(page, 10);
  await page.keyboard.press("a");
  await drag(page, [140, 80], [240, 220]);
  await saved(page);
  await toFrame(page, 19);
  await drag(page, [190, 150], [210, 160]);
  await saved(page);
  await toFrame(page, 20);
  await page.keyboard.press("o");
  const [mask, ...others] = inForce(await saved(page));
  assert.deepEqual(others, []);
  const [first, second, end] = mask.keyframes;
  assert.deepEqual([first.frame, second.frame, end.frame, end.outside], [10, 19, 20, true]);
  const near = (value, wanted) => assert.ok(Math.abs(value - wanted) < 2, `${value} is about ${wanted}`);
  [first.x, first.y, first.rx, first.ry].forEach((value, i) => near(value, [190, 150, 50, 70][i]));
  [second.x, second.y, second.rx, second.ry].forEach((value, i) => near(value, [210, 160, 50, 70][i]));
  await page.locator(".masks-here").getByText("none").waitFor(); // it has ended
  await toFrame(page, 14);
  await page.getByRole("button", { name: /^Mask \d+$/ }).press("Enter");
  await accessible(page, "a selected mask");
  await picture(page, "console-edit-desktop-light");
});

test("keys alone put a mask at a moment, and end it", async () => {
  const page = await openEditor();
  await toFrame(page, 30);
  await page.keyboard.press("a");
  for (const [name, value] of [
    [/^Center from the left$/, "205"],
    [/^Center from the top$/, "150"],
    [/^Width$/, "110"],
    [/^Height$/, "140"],
    [/^Rotation, in degrees$/, "10"],
  ]) {
    await tabTo(page, name);
    await page.keyboard.press("Control+a");
    await page.keyboard.type(value);
  }
  await page.keyboard.press("Enter");
  await saved(page);
  await tabTo(page, /^Ten frames forward$/);
  await page.keyboard.press("Enter");
  await shown(page, 40);
  await page.keyboard.press("o");
  const masks = inForce(await saved(page));
  const { keyframes } = masks.at(-1);
  assert.equal(masks.length, 2);
  assert.deepEqual(
    keyframes.map(({ frame, x, y, rx, ry, outside = false }) => ({ frame, x, y, rx, ry, outside })),
    [
      { frame: 30, x: 205, y: 150, rx: 55, ry: 70, outside: false },
      { frame: 40, x: 0, y: 0, rx: 0, ry: 0, outside: true },
    ],
  );
  assert.ok(Math.abs(keyframes[0].angle - (10 * Math.PI) / 180) < 0.001);
});

test("every tool works by its key, and undo leads back to the beginning", async () => {
  const page = await openEditor();
  const before = await edits(page);
  await toFrame(page, 5);
  await page.keyboard.press("a");
  await page.keyboard.press("Enter"); // in the middle
  await saved(page);
  await page.keyboard.press("Alt+ArrowRight");
  await page.keyboard.press("Alt+Shift+ArrowDown");
  await toFrame(page, 8);
  await page.keyboard.press("k");
  await toFrame(page, 9);
  await page.keyboard.press("h");
  await toFrame(page, 12);
  await page.keyboard.press("s");
  await saved(page);
  await page.getByRole("radio", { name: "This one" }).check();
  await page.keyboard.press("w");
  await page.keyboard.press("t");
  await page.keyboard.press("Delete");
  const done = inForce(await saved(page));
  assert.ok(done.some(({ type, from, to }) => type === "whole_frame" && from === 12 && to === 13));
  assert.ok(done.length >= 4, JSON.stringify(done));
  for (
    let presses = 0;
    presses < 40 && (await page.getByRole("button", { name: "Undo", exact: true }).isEnabled());
    presses++
  ) {
    await page.keyboard.press("Control+z");
    await saved(page);
    if (inForce(await edits(page)).length === inForce(before).length && presses > 5) break;
  }
  const after = await edits(page);
  assert.deepEqual(
    inForce(after).map(({ keyframes }) => keyframes),
    inForce(before).map(({ keyframes }) => keyframes),
  );
  assert.ok(after.operations.length > before.operations.length, "nothing is deleted: it is undone by operations");
});

test("two tabs: the second is told, and nothing is lost", async () => {
  const page = await openEditor();
  const other = await openEditor();
  await other.route("**/edits", (route) =>
    route.request().method() === "GET" && !other.stale ? route.abort() : route.continue(),
  );
  const before = inForce(await edits(page)).length;
  await toFrame(page, 45);
  await page.getByRole("radio", { name: "This one" }).check();
  await page.keyboard.press("w");
  await saved(page);
  await toFrame(other, 46);
  await other.getByRole("radio", { name: "This one" }).check();
  other.stale = true;
  await other.keyboard.press("w");
  await other.getByText("Somebody else also corrected this video.").waitFor();
  const both = inForce(await saved(other));
  assert.equal(both.length, before + 2);
  assert.deepEqual(
    both.slice(-2).map(({ from }) => from),
    [45, 46],
  );
  await other.keyboard.press("Control+z");
  await saved(other);
  await other.keyboard.press("Control+z");
  assert.equal(inForce(await saved(other)).length, before);
});

test("without a connection nothing is lost, also over a reload", async () => {
  const page = await openEditor();
  const before = inForce(await edits(page)).length;
  await page.route("**/edits", (route) => (route.request().method() === "POST" ? route.abort() : route.continue()));
  await toFrame(page, 3);
  await page.getByRole("radio", { name: "This one" }).check();
  await page.keyboard.press("a");
  await page.keyboard.press("Enter");
  await page.getByText("Not saved: there is no connection.").waitFor();
  assert.equal(inForce(await edits(page)).length, before);
  page.on("dialog", (dialog) => void dialog.accept());
  await page.waitForURL(/[?&]frame=3$/); // the page remembers the frame a moment later
  await page.reload();
  await page.unroute("**/edits");
  await shown(page, 3);
  await page.keyboard.press("e");
  await page.getByRole("button", { name: /^\d+\. Mask drawn, frame 3$/ }).waitFor();
  assert.equal(inForce(await saved(page)).length, before + 1);
  await page.keyboard.press("Control+z");
  assert.equal(inForce(await saved(page)).length, before);
});

test("corrections are rendered, compared, and approved; another one voids the approval", async () => {
  const page = await openEditor();
  await page.getByRole("button", { name: "Render", exact: true }).press("Enter");
  await page.getByText("r2 is ready.").waitFor();
  await page.getByRole("link", { name: "Compare" }).first().click();
  const spans = page.locator(".spans li");
  await spans.nth(1).waitFor();
  assert.deepEqual(
    (await spans.allInnerTexts()).map((text) => text.replace(/.*· /, "")),
    ["frames 10 to 19", "frames 30 to 39"],
  );
  await page.keyboard.press("n");
  await page.waitForTimeout(500);
  await accessible(page, "compare");
  await picture(page, "console-compare-desktop-light");
  await page.getByRole("link", { name: "← Review r2" }).click();
  await page.getByRole("button", { name: "Approve…", disabled: false }).waitFor();
  await page.keyboard.press("y");
  await page.getByLabel("Note").first().fill("An actor, who agreed.");
  await page.getByRole("button", { name: "Approve", exact: true }).click();
  await page.getByText(/Approved by operator/).waitFor();
  await page.keyboard.press("e");
  await page.getByText("This video is approved. The first correction voids the approval.").waitFor();
  await accessible(page, "corrections of an approved video");
  await page.getByRole("radio", { name: "This one" }).check();
  await page.keyboard.press("w");
  await saved(page);
  await page.getByText("In review").first().waitFor();
  await page.getByText("Some corrections are not rendered yet.").waitFor();
  assert.ok(await page.getByRole("button", { name: "Approve…" }).isDisabled());
  await page.keyboard.press("Control+z");
  await saved(page);
  // Undoing a rendered mask uncovers something: it needs a reason.
  await page.getByRole("button", { name: "Undo: Mask drawn, frames 30 to 39" }).press("Enter");
  await page.getByRole("dialog", { name: "Why can this be shown?" }).waitFor();
  await accessible(page, "the question for a reason");
  await page.getByRole("button", { name: "Remove it" }).click();
  await page.getByText("Choose a reason.").waitFor();
  await page.getByRole("button", { name: "Leave it as it is" }).click();
  assert.equal((await saved(page)).pending, false);
});

for (const [size, scheme, locale] of [
  ["desktop", "dark", "en-US"],
  ["phone", "light", "en-US"],
  ["phone", "dark", "ja-JP"],
]) {
  test(`axe finds nothing in the corrections: ${size}, ${scheme}, ${locale}`, async () => {
    const page = await review("talk.mp4", { size, scheme, locale });
    await page.keyboard.press("e");
    await page.locator(".edit").waitFor();
    await toFrame(page, 14);
    await page.keyboard.press("t");
    await page.locator(".fields input").first().waitFor();
    await accessible(page, "corrections");
    const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(content <= window, `the page is ${content} wide in a window of ${window}`);
    await picture(page, `console-edit-${size}-${scheme}`);
  });
}

test("nothing went wrong in any page", () => {
  // The tests provoke error responses, which the browser logs.
  assert.deepEqual(
    problems.filter((text) => !/412|ERR_FAILED/.test(text)),
    [],
  );
});

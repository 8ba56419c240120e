// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Moves and removes the pipeline's masks, as people with the right to do so, who give a reason.
import assert from "node:assert/strict";
import { test } from "node:test";
import { inForce, saved } from "./edits.mjs";
import { accessible, go, picture, problems, review, row, shown, visit } from "./support.mjs";

/** Opens the corrections of walk.mp4 with one of its masks selected, signed in with the token. */
async function select(token) {
  const page = token ? await visit({ hash: `#token=${token}` }) : await review("walk.mp4");
  if (token) {
    await row(page, "walk.mp4").getByRole("heading").getByRole("link").click();
    await shown(page, 0);
  }
  await page.keyboard.press("e");
  await page.locator(".masks-here button").first().waitFor();
  await page.keyboard.press("t");
  await page.locator(".fields").waitFor();
  return page;
}

test("a mask is not taken away without a reason", async () => {
  const page = await select();
  await page.keyboard.press("Delete");
  const dialog = page.getByRole("dialog", { name: "Not a head?" });
  await dialog.waitFor();
  await accessible(page, "the question why");
  await picture(page, "console-remove-desktop-light");
  await dialog.getByRole("button", { name: "Remove it" }).press("Enter");
  await dialog.getByText("Choose a reason.").waitFor();
  await accessible(page, "the question why, without a reason");
  await dialog.getByRole("radio", { name: /^Something else/ }).check();
  await dialog.getByRole("button", { name: "Remove it" }).press("Enter");
  assert.ok(await dialog.isVisible(), "the note is required");
  assert.deepEqual((await saved(page)).operations, []);
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
});

test("a move that uncovers needs a reason, too, and one that only adds does not", async () => {
  const page = await select();
  const width = page.getByLabel("Width");
  const before = Number(await width.inputValue());
  await width.fill(String(before * 2));
  await page.getByText("1. Mask moved").waitFor();
  assert.equal((await saved(page)).operations.length, 1);
  await page.getByLabel("Center from the left").fill("5");
  const dialog = page.getByRole("dialog", { name: "Why can this be shown?" });
  await dialog.getByText(/^This uncovers something that was masked: /).waitFor();
  await accessible(page, "the question why it may be seen");
  await dialog.getByRole("button", { name: "Leave it as it is" }).click();
  await page.keyboard.press("Escape");
  assert.equal((await saved(page)).operations.length, 1);
  await page.keyboard.press("Control+z");
  assert.deepEqual(inForce(await saved(page)), []);
});

test("whoever may only add is told so", async () => {
  const page = await select(process.env.CONSOLE_EDITOR);
  await page.keyboard.press("Delete");
  const dialog = page.getByRole("dialog", { name: "This was not accepted" });
  await dialog.getByText("Your role cannot remove masks.").waitFor();
  await accessible(page, "a refusal");
  await dialog.getByRole("button", { name: "Close" }).last().click();
  await page.getByRole("radio", { name: "This one" }).check();
  await page.keyboard.press("w");
  assert.equal(inForce(await saved(page)).length, 1);
  await page.keyboard.press("Control+z");
  assert.equal(inForce(await saved(page)).length, 0);
});

test("a second person confirms what takes a mask away, and it is rendered", async () => {
  const page = await select();
  await page.getByRole("radio", { name: "All" }).check();
  await page.keyboard.press("Delete");
  const dialog = page.getByRole("dialog", { name: "Not a head?" });
  await dialog.getByRole("radio", { name: "It is not a head" }).check();
  await dialog.getByRole("button", { name: "Remove it" }).press("Enter");
  const [removal] = inForce(await saved(page));
  assert.deepEqual([removal.type, removal.reason, removal.from ?? 0], ["remove", "not_a_head", 0]);
  await page.getByText("A second person has to confirm this.").waitFor();
  assert.equal(await page.getByRole("button", { name: /^Confirm/ }).count(), 0, "the first cannot");
  const render = page.getByRole("button", { name: "Render", exact: true });
  assert.ok(await render.isDisabled());
  await accessible(page, "a mask that was taken away");
  await picture(page, "console-removed-desktop-light");

  const second = await select(process.env.CONSOLE_SECOND);
  await second.getByRole("button", { name: /^Confirm: / }).press("Enter");
  await saved(second);
  await second.getByText("A second person has to confirm this.").waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Render", exact: true, disabled: false }).press("Enter");
  await page.getByText("r2 is ready.").waitFor();
  await page.getByRole("link", { name: "Compare" }).first().click();
  await page.locator(".spans li").first().waitFor();
  await go(page, "#/audit");
  await page.getByRole("row", { name: /Second Person.*corrected walk\.mp4/ }).waitFor();
});

test("nothing went wrong in any page", () => assert.deepEqual(problems, []));

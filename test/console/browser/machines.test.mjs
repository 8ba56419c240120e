// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, open, picture, problems } from "./support.mjs";

const patience = { timeout: 10 * 60_000 };

test("the machines that share the work, and what they do", async () => {
  const page = await open();
  // The list has no videos, but links to the machines.
  await page.getByText("Several machines share the work").waitFor();
  await page.getByRole("main").getByRole("link", { name: "System" }).press("Enter");
  const machines = page.getByRole("region", { name: "Machines" });
  await machines.getByRole("cell", { name: "Working", exact: true }).nth(1).waitFor(patience);
  assert.equal(await machines.locator("tbody tr").count(), 2);
  for (const row of [0, 1]) {
    await machines.locator("tbody tr").nth(row).getByText(/^Unit \d+ of incoming\/long\.mp4/).waitFor(patience);
  }
  await machines.getByText("Videos in progress").waitFor();
  for (const size of ["desktop", "phone"]) {
    for (const scheme of ["light", "dark"]) {
      const other = await open("#/system", { size, scheme });
      const table = other.getByRole("region", { name: "Machines" });
      await table.getByRole("cell", { name: "Working", exact: true }).nth(1).waitFor(patience);
      await accessible(other, `machines, ${size}, ${scheme}`);
      const beyond = await other.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(beyond <= 0, `${size}: ${beyond} pixels are outside of the window`);
      await picture(other, `console-machines-${size}-${scheme}`);
    }
  }
  await machines.getByText("Videos done").waitFor(patience);
});

test("nothing went wrong in any page", () => {
  // A 404 tells the page that there are no videos.
  const wrong = problems.filter((problem) => !problem.includes("404"));
  assert.deepEqual(wrong, []);
});

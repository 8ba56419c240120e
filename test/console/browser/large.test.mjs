// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, problems, row, shown } from "./support.mjs";

const limit = 0.6e9; // bytes, of more than 1e9

test("seeking in 1 GB does not read it whole", async (context) => {
  const page = await open();
  const network = await page.context().newCDPSession(page);
  let received = 0;
  await network.send("Network.enable");
  network.on("Network.dataReceived", ({ dataLength }) => (received += dataLength));
  await row(page, "noise.mp4").getByRole("heading").getByRole("link").click();
  await shown(page, 0);
  const times = [];
  for (const frame of [3900, 100, 2500, 3700, 1300]) {
    const began = performance.now();
    await page.getByRole("spinbutton").fill(String(frame));
    await page.keyboard.press("Enter");
    await shown(page, frame);
    times.push(Math.round(performance.now() - began));
  }
  context.diagnostic(`${received} bytes received; milliseconds for a seek: ${times.join(", ")}`);
  assert.ok(received > 1e6 && received < limit, `${received} bytes`);
});

test("nothing went wrong in any page, and all requests were to the console", () => assert.deepEqual(problems, []));

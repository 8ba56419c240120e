// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Frame, Timeline } from "../src/api";
import { FrameTable, upperBound } from "../src/review/frames";

/** A server of frames at the given times, and the requests to it. */
function serve(times: number[]) {
  const requests: string[] = [];
  globalThis.fetch = (async (address: string) => {
    requests.push(address);
    const query = new URLSearchParams(address.split("?")[1]);
    const frames: Frame[] = times.map((time_s, frame) => ({ frame, time_s, people: 0, masks: [] }));
    return Response.json({ frames: frames.slice(Number(query.get("from")), Number(query.get("to"))) });
  }) as typeof fetch;
  const buckets = times.map((_, frame) => frame).filter((frame) => frame % 700 === 0);
  const timeline = {
    frames: times.length,
    duration_s: times.at(-1)!,
    first_frame: buckets,
    time_s: buckets.map((frame) => times[frame]!),
  } as Timeline;
  return { table: new FrameTable("videos/a/revisions/r1", timeline), requests };
}

const constant = Array.from({ length: 2100 }, (_, frame) => frame / 25);
// Frames of two durations, as phones record them, and a pause of ten seconds.
const variable = Array.from({ length: 2100 }, (_, n) => n / 30 + (n % 3 === 0 ? 0.004 : 0) + (n > 1200 ? 10 : 0));

for (const [name, times] of Object.entries({ constant, variable })) {
  test(`frame table finds each frame of ${name} rate by its time`, async () => {
    const { table } = serve(times);
    for (let frame = 0; frame < times.length; frame++) assert.equal(await table.near(times[frame]! + 0.0004), frame);
  });
}

test("frame table loads a part once", async () => {
  const { table, requests } = serve(constant);
  await Promise.all([table.load(3), table.load(499), table.near(1)]);
  assert.equal(table.loaded(7)!.time_s, 7 / 25);
  assert.equal(table.loaded(500), undefined);
  assert.equal(requests.length, 1);
});

test("frame table has nothing beyond the end", async () => {
  const { table } = serve(constant);
  assert.equal(await table.load(2100), undefined);
  assert.equal(await table.near(1e6), 2099);
});

test("upperBound", () => {
  assert.deepEqual(
    [-1, 0, 1, 2, 9].map((limit) => upperBound([0, 1, 1, 4], limit)),
    [0, 1, 3, 3, 4],
  );
});

// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Frame, Operation } from "../src/api";
import { differ } from "../src/review/differences";
import { resized } from "../src/review/editlayer";
import {
  addedMask,
  adjustment,
  drawn,
  ellipseAt,
  ellipseOf,
  liveOf,
  projected,
  rangeOf,
  undoing,
  withKeyframe,
  without,
} from "../src/review/operations";

const frames = 100;
const timeOf = async (frame: number) => frame / 25;
const ellipse = { x: 50, y: 40, rx: 10, ry: 12, angle: 0 };
const moving: Operation = {
  type: "add",
  shape: "ellipse",
  keyframes: [
    { frame: 10, time_s: 0.4, ...ellipse },
    { frame: 20, time_s: 0.8, ...ellipse, x: 70 },
    { frame: 30, time_s: 1.2, outside: true },
  ],
};
const places = (operations: Operation[]) =>
  Array.from({ length: frames }, (_, frame) =>
    operations.map((o) => ellipseAt(o, frame)?.x).find((x) => x !== undefined),
  );

test("a mask moves evenly between keyframes, holds after the last, and ends outside", () => {
  const x = [9, 10, 15, 20, 29, 30].map((frame) => ellipseAt(moving, frame)?.x);
  assert.deepEqual(x, [undefined, 50, 60, 70, 70, undefined]);
  assert.deepEqual(rangeOf(moving, frames), [10, 30]);
});

test("a mask is drawn for one frame, from it on, or up to another", async () => {
  const range = async (from: number, to: number) => rangeOf(await drawn(ellipse, [from, to], frames, timeOf), frames);
  for (const [from, to] of [
    [5, 6],
    [5, 100],
    [0, 100],
  ] as const)
    assert.deepEqual(await range(from, to), [from, to]);
});

test("cutting frames out of a mask changes it in no other", async () => {
  for (const [from, to] of [
    [10, 11],
    [14, 16],
    [0, 12],
    [20, 30],
    [25, 100],
    [0, 100],
    [40, 50],
  ] as const) {
    const rest = await without(moving, [from, to], frames, timeOf);
    const wanted = places([moving]).map((x, frame) => (from <= frame && frame < to ? undefined : x));
    assert.deepEqual(places(rest), wanted, `${from} to ${to}`);
  }
});

test("a keyframe after the end makes a mask go on up to there", async () => {
  const longer = await withKeyframe(moving, 40, { ...ellipse, x: 90 }, timeOf);
  assert.deepEqual(
    [25, 40, 99].map((frame) => ellipseAt(longer, frame)?.x),
    [75, 90, 90],
  );
});

test("a revert of a revert is in force again", () => {
  const operations: Operation[] = [moving, { type: "revert", of: 1 }, { type: "revert", of: 2 }];
  assert.deepEqual([...liveOf(operations.slice(0, 2))], [2]);
  assert.deepEqual([...liveOf(operations)].sort(), [1, 3]);
});

test("undo leads back to the beginning, and takes what was done together together", () => {
  const at = (n: number, ...made: Operation[]) => made.map((o) => ({ ...o, by: "Ann", at: `T${n}` }));
  let operations = [
    ...at(1, moving),
    ...at(2, { type: "revert", of: 1 }, moving),
    ...at(3, { type: "whole_frame", from: 0, to: 1 }),
    ...at(4, { type: "revert", of: 4 }), // undone by hand
    ...at(5, { type: "remove", track: 1, from: 0, to: 9, reason: "picture" }),
    ...at(6, { type: "confirm", of: 6 }),
  ];
  const steps: number[][] = [];
  for (let n = 7; undoing(operations).length; n++) {
    const reverts = undoing(operations);
    steps.push(reverts.map(({ of }) => of!));
    operations = [...operations, ...at(n, ...reverts)];
    assert.ok(n < 20, "it ends");
  }
  assert.deepEqual(steps, [[6], [3, 2], [1]]);
  const left = [...liveOf(operations)].filter((id) => !["revert", "confirm"].includes(operations[id - 1]!.type));
  assert.deepEqual(left, []);
});

test("what an adjustment says is what it makes of the mask", () => {
  const mask = { ...addedMask(ellipse), origin: "pose", track: 7 };
  const to = { x: 55, y: 38, rx: 15, ry: 6, angle: 0.5 };
  const frame: Frame = { frame: 3, time_s: 0.12, people: 1, masks: [mask] };
  const change = adjustment(7, [3, 4], ellipse, to)!;
  assert.deepEqual(ellipseOf(projected(frame, [change]).masks[0]!), to);
  assert.deepEqual(projected({ ...frame, frame: 4 }, [change]).masks, [mask], "only in its frames");
  assert.equal(adjustment(7, [3, 4], ellipse, ellipse), undefined);
});

test("what is opposite of a dragged grip stays", () => {
  assert.deepEqual(resized(ellipse, [1, 0], { x: 80, y: 0 }), { ...ellipse, x: 60, rx: 20 });
  assert.deepEqual(resized(ellipse, [-1, -1], { x: 30, y: 20 }), { x: 45, y: 36, rx: 15, ry: 16, angle: 0 });
});

test("frames differ by masks, not by how reports round them", () => {
  const frame = (e: typeof ellipse): Frame => ({ frame: 3, time_s: 0.12, people: 1, masks: [addedMask(e)] });
  assert.ok(!differ(frame(ellipse), frame({ ...ellipse, rx: 10.02 })));
  assert.ok(differ(frame(ellipse), frame({ ...ellipse, rx: 11 })));
  assert.ok(differ(frame(ellipse), { ...frame(ellipse), masks: [] }));
  assert.ok(differ(frame(ellipse), { ...frame(ellipse), masked_whole: true }));
});

// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Box, FrameRange, Moment } from "../src/api";
import { add, boxAt, covers } from "../src/review/ranges";

const cases: [string, FrameRange[], FrameRange, FrameRange[]][] = [
  ["first", [], [3, 5], [[3, 5]]],
  [
    "before",
    [[3, 5]],
    [0, 1],
    [
      [0, 1],
      [3, 5],
    ],
  ],
  ["touching", [[3, 5]], [5, 6], [[3, 6]]],
  ["within", [[3, 9]], [5, 6], [[3, 9]]],
  [
    "across",
    [
      [0, 2],
      [4, 6],
      [8, 9],
    ],
    [1, 5],
    [
      [0, 6],
      [8, 9],
    ],
  ],
];
for (const [name, ranges, range, want] of cases) {
  test(`ranges of watched frames: ${name}`, () => assert.deepEqual(add(ranges, range), want));
}

test("ranges of watched frames: covers", () => {
  assert.ok(covers([[0, 4]], [1, 4]));
  assert.ok(
    !covers(
      [
        [0, 4],
        [5, 9],
      ],
      [3, 6],
    ),
  );
});

test("the place of a moment is that of the sighting in the frame", () => {
  const box = (x: number): Box => [x, 0, x + 9, 9];
  const sightings = [
    { reason: "held", frame: 5, first_frame: 2, last_frame: 8, box: box(1) },
    { reason: "low_score", frame: 7, first_frame: 7, last_frame: 7, box: box(2) },
    { reason: "held", frame: 20, first_frame: 18, last_frame: 22, box: box(3) },
  ];
  const moment = { first_frame: 2, last_frame: 22, frame: 5, box: box(1), sightings } as Moment;
  const want: [number, Box | undefined][] = [
    [1, undefined],
    [2, box(1)],
    [7, box(2)],
    [8, box(1)],
    [12, undefined],
    [22, box(3)],
  ];
  for (const [frame, at] of want) assert.deepEqual(boxAt(moment, frame), at, `frame ${frame}`);
  assert.deepEqual(boxAt({ ...moment, sightings: undefined }, 12), box(1));
});

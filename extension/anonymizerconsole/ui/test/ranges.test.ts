// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { test } from "node:test";
import type { FrameRange } from "../src/api";
import { add, covers } from "../src/review/ranges";

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

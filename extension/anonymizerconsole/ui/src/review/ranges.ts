// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import type { FrameRange } from "../api";

/** Ranges of frames with one more: ascending, apart from each other. */
export function add(ranges: readonly FrameRange[], [from, to]: FrameRange): FrameRange[] {
  const apart = ranges.filter(([a, b]) => b < from || a > to);
  const joined = ranges.filter(([a, b]) => b >= from && a <= to);
  const sum: FrameRange = [Math.min(from, ...joined.map(([a]) => a)), Math.max(to, ...joined.map(([, b]) => b))];
  return [...apart, sum].sort(([a], [b]) => a - b);
}

/** Whether all frames of a range are in ranges. */
export function covers(ranges: readonly FrameRange[], [from, to]: FrameRange): boolean {
  return ranges.some(([a, b]) => a <= from && to <= b);
}

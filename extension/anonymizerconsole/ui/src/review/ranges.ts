// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import type { Box, Moment, Sighting } from "../api";

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

/** Where a moment is in a frame: where the sighting is that is looked at nearest to it. */
export function boxAt(moment: Moment, frame: number): Box | undefined {
  const here = (moment.sightings ?? [moment]).filter(
    (sighting) => sighting.first_frame <= frame && frame <= sighting.last_frame,
  );
  const distance = (sighting: Sighting) => Math.abs(sighting.frame - frame);
  return here.sort((a, b) => distance(a) - distance(b))[0]?.box;
}

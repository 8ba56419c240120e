// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import type { Box, Moment, Sighting } from "../api";

import type { FrameRange } from "../api";

/** Adds a range to ranges of frames, which stay in ascending order and apart from each other. */
export function add(ranges: readonly FrameRange[], [from, to]: FrameRange): FrameRange[] {
  const apart = ranges.filter(([a, b]) => b < from || a > to);
  const joined = ranges.filter(([a, b]) => b >= from && a <= to);
  const sum: FrameRange = [Math.min(from, ...joined.map(([a]) => a)), Math.max(to, ...joined.map(([, b]) => b))];
  return [...apart, sum].sort(([a], [b]) => a - b);
}

/** Whether ranges include all frames of a range. */
export function covers(ranges: readonly FrameRange[], [from, to]: FrameRange): boolean {
  return ranges.some(([a, b]) => a <= from && to <= b);
}

/** The box of a moment in a frame: that of the sighting there whose frame to look at is nearest. */
export function boxAt(moment: Moment, frame: number): Box | undefined {
  const here = (moment.sightings ?? [moment]).filter(
    (sighting) => sighting.first_frame <= frame && frame <= sighting.last_frame,
  );
  const distance = (sighting: Sighting) => Math.abs(sighting.frame - frame);
  return here.sort((a, b) => distance(a) - distance(b))[0]?.box;
}

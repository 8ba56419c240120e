// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import type { Frame, FrameRange, Mask } from "../api";
import type { FrameTable } from "./frames";
import { ellipseOf, type Ellipse } from "./operations";

// Each report rounds ellipses outward, to 0.01 pixels, so those of a later report are slightly larger.
const roundings = 0.1; // pixels

function same(a: Mask, b: Mask): boolean {
  const [one, other] = [ellipseOf(a), ellipseOf(b)];
  return (
    a.outline.shape === b.outline.shape &&
    a.outline.points?.length === b.outline.points?.length &&
    (Object.keys(one) as (keyof Ellipse)[]).every((name) => Math.abs(one[name] - other[name]) < roundings)
  );
}

/** Whether two frames are masked differently. */
export function differ(a: Frame | undefined, b: Frame | undefined): boolean {
  if (!a || !b) return a !== b;
  return (
    (a.masked_whole ?? false) !== (b.masked_whole ?? false) ||
    a.masks.length !== b.masks.length ||
    !a.masks.every((mask, index) => same(mask, b.masks[index]!))
  );
}

/** The frames within ranges whose masks differ. */
export async function differences(a: FrameTable, b: FrameTable, within: readonly FrameRange[]): Promise<FrameRange[]> {
  const found: FrameRange[] = [];
  for (const [from, to] of within) {
    for (let n = from; n < to; n++) {
      if (!differ(a.loaded(n) ?? (await a.load(n)), b.loaded(n) ?? (await b.load(n)))) continue;
      const last = found.at(-1);
      if (last?.[1] === n) last[1] = n + 1;
      else found.push([n, n + 1]);
    }
  }
  return found;
}

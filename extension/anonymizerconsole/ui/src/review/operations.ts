// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// The meaning of operations: which of them are in force, what they draw in a frame, and how they are changed and
// undone. Operations never change: to replace one, it is reverted and another one is added. IDs count from 1.
import type { Frame, FrameRange, Keyframe, Mask, Operation } from "../api";

export interface Ellipse {
  x: number;
  y: number;
  rx: number;
  ry: number;
  angle: number;
}

/** The time of a frame in seconds, which keyframes carry. */
export type TimeOf = (frame: number) => Promise<number>;

/** The IDs of the operations that are not reverted. */
export function liveOf(operations: readonly Operation[]): Set<number> {
  const reverted = new Set<number>();
  const live = new Set<number>();
  for (let id = operations.length; id >= 1; id--) {
    if (reverted.has(id)) continue;
    live.add(id);
    const { type, of } = operations[id - 1]!;
    if (type === "revert" && of !== undefined) reverted.add(of);
  }
  return live;
}

/** The frames that an operation affects, in a video of the given number of frames. */
export function rangeOf(operation: Operation, frames: number): FrameRange {
  const { keyframes, from = 0, to = frames } = operation;
  if (!keyframes) return [from, to];
  const last = keyframes.at(-1)!;
  return [keyframes[0]!.frame, last.outside ? last.frame : frames];
}

/** What an add operation draws in a frame: linear between keyframes; the last one holds. */
export function ellipseAt({ keyframes = [] }: Operation, frame: number): Ellipse | undefined {
  const index = keyframes.findLastIndex((keyframe) => keyframe.frame <= frame);
  const [here, next] = [keyframes[index], keyframes[index + 1]];
  if (!here || here.outside) return undefined;
  const part = next && !next.outside ? (frame - here.frame) / (next.frame - here.frame) : 0;
  const between = (name: keyof Ellipse) => {
    const [a, b] = [here[name] ?? 0, next?.[name] ?? 0];
    return part ? a + (b - a) * part : a;
  };
  return { x: between("x"), y: between("y"), rx: between("rx"), ry: between("ry"), angle: between("angle") };
}

const hundredth = (value: number) => Math.round(value * 100) / 100;

/** A keyframe, with positions to 0.01 pixels and angles to 0.0001 radians. */
export function keyframe(frame: number, time_s: number, { x, y, rx, ry, angle }: Ellipse): Keyframe {
  const size = (value: number) => Math.max(0.5, hundredth(value));
  return {
    frame,
    time_s,
    x: hundredth(x),
    y: hundredth(y),
    rx: size(rx),
    ry: size(ry),
    angle: Math.round(angle * 1e4) / 1e4,
  };
}

/** A mask from one frame up to another, or to the end if that is beyond the video. */
export async function drawn(ellipse: Ellipse, [from, to]: FrameRange, frames: number, timeOf: TimeOf) {
  const keyframes = [keyframe(from, await timeOf(from), ellipse)];
  if (to < frames) keyframes.push({ frame: to, time_s: await timeOf(to), outside: true });
  return { type: "add", shape: "ellipse", keyframes } as Operation;
}

/** The mask with a keyframe added at a frame. If the mask ended before it, it is extended up to there. */
export async function withKeyframe(operation: Operation, frame: number, ellipse: Ellipse, timeOf: TimeOf) {
  const others = operation.keyframes!.filter((k) => k.frame !== frame && !(k.outside && k.frame < frame));
  const keyframes = [...others, keyframe(frame, await timeOf(frame), ellipse)];
  return { ...plain(operation), keyframes: keyframes.sort((a, b) => a.frame - b.frame) };
}

/** The mask without a range of frames: up to two masks. */
export async function without(operation: Operation, [from, to]: FrameRange, frames: number, timeOf: TimeOf) {
  const [first, end] = rangeOf(operation, frames);
  const parts: Operation[] = [];
  const cut = async (a: number, b: number) => {
    const inside = operation.keyframes!.filter((k) => k.frame > a && k.frame < b && !k.outside);
    // If it is moving toward a later keyframe, the last frame fixes how far it got.
    const moves = b < end && operation.keyframes!.some((k) => k.frame >= b && !k.outside);
    const edges = moves && b - 1 > a ? [a, b - 1] : [a];
    const made = await Promise.all(
      edges
        .filter((frame) => !inside.some((k) => k.frame === frame))
        .map(async (frame) => keyframe(frame, await timeOf(frame), ellipseAt(operation, frame)!)),
    );
    const keyframes = [...inside, ...made].sort((x, y) => x.frame - y.frame);
    if (b < frames) keyframes.push({ frame: b, time_s: await timeOf(b), outside: true });
    parts.push({ ...plain(operation), keyframes });
  };
  if (first < from) await cut(first, Math.min(from, end));
  if (to < end) await cut(Math.max(to, first), end);
  return parts;
}

/** An operation in the form used by requests. */
export function plain({ id: _, by: __, at: ___, ...rest }: Operation & { role?: string }): Operation {
  const { role: ____, ...sent } = rest;
  return sent;
}

/** The mask with the change from one ellipse to the other applied in all its frames. */
export function shifted(operation: Operation, from: Ellipse, to: Ellipse): Operation {
  const keyframes = operation.keyframes!.map((k) =>
    k.outside
      ? k
      : keyframe(k.frame, k.time_s, {
          x: k.x! + to.x - from.x,
          y: k.y! + to.y - from.y,
          rx: (k.rx! * to.rx) / from.rx,
          ry: (k.ry! * to.ry) / from.ry,
          angle: k.angle! + to.angle - from.angle,
        }),
  );
  return { ...plain(operation), keyframes };
}

/** Whether an operation may uncover something but has no reason. */
export const uncovers = ({ type, reason }: Operation) => ["adjust", "remove", "revert"].includes(type) && !reason;

/** An operation as text that depends neither on the order of keys nor on whether zero values are left out. */
export function textOf(operation: Operation): string {
  return JSON.stringify(plain(operation), (_, value: unknown) => {
    if (value === 0 || value === false || value === "") return undefined;
    if (!value || typeof value !== "object" || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** The groups of operations that were made together: the server gives them the same time. */
export function groupsOf(operations: readonly Operation[]): number[][] {
  const groups: number[][] = [];
  operations.forEach(({ at, by }, index) => {
    const before = operations[index - 1];
    if (before && at !== undefined && before.at === at && before.by === by) groups.at(-1)!.push(index + 1);
    else groups.push([index + 1]);
  });
  return groups;
}

/** The reverts that undo the latest group of operations that is not undone yet; empty if there is none. */
export function undoing(operations: readonly Operation[]): Operation[] {
  const done: number[][] = [];
  for (const group of groupsOf(operations)) {
    const members = group.map((id) => operations[id - 1]!);
    if (members.every(({ type }) => type === "confirm")) continue;
    const targets = members.every(({ type }) => type === "revert") ? members.map(({ of }) => of!) : [];
    const undone = done.findLastIndex(
      (earlier) => earlier.length === targets.length && earlier.every((id) => targets.includes(id)),
    );
    if (undone >= 0) done.splice(undone, 1);
    else done.push(group);
  }
  const live = liveOf(operations);
  return (done.at(-1) ?? [])
    .filter((id) => live.has(id))
    .sort((a, b) => b - a)
    .map((of) => ({ type: "revert", of }));
}

/** A frame with the effect of operations that the server does not have yet. */
export function projected(frame: Frame, operations: readonly Operation[]): Frame {
  let { masks, masked_whole = false } = frame;
  for (const o of operations) {
    if (frame.frame < (o.from ?? 0) || frame.frame >= (o.to ?? Infinity)) continue;
    if (o.type === "whole_frame") masked_whole = true;
    if (o.type === "remove") masks = masks.filter(({ track }) => track !== o.track);
    if (o.type === "adjust") masks = masks.map((mask) => (mask.track === o.track ? adjusted(mask, o) : mask));
  }
  return { ...frame, masks, masked_whole };
}

function adjusted(mask: Mask, o: Operation): Mask {
  const e = ellipseOf(mask);
  return masked(mask, {
    x: e.x + (o.dx ?? 0),
    y: e.y + (o.dy ?? 0),
    rx: e.rx * (o.scale_rx ?? 1),
    ry: e.ry * (o.scale_ry ?? 1),
    angle: e.angle + (o.rotate ?? 0),
  });
}

/** The operation that changes the ellipse of a track from before to after, or undefined if they are the same. */
export function adjustment(track: number, [from, to]: FrameRange, before: Ellipse, after: Ellipse) {
  const change = {
    dx: hundredth(after.x - before.x),
    dy: hundredth(after.y - before.y),
    scale_rx: Math.round((after.rx / before.rx) * 1e4) / 1e4,
    scale_ry: Math.round((after.ry / before.ry) * 1e4) / 1e4,
    rotate: Math.round((after.angle - before.angle) * 1e4) / 1e4,
  };
  const same = !change.dx && !change.dy && !change.rotate && change.scale_rx === 1 && change.scale_ry === 1;
  return same ? undefined : ({ type: "adjust", track, from, to, ...change } as Operation);
}

export function ellipseOf({ outline: o, box }: Mask): Ellipse {
  return {
    x: o.x ?? (box[0] + box[2]) / 2,
    y: o.y ?? (box[1] + box[3]) / 2,
    rx: o.rx ?? (box[2] - box[0]) / 2,
    ry: o.ry ?? (box[3] - box[1]) / 2,
    angle: o.angle ?? 0,
  };
}

/** A copy of a mask with another ellipse. */
export function masked(like: Mask, e: Ellipse): Mask {
  const w = Math.hypot(e.rx * Math.cos(e.angle), e.ry * Math.sin(e.angle));
  const h = Math.hypot(e.rx * Math.sin(e.angle), e.ry * Math.cos(e.angle));
  return { ...like, outline: { ...like.outline, ...e }, box: [e.x - w, e.y - h, e.x + w, e.y + h] };
}

/** A mask that a reviewer drew. */
export function addedMask(e: Ellipse, shape: Operation["shape"] = "ellipse"): Mask {
  return masked({ box: [0, 0, 0, 0], outline: { shape }, origin: "added", score: 1 }, e);
}

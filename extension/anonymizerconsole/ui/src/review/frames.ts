// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { get, type Frame, type Timeline } from "../api";

const chunkSize = 500;
const chunksKept = 40;

/** The table of a video's frames, parts of which are loaded as needed. Frames count from 0. */
export class FrameTable {
  private readonly chunks = new Map<number, Frame[]>();
  private readonly loading = new Map<number, Promise<Frame[]>>();

  /** path is the address of the revision in the API. */
  constructor(
    private readonly path: string,
    readonly timeline: Timeline,
  ) {}

  get total(): number {
    return this.timeline.frames;
  }

  /** The frame, if it is loaded. */
  loaded(frame: number): Frame | undefined {
    return this.chunks.get(Math.floor(frame / chunkSize))?.[frame % chunkSize];
  }

  /** The frame, or undefined beyond the end. */
  async load(frame: number): Promise<Frame | undefined> {
    return (await this.chunk(Math.floor(frame / chunkSize)))[frame % chunkSize];
  }

  /** The frame shown at a time in seconds from the first, if it is in a loaded part. */
  nearLoaded(time: number): number | undefined {
    const chunk = [...this.chunks.values()].find(
      (frames) => frames.length && frames[0]!.time_s <= time && time <= frames.at(-1)!.time_s,
    );
    return chunk && nearest(chunk, time);
  }

  /** The frame whose time is nearest to a time in seconds from the first. */
  async near(time: number): Promise<number> {
    const loaded = this.nearLoaded(time);
    if (loaded !== undefined) return loaded;
    const { first_frame: first, time_s: times } = this.timeline;
    const bucket = Math.max(0, upperBound(times, time) - 1);
    let index = Math.floor((first[bucket] ?? 0) / chunkSize);
    let frames = await this.chunk(index);
    // A part of the timeline may span several chunks.
    while (frames.length === chunkSize && frames.at(-1)!.time_s < time && (index + 1) * chunkSize < this.total) {
      const next = await this.chunk(++index);
      if (next[0] && next[0].time_s > time) {
        return time - frames.at(-1)!.time_s < next[0].time_s - time ? next[0].frame - 1 : next[0].frame;
      }
      frames = next;
    }
    return frames.length ? nearest(frames, time) : 0;
  }

  /** Loads the chunk after that of a frame, which playback will need soon. */
  prefetch(frame: number) {
    const next = Math.floor(frame / chunkSize) + 1;
    if (next * chunkSize < this.total) void this.chunk(next).catch(() => undefined);
  }

  private async chunk(index: number): Promise<Frame[]> {
    const kept = this.chunks.get(index);
    if (kept) {
      this.chunks.delete(index); // move it to the end: the oldest comes first
      this.chunks.set(index, kept);
      return kept;
    }
    let request = this.loading.get(index);
    if (!request) {
      const query = `from=${index * chunkSize}&to=${(index + 1) * chunkSize}`;
      request = get<{ frames: Frame[] }>(`${this.path}/frames?${query}`)
        .then(({ frames }) => {
          this.chunks.set(index, frames);
          if (this.chunks.size > chunksKept) this.chunks.delete(this.chunks.keys().next().value!);
          return frames;
        })
        .finally(() => this.loading.delete(index));
      this.loading.set(index, request);
    }
    return request;
  }
}

/** The index of the first value above limit in an ascending list. */
export function upperBound(values: readonly number[], limit: number): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle]! <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

function nearest(frames: readonly Frame[], time: number): number {
  const after = upperBound(
    frames.map(({ time_s }) => time_s),
    time,
  );
  const before = frames[Math.max(0, after - 1)]!;
  const next = frames[after];
  return next && next.time_s - time < time - before.time_s ? next.frame : before.frame;
}

// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { signal } from "@preact/signals";
import { get, post, type FrameRange, type Moment, type Watched } from "../api";
import { complain, may } from "../store";
import { add, covers } from "./ranges";

const sendEvery = 3000; // milliseconds

/** Remembers which frames and moments were on the screen, and reports them to the server. */
export class WatchedFrames {
  readonly state = signal<Watched>({ ranges: [], share: 0, moments: [] });
  private ranges: FrameRange[] = [];
  private readonly moments = new Set<string>();
  private timer = 0;
  private readonly events = new AbortController();

  /** path is the address of the revision in the API. */
  constructor(
    private readonly path: string,
    private readonly all: () => readonly Moment[],
  ) {
    const { signal } = this.events;
    addEventListener("pagehide", () => void this.send(true), { signal });
    document.addEventListener("visibilitychange", () => document.hidden && void this.send(true), { signal });
  }

  async load() {
    this.state.value = await get<Watched>(`${this.path}/watched`);
  }

  /** Records that the frames in the half-open range from..to were on the screen. */
  frames(from: number, to: number) {
    if (!may("review") || document.hidden) return;
    const range: FrameRange = [from, to];
    if (!covers(this.state.value.ranges, range)) {
      this.ranges = add(this.ranges, range);
      this.state.value = { ...this.state.value, ranges: add(this.state.value.ranges, range) };
      this.later();
    }
    for (const { id, first_frame, last_frame } of this.all()) {
      if (!(last_frame < from || to <= first_frame) && covers(this.state.value.ranges, [first_frame, last_frame + 1])) {
        this.moment(id);
      }
    }
  }

  moment(id: string) {
    if (!may("review") || this.state.value.moments.includes(id)) return;
    this.moments.add(id);
    this.state.value = { ...this.state.value, moments: [...this.state.value.moments, id] };
    this.later();
  }

  /** Sends what has not been sent. A decision waits for it, since the decision records what was watched. */
  async send(keepalive = false) {
    clearTimeout(this.timer);
    this.timer = 0;
    const [ranges, moments] = [this.ranges, [...this.moments]];
    if (!ranges.length && !moments.length) return;
    this.ranges = [];
    this.moments.clear();
    try {
      const now = await post<Watched>(`${this.path}/watched`, { ranges, moments }, keepalive);
      this.state.value = {
        share: now.share,
        ranges: this.ranges.reduce<FrameRange[]>(add, now.ranges),
        moments: [...new Set([...now.moments, ...this.moments])],
      };
    } catch (error) {
      this.ranges = ranges.reduce<FrameRange[]>(add, this.ranges);
      moments.forEach((id) => this.moments.add(id));
      this.later();
      if (!keepalive) complain(error);
    }
  }

  close() {
    void this.send(true);
    this.events.abort();
  }

  private later() {
    this.timer ||= window.setTimeout(() => void this.send(), sendEvery);
  }
}

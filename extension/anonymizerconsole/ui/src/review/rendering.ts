// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { signal } from "@preact/signals";
import { get, post, remove, type Renders } from "../api";

const askEvery = 700; // milliseconds
const retryAfter = 3000; // milliseconds, if there was no response

/** Requests the rendering of a video's corrections, and tracks its progress. */
export class Rendering {
  readonly renders = signal<Renders>({ revisions: [] });
  /** The revision that has just been rendered. */
  readonly finished = signal<string | undefined>(undefined);
  private readonly path: string;
  private timer = 0;
  /** The number of revisions before the one being rendered. */
  private before: number | undefined;

  constructor(
    video: string,
    private readonly ended: () => void,
  ) {
    this.path = `videos/${video}/renders`;
  }

  async load() {
    this.show(await get<Renders>(this.path));
  }

  async start(etag: string) {
    this.finished.value = undefined;
    this.before = this.renders.value.revisions.length;
    this.show(await post<Renders>(this.path, {}, false, etag));
  }

  async cancel() {
    await remove(this.path);
  }

  close() {
    clearTimeout(this.timer);
  }

  /** Shows the progress, and asks again until the rendering has ended. */
  private show(renders: Renders) {
    this.renders.value = renders;
    clearTimeout(this.timer);
    if (["waiting", "running"].includes(renders.render?.state ?? "")) {
      this.before ??= renders.revisions.length;
      const again = () =>
        void this.load().catch(() => {
          this.timer = window.setTimeout(again, retryAfter);
        });
      this.timer = window.setTimeout(again, askEvery);
    } else if (this.before !== undefined) {
      if (renders.revisions.length > this.before) this.finished.value = renders.revisions.at(-1)!.id;
      this.before = undefined;
      this.ended();
    }
  }
}

// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { signal } from "@preact/signals";
import { api } from "../api";
import type { FrameTable } from "./frames";

const presentedWithin = 1500; // milliseconds from a seek to its picture
const settledWithin = 300; // milliseconds from the picture of another frame, after the seek has ended
const tolerance = 0.002; // seconds between the times of a frame in the table and in the browser

interface Options {
  table: FrameTable;
  /** The address of the revision in the API. */
  path: string;
  /** The time of the first frame in the file, in seconds; if undefined, the player determines it. */
  begin: number | undefined;
  /** Called with each half-open range from..to of frames that were on the screen. */
  shown: (from: number, to: number) => void;
}

/**
 * Shows exact frames of a video element. It seeks to the middle of a frame, since times are rounded, and trusts only
 * the time that requestVideoFrameCallback reports: if that belongs to another frame, it shows the server's still
 * instead.
 */
export class Player {
  /** The frame on the screen. */
  readonly frame = signal(0);
  readonly playing = signal(false);
  readonly rate = signal(1);
  /** The address of a still that covers the video, if the video does not show the frame. */
  readonly still = signal<string | undefined>(undefined);
  /** Whether the browser can play the file at all. */
  readonly playable = signal(true);
  /** While set, playback repeats these frames, inclusive. */
  readonly loop = signal<[first: number, last: number] | undefined>(undefined);

  private video: HTMLVideoElement | undefined;
  private target: number | undefined;
  private seeking = false;
  /** Settles when the current seek ends. */
  private arrival: Promise<void> = Promise.resolve();
  private callback = 0;
  private begin: number | undefined;
  /** The time of the last seek, if the wanted frame was presented. */
  private there: number | undefined;

  constructor(private readonly options: Options) {
    this.begin = options.begin;
  }

  /** Attaches a video element, or none if browsers cannot play the file. */
  attach(video: HTMLVideoElement | undefined) {
    this.video = video;
    this.there = undefined;
    this.playable.value = video !== undefined;
    if (!video) return;
    video.onplay = () => {
      this.playing.value = true;
    };
    video.onpause = video.onended = () => {
      this.playing.value = false;
    };
    video.onerror = () => {
      this.playable.value = false;
      this.playing.value = false;
      void this.goTo(this.frame.value);
    };
  }

  toggle() {
    if (this.playing.value) this.video?.pause();
    else void this.play();
  }

  setRate(rate: number) {
    this.rate.value = rate;
    if (this.video) this.video.playbackRate = rate;
  }

  step(frames: number) {
    void this.goTo((this.target ?? this.frame.value) + frames);
  }

  /** Stops playback and shows a frame, or the nearest one that exists. The last of several quick calls wins. */
  async goTo(frame: number) {
    this.video?.pause();
    this.target = Math.max(0, Math.min(this.options.table.total - 1, Math.round(frame)));
    if (this.seeking) return;
    this.arrival = this.arrive();
    await this.arrival;
  }

  /** Shows the target, even if it changes in the meantime. */
  private async arrive() {
    this.seeking = true;
    try {
      for (let wanted: number | undefined; this.target !== wanted;) {
        wanted = this.target;
        await this.show(wanted!);
      }
    } finally {
      this.seeking = false;
      this.target = undefined;
    }
  }

  close() {
    if (!this.video) return;
    this.video.cancelVideoFrameCallback(this.callback);
    this.video.onplay = this.video.onpause = this.video.onended = this.video.onerror = null;
    this.video.pause();
    this.video.removeAttribute("src"); // ends the download
    this.video.load();
  }

  private async play() {
    const video = this.video;
    if (!video || !this.playable.value) return;
    await this.arrival.catch(() => undefined);
    const { table } = this.options;
    if (this.frame.value >= table.total - 1) await this.goTo(0);
    const loop = this.loop.value;
    if (loop && (this.frame.value < loop[0] || this.frame.value >= loop[1])) await this.goTo(loop[0]);
    this.still.value = this.there = undefined;
    video.playbackRate = this.rate.value;
    await video.play().catch(() => undefined); // paused again before it started
    this.follow();
  }

  /** Follows the presented frames while the video plays. */
  private follow() {
    const { table, shown } = this.options;
    const video = this.video!;
    const begin = this.begin ?? 0;
    video.cancelVideoFrameCallback(this.callback);
    let last = this.frame.value;
    const presented = (_: number, { mediaTime }: VideoFrameCallbackMetadata) => {
      if (this.seeking) return;
      this.callback = video.requestVideoFrameCallback(presented);
      const frame = table.nearLoaded(mediaTime - begin);
      if (frame === undefined) {
        void table.near(mediaTime - begin);
        return;
      }
      // Browsers skip frames when they are late; a larger distance is a jump.
      const played = frame > last && frame - last < 60;
      shown(played ? last + 1 : frame, frame + 1);
      last = this.frame.value = frame;
      table.prefetch(frame);
      const loop = this.loop.value;
      if (loop && this.playing.value && frame >= loop[1]) void this.goTo(loop[0]).then(() => this.play());
    };
    this.callback = video.requestVideoFrameCallback(presented);
  }

  private async show(frame: number) {
    const { table, shown } = this.options;
    const [here, next] = [await table.load(frame), await table.load(frame + 1)];
    if (!here) return;
    const length = next ? next.time_s - here.time_s : 0.02;
    const within = Math.max(tolerance, length / 4);
    const exact = await this.present(here.time_s + length / 2, (time) => Math.abs(time - here.time_s) < within);
    this.still.value = exact ? undefined : api(`${this.options.path}/stills/${frame}`);
    this.frame.value = frame;
    shown(frame, frame + 1);
  }

  /** Seeks to a time, counted from the first frame, and returns whether the browser presents the wanted frame. */
  private async present(time: number, wanted: (time: number) => boolean): Promise<boolean> {
    const video = this.video;
    if (!video || !this.playable.value) return false;
    if (video.readyState < HTMLMediaElement.HAVE_METADATA) await happens(video, "loadedmetadata", 5000);
    if (this.begin === undefined) {
      await this.seek(video, 0, (mediaTime) => {
        this.begin = mediaTime;
        return true;
      });
    }
    const begin = this.begin ?? 0;
    return this.seek(video, begin + time, (mediaTime) => wanted(mediaTime - begin));
  }

  /**
   * Seeks, and returns whether the browser presents the wanted frame in time. It may first present the picture of the
   * previous seek, even after the new request. A busy machine may present the frame late, which then removes the still.
   * A seek to the current position presents nothing.
   */
  private seek(video: HTMLVideoElement, to: number, wanted: (mediaTime: number) => boolean): Promise<boolean> {
    if (to === this.there) return Promise.resolve(true);
    this.there = undefined;
    video.cancelVideoFrameCallback(this.callback);
    return new Promise((resolve) => {
      let late = false;
      const giveUp = () => {
        late = true;
        resolve(false);
      };
      let timer = setTimeout(giveUp, presentedWithin);
      const presented = (_: number, { mediaTime }: VideoFrameCallbackMetadata) => {
        if (wanted(mediaTime)) {
          clearTimeout(timer);
          this.there = to;
          if (late) this.still.value = undefined;
          resolve(true);
          return;
        }
        this.callback = video.requestVideoFrameCallback(presented);
        if (late || video.seeking) return;
        clearTimeout(timer);
        timer = setTimeout(giveUp, settledWithin);
      };
      this.callback = video.requestVideoFrameCallback(presented);
      video.currentTime = to;
    });
  }
}

function happens(target: EventTarget, event: string, within: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, within);
    target.addEventListener(
      event,
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}

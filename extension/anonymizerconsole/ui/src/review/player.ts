// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { signal } from "@preact/signals";
import { api } from "../api";
import type { FrameTable } from "./frames";

const presentedWithin = 1500; // milliseconds from a seek to its picture
const settledWithin = 300; // milliseconds from another frame's picture, after the seek has ended
const tolerance = 0.002; // seconds between the table's and the browser's time of one frame

interface Options {
  table: FrameTable;
  /** The revision's address in the API. */
  path: string;
  /** The first frame's time in the file, in seconds; the player finds it out if it is unknown. */
  begin: number | undefined;
  /** Called for frames from..to, half-open, that were on the screen. */
  shown: (from: number, to: number) => void;
}

/**
 * Shows exact frames of a video element. It seeks to the middle of a frame, since times are rounded, and believes only
 * the time that requestVideoFrameCallback reports: where that is another frame's, it shows the server's still instead.
 */
export class Player {
  /** The frame on the screen. */
  readonly frame = signal(0);
  readonly playing = signal(false);
  readonly rate = signal(1);
  /** The address of a still that covers the video, if the video does not show the frame. */
  readonly still = signal<string | undefined>(undefined);
  /** Whether the browser plays the file at all. */
  readonly playable = signal(true);
  /** While set, playing repeats these frames, both included. */
  readonly loop = signal<[first: number, last: number] | undefined>(undefined);

  private video: HTMLVideoElement | undefined;
  private target: number | undefined;
  private seeking = false;
  /** Ends with the seek that is going on. */
  private arrival: Promise<void> = Promise.resolve();
  private callback = 0;
  private begin: number | undefined;
  /** The time of the last seek, if the wanted frame was presented. */
  private there: number | undefined;

  constructor(private readonly options: Options) {
    this.begin = options.begin;
  }

  /** Takes over a video element, or none where browsers cannot play the file. */
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

  /** Stops playing and shows a frame, or the nearest that exists. Of several quick calls the last one wins. */
  async goTo(frame: number) {
    this.video?.pause();
    this.target = Math.max(0, Math.min(this.options.table.total - 1, Math.round(frame)));
    if (this.seeking) return;
    this.arrival = this.arrive();
    await this.arrival;
  }

  /** Shows the target, also if it changes meanwhile. */
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
    await video.play().catch(() => undefined); // paused again before it began
    this.follow();
  }

  /** Follows what is presented while the video plays. */
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
      // Browsers leave out frames that they are late for; further apart, it was a jump.
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

  /** Seeks to a time, and tells whether the browser presents the wanted frame. Times count from the first frame. */
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
   * Seeks, and reports whether the browser presents the wanted frame in time. What it presents first may be the picture
   * of the seek before, whatever has been asked meanwhile; and a machine that is busy may present the frame late, which
   * takes away the still. A seek to where the video is presents nothing.
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

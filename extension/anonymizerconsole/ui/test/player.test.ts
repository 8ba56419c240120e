// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { mock, test } from "node:test";
import type { FrameTable } from "../src/review/frames";
import { Player } from "../src/review/player";

const rate = 25;
Object.assign(globalThis, { HTMLMediaElement: { HAVE_METADATA: 1 } });

/** A video element that presents what a test specifies. */
class FakeVideo {
  readyState = 4;
  seeking = false;
  private callbacks = new Map<number, VideoFrameRequestCallback>();
  private last = 0;
  private time = 0;

  constructor(private readonly sought: (video: FakeVideo, frame: number) => void) {}

  set currentTime(time: number) {
    if (time === this.time) return; // browsers then present nothing
    this.time = time;
    this.seeking = true;
    this.sought(this, Math.floor(time * rate));
  }

  pause() {}

  async play() {}

  requestVideoFrameCallback(callback: VideoFrameRequestCallback) {
    this.callbacks.set(++this.last, callback);
    return this.last;
  }

  cancelVideoFrameCallback(id: number) {
    this.callbacks.delete(id);
  }

  present(frame: number) {
    const [now, metadata] = [[...this.callbacks.values()], { mediaTime: frame / rate } as VideoFrameCallbackMetadata];
    this.callbacks.clear();
    for (const callback of now) callback(0, metadata);
  }
}

function play(sought: (video: FakeVideo, frame: number) => void) {
  const table = {
    total: 100,
    load: async (frame: number) => ({ frame, time_s: frame / rate }),
    nearLoaded: (time: number) => Math.round(time * rate),
    prefetch: () => undefined,
  } as unknown as FrameTable;
  const player = new Player({ table, path: "r1", begin: 0, shown: () => undefined });
  const video = new FakeVideo(sought);
  player.attach(video as unknown as HTMLVideoElement);
  return { player, video };
}

test("the player waits for the wanted frame, whatever is presented before", async () => {
  const { player } = play((video, frame) => {
    queueMicrotask(() => {
      video.present(0); // the picture of an earlier seek
      video.seeking = false;
      video.present(frame);
    });
  });
  await player.goTo(7);
  assert.equal(player.frame.value, 7);
  assert.equal(player.still.value, undefined);
});

test("the player shows a frame that is there already", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { player } = play((video, frame) => queueMicrotask(() => video.present(frame)));
  await player.goTo(7);
  const again = player.goTo(7);
  await new Promise((resolve) => setImmediate(resolve));
  mock.timers.tick(1500);
  await again;
  assert.equal(player.still.value, undefined);
  mock.timers.reset();
});

test("the player plays once it has arrived", async () => {
  const { player, video } = play(() => undefined);
  const arrival = player.goTo(7);
  await new Promise((resolve) => setImmediate(resolve));
  player.toggle();
  await new Promise((resolve) => setImmediate(resolve));
  video.seeking = false;
  for (let frame = 7; frame < 12; frame++) {
    video.present(frame);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await arrival;
  assert.equal(player.still.value, undefined);
  assert.equal(player.frame.value, 11);
});

test("the player shows a still where the browser presents another frame, or none", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  for (const presents of [[6], []]) {
    const { player } = play((video) => {
      video.seeking = false;
      presents.forEach((frame) => video.present(frame));
      queueMicrotask(() => mock.timers.tick(1500));
    });
    await player.goTo(7);
    assert.match(player.still.value ?? "", /stills\/7$/);
  }
  mock.timers.reset();
});

test("the player takes the still away when the browser presents the frame late", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { player, video } = play(() => queueMicrotask(() => mock.timers.tick(1500)));
  await player.goTo(7);
  assert.match(player.still.value ?? "", /stills\/7$/);
  video.seeking = false;
  video.present(7);
  assert.equal(player.still.value, undefined);
  mock.timers.reset();
});

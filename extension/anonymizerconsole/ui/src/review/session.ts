// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { signal, type Signal } from "@preact/signals";
import {
  get,
  post,
  revisionPath,
  type Moment,
  type Moments,
  type RevisionDetails,
  type Timeline,
  type Video,
} from "../api";
import { put, videos } from "../store";
import { FrameTable } from "./frames";
import { Player } from "./player";
import { WatchedFrames } from "./watched";

const seenAfter = 400; // milliseconds that a moment must be on the screen
const pollEvery = 2000; // milliseconds, while the server prepares something

/** The review of one revision: its data, and what is on the screen. */
export class Session {
  readonly moments: Signal<Moments>;
  readonly details: Signal<RevisionDetails>;
  readonly moment = signal<Moment | undefined>(undefined);
  /** Whether moments that are also weak are listed. */
  readonly unfolded = signal(false);
  readonly table: FrameTable;
  readonly player: Player;
  readonly watched: WatchedFrames;
  readonly path: string;
  private timer = 0;
  private seenTimer = 0;

  private constructor(
    readonly video: string,
    details: RevisionDetails,
    moments: Moments,
    timeline: Timeline,
  ) {
    this.path = revisionPath(video, details.id);
    this.details = signal(details);
    this.moments = signal(moments);
    this.table = new FrameTable(this.path, timeline);
    this.watched = new WatchedFrames(this.path, () => this.moments.value.moments);
    this.player = new Player({
      table: this.table,
      path: this.path,
      begin: details.begin_s,
      shown: (from, to) => this.watched.frames(from, to),
    });
  }

  static async open(video: string, revision: string): Promise<Session> {
    const path = revisionPath(video, revision);
    if (!videos.value.has(video)) put(await get<Video>(`videos/${video}`));
    const [details, moments, timeline] = await Promise.all([
      get<RevisionDetails>(path),
      get<Moments>(`${path}/moments`),
      get<Timeline>(`${path}/timeline`),
    ]);
    const session = new Session(video, details, moments, timeline);
    await session.watched.load();
    if (details.playback.state === "needed") await post(`${path}/proxy`).catch(() => undefined);
    session.poll();
    return session;
  }

  /** Either the moments that are counted, or those that are also weak. */
  kept(alsoWeak: boolean): Moment[] {
    return this.moments.value.moments.filter(({ also_weak = false }) => also_weak === alsoWeak);
  }

  /** The moments to step through, in order. */
  get listed(): Moment[] {
    return this.unfolded.value ? this.moments.value.moments : this.kept(false);
  }

  /** Makes a moment current without going to it. */
  select(moment: Moment | undefined) {
    this.moment.value = moment;
    if (moment?.also_weak) this.unfolded.value = true;
  }

  /** Goes to a moment and shows the frame to look at. */
  async show(moment: Moment) {
    this.select(moment);
    clearTimeout(this.seenTimer);
    if (this.player.loop.value) this.player.loop.value = [moment.first_frame, moment.last_frame];
    await this.player.goTo(moment.frame);
    this.seenTimer = window.setTimeout(() => {
      if (this.moment.value === moment && !document.hidden) this.watched.moment(moment.id);
    }, seenAfter);
  }

  /** Goes to the next moment, or the previous one. */
  move(by: 1 | -1) {
    const { listed } = this;
    if (!listed.length) return;
    const here = listed.findIndex(({ id }) => id === this.moment.value?.id);
    const next = here < 0 ? (by > 0 ? 0 : listed.length - 1) : here + by;
    void this.show(listed[Math.max(0, Math.min(listed.length - 1, next))]!);
  }

  /** Starts or stops playing the moment in a loop. */
  toggleLoop() {
    const { loop, playing } = this.player;
    const moment = this.moment.value;
    loop.value = loop.value || !moment ? undefined : [moment.first_frame, moment.last_frame];
    if (playing.value !== (loop.value !== undefined)) this.player.toggle();
  }

  close() {
    clearTimeout(this.timer);
    clearTimeout(this.seenTimer);
    this.watched.close();
    this.player.close();
  }

  // Asks again while the proxy is being prepared or the second look at the output is in progress.
  private poll() {
    const playback = this.details.value.playback.state;
    const look = this.moments.value.second_look.state;
    const wait = playback === "needed" || playback === "preparing" || look === "waiting" || look === "running";
    if (wait) this.timer = window.setTimeout(() => void this.refresh().finally(() => this.poll()), pollEvery);
  }

  private async refresh() {
    const [details, moments] = await Promise.all([
      get<RevisionDetails>(this.path),
      get<Moments>(`${this.path}/moments`),
    ]).catch(() => [this.details.value, this.moments.value] as const);
    this.details.value = details;
    this.moments.value = moments;
  }
}

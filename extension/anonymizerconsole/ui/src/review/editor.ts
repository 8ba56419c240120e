// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { batch, computed, effect, signal } from "@preact/signals";
import {
  APIError,
  get,
  post,
  type Edits,
  type EditsCheck,
  type Frame,
  type FrameRange,
  type Mask,
  type Operation,
} from "../api";
import { texts } from "../i18n";
import { complain, explain, me, tell, videos } from "../store";
import { FrameTable } from "./frames";
import {
  addedMask,
  adjustment,
  drawn,
  ellipseAt,
  ellipseOf,
  liveOf,
  masked,
  plain,
  projected,
  rangeOf,
  shifted,
  textOf,
  uncovers,
  undoing,
  withKeyframe,
  without,
  type Ellipse,
} from "./operations";
import { Rendering } from "./rendering";
import type { Session } from "./session";

/** The frames that a correction affects, relative to the frame on the screen. */
export type Scope = "frame" | "on" | "all";
/** A drawn mask, by its operation, or the masks of a head, by its track. */
export type Selection = { id: number; track?: undefined } | { track: number; id?: undefined };
/** A mask that can be selected, as it would be rendered. */
export type Shown = Mask & { selection?: Selection };

const retryAfter = 3000; // milliseconds until unsaved operations are sent again
const settleFor = 700; // milliseconds without a change until an edit is saved
const askEvery = 3000; // milliseconds between checks whether someone has confirmed

/**
 * Corrects the masks of a video. Operations are sent immediately, and kept in this tab until the server has saved them.
 */
export class Editor {
  readonly open = signal(false);
  readonly edits = signal<Edits | undefined>(undefined);
  /** Why corrections are not possible. */
  readonly problem = signal<string | undefined>(undefined);
  /** The operations that the server does not have yet, grouped as they were made. */
  readonly queue = signal<Operation[][]>([]);
  readonly offline = signal(false);
  /** The operations that the server does not accept as they are, and why. */
  readonly asked = signal<{ operations: Operation[]; check: EditsCheck } | undefined>(undefined);
  /** The track whose masks will be removed once a reason is given. */
  readonly removing = signal<number | undefined>(undefined);
  readonly scope = signal<Scope>("on");
  /** A new mask is being placed. */
  readonly placing = signal(false);
  readonly selected = signal<Selection | undefined>(undefined);
  /** The ellipse to which the selected or new mask is being moved in the frame on the screen. */
  readonly draft = signal<Ellipse | undefined>(undefined);
  readonly rendering: Rendering;
  readonly table = signal<FrameTable>(undefined as unknown as FrameTable);

  readonly operations = computed(() => [...(this.edits.value?.operations ?? []), ...this.queue.value.flat()]);
  readonly live = computed(() => liveOf(this.operations.value));
  readonly undoable = computed(() => undoing(this.operations.value));

  private readonly path: string;
  private readonly store: string;
  private draftFrame = 0;
  private begun: Promise<void> | undefined;
  private settling = 0;
  private settled = Promise.resolve();
  private retrying = 0;
  private sending = false;
  private readonly endings: (() => void)[] = [];

  constructor(private readonly session: Session) {
    this.path = `videos/${session.video}/edits`;
    this.store = `console.edits.${session.video}`;
    this.table.value = this.freshTable();
    this.rendering = new Rendering(session.video, () => void this.load().catch(() => undefined));
    const events = new AbortController();
    addEventListener("pagehide", () => void this.settle(), { signal: events.signal });
    addEventListener("beforeunload", (event) => this.queue.value.length && event.preventDefault(), {
      signal: events.signal,
    });
    this.endings.push(
      () => events.abort(),
      // When the frame changes, save the edit of the previous one.
      effect(() => {
        if (this.session.player.frame.value !== this.draftFrame && !this.placing.peek()) void this.settle();
      }),
      // The video has changed, perhaps because of another user.
      effect(() => {
        void videos.value.get(session.video);
        if (this.open.peek() && this.idle()) void this.load().catch(() => undefined);
      }),
      // A second person must confirm an operation.
      effect(() => {
        if (!this.edits.value?.unconfirmed.length) return undefined;
        const timer = setTimeout(() => this.idle() && void this.load().catch(() => undefined), askEvery);
        return () => clearTimeout(timer);
      }),
    );
  }

  /** Loads the corrections, and those that could not be saved before the page was left. */
  begin(): Promise<void> {
    this.begun ??= this.load().then(
      () => this.restore(),
      (error: unknown) => {
        this.problem.value = explain(error);
        this.begun = undefined;
      },
    );
    return this.begun;
  }

  /** Shows or hides the tools. */
  async toggle(open = !this.open.value) {
    if (open === this.open.value) return;
    if (this.session.player.playing.value) this.session.player.toggle();
    await this.begin();
    await this.settle();
    batch(() => {
      this.open.value = open;
      this.placing.value = false;
      this.selected.value = undefined;
    });
    void this.send();
  }

  close() {
    void this.settle();
    clearTimeout(this.retrying);
    this.rendering.close();
    this.endings.forEach((end) => end());
  }

  /** The masks of a frame of the table as they would be rendered. */
  masksOf(frame: Frame): Shown[] {
    const [operations, live] = [this.operations.value, this.live.value];
    const found: Shown[] = projected(frame, this.unsent)
      .masks.filter(({ origin }) => origin !== "added")
      .map((mask) => (mask.track ? { ...mask, selection: { track: mask.track } } : mask));
    operations.forEach((operation, index) => {
      const ellipse = operation.type === "add" && live.has(index + 1) && ellipseAt(operation, frame.frame);
      if (ellipse) found.push({ ...addedMask(ellipse, operation.shape), selection: { id: index + 1 } });
    });
    const draft = this.draft.value;
    if (!draft) return found;
    if (this.placing.value) return [...found, addedMask(draft)];
    return found.map((mask) => (this.isSelected(mask) ? { ...masked(mask, draft), selection: mask.selection! } : mask));
  }

  isSelected({ selection }: Shown): boolean {
    const selected = this.selected.value;
    return !!selected && !!selection && selected.id === selection.id && selected.track === selection.track;
  }

  /** The ellipse of the selected or new mask in the frame. */
  ellipse(masks: readonly Shown[]): Ellipse | undefined {
    if (this.placing.value) return this.draft.value;
    const mask = masks.find((shown) => this.isSelected(shown));
    return mask && ellipseOf(mask);
  }

  async select(selection: Selection | undefined) {
    await this.settle();
    batch(() => {
      this.placing.value = false;
      this.draft.value = undefined;
      this.selected.value = selection;
    });
  }

  /** Starts a new mask at a place. */
  async place(ellipse: Ellipse) {
    await this.select(undefined);
    batch(() => {
      this.placing.value = true;
      this.draft.value = ellipse;
    });
  }

  /**
   * Moves the selected or new mask in the frame on the screen. It becomes an operation later, or when settle is called.
   */
  put(ellipse: Ellipse) {
    this.draft.value = ellipse;
    this.draftFrame = this.session.player.frame.value;
    clearTimeout(this.settling);
    if (!this.placing.value) this.settling = window.setTimeout(() => void this.settle(), settleFor);
  }

  /** Turns the moved mask into an operation. */
  settle(): Promise<void> {
    clearTimeout(this.settling);
    this.settled = this.settled.then(() => this.settleNow());
    return this.settled;
  }

  private async settleNow() {
    const [ellipse, selection, frame] = [this.draft.value, this.selected.value, this.draftFrame];
    if (!ellipse || !selection || this.placing.value) return;
    if (selection.track !== undefined) {
      const known = await this.table.value.load(frame);
      const mask = known && projected(known, this.unsent).masks.find(({ track }) => track === selection.track);
      const change = mask && adjustment(selection.track, this.range(frame), ellipseOf(mask), ellipse);
      if (change) this.append([change]);
    } else await this.moveAdded(selection.id, frame, ellipse);
    if (this.draft.value === ellipse) this.draft.value = undefined;
  }

  /** Adds the new mask. */
  async add() {
    const ellipse = this.draft.value;
    if (!this.placing.value || !ellipse) return;
    const operation = await drawn(ellipse, this.range(), this.frames, this.timeOf);
    this.append([operation]);
    batch(() => {
      this.placing.value = false;
      this.draft.value = undefined;
      this.selected.value = { id: this.operations.value.length };
    });
  }

  /** Fixes the selected mask in this frame with a keyframe. */
  async keyframe(masks: readonly Shown[]) {
    const ellipse = this.ellipse(masks);
    const id = this.selected.value?.id;
    if (!ellipse || id === undefined) return;
    await this.settle();
    const latest = this.selected.value?.id ?? id;
    const changed = await withKeyframe(this.operations.value[latest - 1]!, this.frame, ellipse, this.timeOf);
    this.replace(latest, [changed]);
  }

  /** Ends the selected mask before this frame. */
  async end() {
    const id = await this.selectedID();
    if (id === undefined) return;
    const operation = this.operations.value[id - 1]!;
    const [from, to] = rangeOf(operation, this.frames);
    if (this.frame <= from) {
      tell(texts.value.edit.endsBefore, true);
      return;
    }
    if (this.frame < to)
      this.replace(id, await without(operation, [this.frame, this.frames], this.frames, this.timeOf));
    await this.select(undefined);
  }

  /** Keeps the selected mask in place up to the end of the video. */
  async hold(masks: readonly Shown[]) {
    const ellipse = this.ellipse(masks);
    if (!ellipse) return;
    const { frame, frames } = this;
    const id = await this.selectedID();
    const rest = await drawn(ellipse, [frame, frames], frames, this.timeOf);
    if (id === undefined) {
      this.append([rest]);
      this.selected.value = { id: this.operations.value.length };
      return;
    }
    const operation = this.operations.value[id - 1]!;
    const before = operation.keyframes!.filter((k) => k.frame < frame);
    this.replace(id, [{ ...plain(operation), keyframes: [...before, rest.keyframes![0]!] }]);
  }

  /** Splits the selected mask into two: before this frame, and from this frame on. */
  async split() {
    const id = await this.selectedID();
    if (id === undefined) return;
    const operation = this.operations.value[id - 1]!;
    const { frame, frames } = this;
    const [from, to] = rangeOf(operation, frames);
    if (frame <= from || frame >= to) return;
    const [before] = await without(operation, [frame, frames], frames, this.timeOf);
    const [after] = await without(operation, [0, frame], frames, this.timeOf);
    this.replace(id, [before!, after!]);
  }

  /** Removes the selected mask. For masks of the pipeline, it asks for a reason first. */
  async takeAway() {
    const selection = this.selected.value;
    if (!selection) return;
    await this.settle();
    if (selection.track !== undefined) {
      this.removing.value = selection.track;
      return;
    }
    const id = this.selected.value!.id!;
    const rest = await without(this.operations.value[id - 1]!, this.range(), this.frames, this.timeOf);
    this.replace(id, rest);
    this.selected.value = undefined;
  }

  /** Removes the masks of a track. */
  remove(track: number, reason: string, note: string) {
    this.removing.value = undefined;
    const [from, to] = this.range();
    this.append([{ type: "remove", track, from, to, reason, ...(note && { note }) }]);
    this.selected.value = undefined;
  }

  wholeFrame() {
    const [from, to] = this.range();
    this.append([{ type: "whole_frame", from, to }]);
  }

  async undo() {
    if (this.placing.value) {
      await this.select(undefined);
      return;
    }
    await this.settle();
    if (this.undoable.value.length) this.append(this.undoable.value);
    this.selected.value = undefined;
  }

  /** Reverts one operation, or confirms it as a second person. */
  about(type: "revert" | "confirm", of: number) {
    this.append([{ type, of }]);
    if (type === "revert") this.selected.value = undefined;
  }

  /** Answers the question about operations that the server did not accept: gives a reason, or drops them. */
  answer(given?: { reason: string; note: string }) {
    const [first = [], ...others] = this.queue.value;
    batch(() => {
      this.asked.value = undefined;
      if (given) this.keep([first.map((o) => (uncovers(o) ? { ...o, ...given } : o)), ...others]);
      else {
        // Later operations may depend on them.
        this.keep([]);
        this.selected.value = undefined;
      }
    });
    void this.send();
  }

  async render() {
    await this.settle();
    await this.send();
    const edits = this.edits.value;
    if (!edits || this.queue.value.length) return;
    try {
      await this.rendering.start(edits.etag);
    } catch (error) {
      complain(error);
      await this.load().catch(() => undefined);
    }
  }

  async cancelRender() {
    await this.rendering.cancel().catch(complain);
    await this.load().catch(complain);
  }

  /** The frames that a correction made now affects. */
  range(frame = this.frame): FrameRange {
    const { frames } = this;
    return { frame: [frame, frame + 1], on: [frame, frames], all: [0, frames] }[this.scope.value] as FrameRange;
  }

  /** Operations that are not reverted and that the server does not have yet. */
  private get unsent(): Operation[] {
    const known = this.edits.value?.operations.length ?? 0;
    return this.operations.value.filter((_, index) => index >= known && this.live.value.has(index + 1));
  }

  get frames(): number {
    return this.edits.value?.frames ?? this.session.table.total;
  }

  private get frame(): number {
    return this.session.player.frame.value;
  }

  /** The selected drawn mask, after pending edits have become operations. */
  private async selectedID(): Promise<number | undefined> {
    await this.settle();
    return this.selected.value?.id;
  }

  private readonly timeOf = async (frame: number) => {
    const { table } = this.session;
    if (frame < table.total) return (await table.load(frame))!.time_s;
    return (await table.load(table.total - 1))!.time_s + 1; // beyond the end: not compared
  };

  private async moveAdded(id: number, frame: number, to: Ellipse) {
    const operation = this.operations.value[id - 1]!;
    const from = ellipseAt(operation, frame);
    if (this.scope.value !== "all" || !from) {
      this.replace(id, [await withKeyframe(operation, frame, to, this.timeOf)]);
      return;
    }
    this.replace(id, [shifted(operation, from, to)]);
  }

  /** Replaces an operation, and selects the first of its replacements. */
  private replace(id: number, by: Operation[]) {
    if (by.length === 1 && textOf(by[0]!) === textOf(this.operations.value[id - 1]!)) return;
    this.append([{ type: "revert", of: id }, ...by]);
    this.selected.value = by.length ? { id: this.operations.value.length - by.length + 1 } : undefined;
  }

  private append(operations: Operation[]) {
    this.keep([...this.queue.value, operations]);
    void this.send();
  }

  /** Remembers unsaved operations, even across a reload. */
  private keep(queue: Operation[][]) {
    this.queue.value = queue;
    const base = this.edits.value?.operations.length ?? 0;
    if (queue.length) sessionStorage.setItem(this.store, JSON.stringify({ base, queue }));
    else sessionStorage.removeItem(this.store);
  }

  private restore() {
    const kept = sessionStorage.getItem(this.store);
    if (!kept) return;
    const { base, queue } = JSON.parse(kept) as { base: number; queue: Operation[][] };
    this.rebase(base, queue);
    void this.send();
  }

  private idle(): boolean {
    return !this.sending && !this.queue.peek().length && !this.draft.peek();
  }

  /** Loads the current state. */
  private async load() {
    const edits = await get<Edits>(this.path);
    // Unsaved operations refer to what was loaded before: sending them detects operations of other users.
    if (!this.queue.value.length) {
      if (edits.etag !== this.edits.value?.etag) await this.show(edits);
      else this.edits.value = edits;
    }
    await this.rendering.load();
  }

  /** Shows the server's edits and the frames with them at the same time. */
  private async show(edits: Edits, also?: () => void) {
    const table = this.freshTable();
    await table.load(this.frame).catch(() => undefined);
    batch(() => {
      this.edits.value = edits;
      this.table.value = table;
      also?.();
    });
  }

  /** Shows the server's edits, which include the first group in the queue. */
  private accept(edits: Edits): Promise<void> {
    return this.show(edits, () => this.keep(this.queue.value.slice(1)));
  }

  private freshTable() {
    return new FrameTable(this.path, this.session.table.timeline);
  }

  private async send() {
    if (this.sending || this.asked.value || !this.edits.value) return;
    clearTimeout(this.retrying);
    this.sending = true;
    try {
      while (this.queue.value.length && !this.asked.value) await this.sendFirst(this.queue.value[0]!);
      this.offline.value = false;
    } catch (error) {
      if (error instanceof APIError && error.status === 401) complain(error);
      this.offline.value = true;
      this.retrying = window.setTimeout(() => void this.send(), retryAfter);
    } finally {
      this.sending = false;
    }
  }

  /** Sends operations. Throws an error if they cannot be sent now. */
  private async sendFirst(operations: Operation[]) {
    try {
      if (operations.some(uncovers)) {
        const check = await post<EditsCheck>(`${this.path}/check`, { operations });
        if (!check.valid) {
          this.asked.value = { operations, check };
          return;
        }
      }
      const edits = await post<Edits>(this.path, { operations }, false, this.edits.value!.etag);
      await this.accept(edits);
    } catch (error) {
      if (!(error instanceof APIError) || error.status < 400 || error.status === 401 || error.status >= 500)
        throw error;
      if (error.status === 412) await this.reload();
      else await this.question(operations, error);
    }
  }

  /** Another user was first, or the response that confirmed the operations was lost. */
  private async reload() {
    const base = this.edits.value!.operations.length;
    const edits = await get<Edits>(this.path);
    const queue = this.queue.value;
    const first = edits.operations.slice(base, base + queue[0]!.length);
    const own = first.every((o, i) => o.by === me.value?.name && textOf(o) === textOf(queue[0]![i]!));
    if (own && first.length === queue[0]!.length) {
      await this.accept(edits);
      return;
    }
    await this.show(edits, () => this.rebase(base, this.queue.value));
    tell(texts.value.edit.others);
  }

  /** Renumbers unsaved operations after operations of other users. */
  private rebase(base: number, queue: Operation[][]) {
    const by = this.edits.value!.operations.length - base;
    const moved = (id: number) => (id > base ? id + by : id);
    const selected = this.selected.value;
    if (selected?.id !== undefined) this.selected.value = { id: moved(selected.id) };
    this.keep(queue.map((operations) => operations.map((o) => (o.of === undefined ? o : { ...o, of: moved(o.of) }))));
  }

  /** Determines why operations were rejected, and asks the user. */
  private async question(operations: Operation[], error: APIError) {
    const check = await post<EditsCheck>(`${this.path}/check`, { operations }).catch(() => undefined);
    const refused = { valid: false, errors: [explain(error)], uncovered: [] as EditsCheck["uncovered"] };
    this.asked.value = {
      operations,
      check: check && !check.valid ? check : { ...refused, needs_reason: false, needs_second_person: false },
    };
  }
}

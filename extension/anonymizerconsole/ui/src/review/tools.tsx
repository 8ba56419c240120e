// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { number } from "../format";
import { texts } from "../i18n";
import type { Box, Operation, Video } from "../api";
import { may, me, tell } from "../store";
import { ReasonDialog, RefusedDialog } from "./reason";
import type { Editor, Scope, Selection, Shown } from "./editor";
import { rangeOf, type Ellipse } from "./operations";
import { RenderPart } from "./render";

interface Props {
  editor: Editor;
  masks: readonly Shown[];
}

/** The editing actions by key, which the buttons also use. */
export function actionsOf({ editor, masks }: Props, place: () => Ellipse): Record<string, () => void> {
  const t = texts.value.edit;
  const only = (may: () => unknown, text: string, act: () => Promise<void>) => () =>
    may() ? void act() : tell(text, true);
  const selected = (act: () => Promise<void>) => only(() => editor.selected.value, t.selectFirst, act);
  const drawn = (act: () => Promise<void>) => only(() => editor.selected.value?.id, t.drawnOnly, act);
  return {
    a: () => void editor.place(place()),
    t: () => {
      const all = masks.filter(({ selection }) => selection);
      const here = all.findIndex((mask) => editor.isSelected(mask));
      void editor.select(all[(here + 1) % Math.max(1, all.length)]?.selection);
    },
    k: drawn(() => editor.keyframe(masks)),
    o: drawn(() => editor.end()),
    h: selected(() => editor.hold(masks)),
    s: drawn(() => editor.split()),
    w: () => editor.wholeFrame(),
    Delete: selected(() => editor.takeAway()),
    Backspace: selected(() => editor.takeAway()),
    "Ctrl z": () => void editor.undo(),
    Escape: () => void editor.select(undefined),
    ...(editor.ellipse(masks) &&
      Object.fromEntries(
        (["Left", "Right", "Up", "Down"] as const).flatMap((to) =>
          [1, 10].map((by) => [`Alt ${by > 1 ? "Shift " : ""}Arrow${to}`, () => nudge(editor, masks, to, by)]),
        ),
      )),
  };
}

function nudge(editor: Editor, masks: readonly Shown[], to: "Left" | "Right" | "Up" | "Down", by: number) {
  const e = editor.ellipse(masks);
  if (!e) return;
  const [x, y] = { Left: [-by, 0], Right: [by, 0], Up: [0, -by], Down: [0, by] }[to] as [number, number];
  editor.put({ ...e, x: e.x + x, y: e.y + y });
}

/** The proposed place of a new mask: the moment's box, or the middle. */
export function proposed(box: Box | undefined, width: number, height: number): Ellipse {
  const half = Math.max(8, Math.min(width, height) / 10);
  if (!box)
    return { x: Math.round(width / 2), y: Math.round(height / 2), rx: half, ry: Math.round(half * 1.25), angle: 0 };
  // The ellipse that encloses the box.
  const [left, top, right, bottom] = box;
  const around = (from: number, to: number) => Math.ceil((to - from) / Math.SQRT2);
  return { x: (left + right) / 2, y: (top + bottom) / 2, rx: around(left, right), ry: around(top, bottom), angle: 0 };
}

/** The tools below the picture. */
export function ToolStrip({ editor, masks, actions }: Props & { actions: Record<string, () => void> }) {
  const t = texts.value.edit;
  const selected = editor.selected.value;
  const there = masks.some((mask) => editor.isSelected(mask));
  const added = selected?.id !== undefined;
  const tool = (key: string, text: string, help: string, possible = true, pressed?: boolean) => (
    <button
      type="button"
      disabled={!possible}
      aria-pressed={pressed}
      title={`${help} (${key})`}
      onClick={() => actions[key.length === 1 ? key.toLowerCase() : key]!()}
    >
      {text} <kbd aria-hidden="true">{key.replace("Delete", "Del").replace("Ctrl z", "Ctrl+Z")}</kbd>
    </button>
  );
  return (
    <div class="tools" role="group" aria-label={t.tools}>
      {tool("A", t.add, t.startLead, true, editor.placing.value)}
      {tool("K", t.keyframe, t.keyframeHelp, added)}
      {tool("O", t.outside, t.outsideHelp, added)}
      {tool("H", t.hold, t.holdHelp, there)}
      {tool("S", t.split, t.splitHelp, added && there)}
      {tool("Delete", added ? t.removeAdded : t.remove, t.removeHelp, !!selected)}
      {tool("W", t.whole, t.wholeHelp)}
      {tool("Ctrl z", t.undo, t.undo, editor.undoable.value.length > 0 || editor.placing.value)}
    </div>
  );
}

function ScopeChoice({ editor }: { editor: Editor }) {
  const t = texts.value.edit;
  return (
    <fieldset class="scope">
      <legend>{t.scope}</legend>
      <div class="choices">
        {(["frame", "on", "all"] as Scope[]).map((scope) => (
          <label key={scope}>
            <input
              type="radio"
              name="scope"
              checked={editor.scope.value === scope}
              onChange={() => {
                editor.scope.value = scope;
              }}
            />
            {t.scopes[scope]}
          </label>
        ))}
      </div>
      <p class="hint">{t.scopeHelp[editor.scope.value]}</p>
    </fieldset>
  );
}

/** The position and size of the selected mask as numbers. */
function Fields({ editor, masks }: Props) {
  const t = texts.value.edit;
  const e = editor.ellipse(masks);
  if (!e) return null;
  const field = (text: string, value: number, change: (value: number) => Partial<Ellipse>, min?: number) => (
    <label>
      <span>{text}</span>
      <input
        type="number"
        step="any"
        min={min}
        value={String(Math.round(value * 100) / 100)}
        onInput={(event) => {
          const typed = event.currentTarget.valueAsNumber;
          if (Number.isFinite(typed) && (min === undefined || typed >= min)) editor.put({ ...e, ...change(typed) });
        }}
      />
    </label>
  );
  return (
    <form
      class="fields"
      onSubmit={(event) => {
        event.preventDefault();
        void (editor.placing.value ? editor.add() : editor.settle());
      }}
    >
      {field(t.x, e.x, (x) => ({ x }))}
      {field(t.y, e.y, (y) => ({ y }))}
      {field(t.width, e.rx * 2, (w) => ({ rx: w / 2 }), 1)}
      {field(t.height, e.ry * 2, (h) => ({ ry: h / 2 }), 1)}
      {field(t.angle, (e.angle * 180) / Math.PI, (a) => ({ angle: (a * Math.PI) / 180 }))}
      {editor.placing.value ? (
        <button type="submit" class="primary">
          {t.place}
        </button>
      ) : (
        <button type="submit" class="hidden" tabIndex={-1} aria-hidden="true" />
      )}
    </form>
  );
}

function nameOf(selection: Selection | undefined, origin = ""): string {
  const t = texts.value;
  if (!selection) return t.origins[origin] ?? origin;
  if (selection.id !== undefined) return t.edit.addedMask(selection.id);
  return t.edit.track(selection.track, t.origins[origin] ?? origin);
}

function MasksHere({ editor, masks }: Props) {
  const t = texts.value.edit;
  const all = masks.filter(({ selection }) => selection);
  return (
    <div class="masks-here">
      <h3>{t.masksHere}</h3>
      {!all.length && <p class="hint">{t.noMask}</p>}
      <ul>
        {all.map((mask) => (
          <li key={JSON.stringify(mask.selection)}>
            <button
              type="button"
              aria-pressed={editor.isSelected(mask)}
              onClick={() => void editor.select(editor.isSelected(mask) ? undefined : mask.selection)}
            >
              {nameOf(mask.selection, mask.origin)}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

function framesOf(editor: Editor, operation: Operation): string {
  const [from, to] = rangeOf(operation, editor.frames);
  return texts.value.edit.frames(number(from), number(to - 1));
}

function Item({ editor, id, goTo }: { editor: Editor; id: number; goTo: (frame: number) => void }) {
  const t = texts.value.edit;
  const edits = editor.edits.value!;
  const operation = editor.operations.value[id - 1]!;
  const { type, track, reason, note, by, of } = operation;
  const about = of === undefined ? operation : (editor.operations.value[of - 1] ?? operation);
  const what = `${t.kinds[type]}, ${framesOf(editor, about)}`;
  const unconfirmed = edits.unconfirmed.includes(id);
  return (
    <li>
      <div class="what">
        <button
          type="button"
          class="link"
          aria-label={`${id}. ${what}`}
          onClick={() => {
            const [from, to] = rangeOf(about, editor.frames);
            const here = editor.range()[0];
            if (here < from || here >= to || editor.scope.value === "all") goTo(from);
            if (type === "add") void editor.select({ id });
            else if (track !== undefined && type === "adjust") void editor.select({ track });
          }}
        >
          {id}. {t.kinds[type]}
        </button>
        <span class="muted">
          {framesOf(editor, about)}
          {reason && ` · ${t.reasons[reason] ?? reason}`}
          {note && ` · ${note}`}
          {by && by !== me.value?.name && ` · ${by}`}
          {id > edits.operations.length ? ` · ${t.unsaved}` : id <= edits.rendered ? ` · ${t.rendered}` : ""}
        </span>
        {unconfirmed && <span class="warn">{t.unconfirmed}</span>}
      </div>
      {unconfirmed && by !== me.value?.name && may("approve") && (
        <button type="button" aria-label={`${t.confirm}: ${what}`} onClick={() => editor.about("confirm", id)}>
          {t.confirm}
        </button>
      )}
      {type !== "confirm" && type !== "revert" && (
        <button
          type="button"
          class="quiet"
          aria-label={t.undoOne(what)}
          title={t.undoOne(what)}
          onClick={() => editor.about("revert", id)}
        >
          ×
        </button>
      )}
    </li>
  );
}

function Operations({ editor, goTo }: { editor: Editor; goTo: (frame: number) => void }) {
  const t = texts.value.edit;
  const [operations, live] = [editor.operations.value, editor.live.value];
  const ids = operations.map((_, index) => index + 1);
  // Reverts and confirmations are not listed, unless they must be confirmed.
  const waits = editor.edits.value!.unconfirmed;
  const shown = ids.filter((id) => {
    const { type } = operations[id - 1]!;
    return live.has(id) && (waits.includes(id) || (type !== "revert" && type !== "confirm"));
  });
  const gone = ids.filter((id) => !live.has(id)).length;
  return (
    <div class="operations">
      <h3>{t.operations}</h3>
      {!shown.length && <p class="hint">{t.noOperations}</p>}
      <ol>
        {shown.reverse().map((id) => (
          <Item key={id} editor={editor} id={id} goTo={goTo} />
        ))}
      </ol>
      {gone > 0 && <p class="hint">{t.undone(gone)}</p>}
    </div>
  );
}

function SaveState({ editor }: { editor: Editor }) {
  const t = texts.value.edit;
  const unsaved = editor.queue.value.length > 0;
  const text = !unsaved ? t.saved : editor.offline.value ? t.offline : t.saving;
  return (
    <p class={unsaved && editor.offline.value ? "hint bad" : "hint"} role="status">
      {text}
    </p>
  );
}

interface CardProps extends Props {
  video: Video;
  goTo: (frame: number) => void;
}

/** The numbers of the selected mask, the operations, and the rendering. */
export function EditCard({ editor, masks, video, goTo }: CardProps) {
  const t = texts.value.edit;
  const edits = editor.edits.value;
  const selected = editor.selected.value;
  const mask = masks.find((shown) => editor.isSelected(shown));
  const title = editor.placing.value ? t.newMask : selected && mask && nameOf(selected, mask.origin);
  const [asked, removing] = [editor.asked.value, editor.removing.value];
  return (
    <section class="card edit" aria-labelledby="edit-title">
      <div class="edit-head">
        <h2 id="edit-title">{t.title}</h2>
        <SaveState editor={editor} />
      </div>
      {editor.problem.value !== undefined && <p class="error">{editor.problem.value}</p>}
      {edits && (
        <>
          {video.state === "approved" && <p class="rest">{t.voids}</p>}
          {edits.limits.length > 0 && (
            <div class="rest">
              {t.limits}
              <ul>
                {edits.limits.map((limit) => (
                  <li key={limit}>{limit}</li>
                ))}
              </ul>
            </div>
          )}
          <ScopeChoice editor={editor} />
          {title ? <h3>{title}</h3> : <p class="hint">{t.startLead}</p>}
          {editor.placing.value && <p class="hint">{t.placeLead}</p>}
          <Fields editor={editor} masks={masks} />
          <MasksHere editor={editor} masks={masks} />
          <Operations editor={editor} goTo={goTo} />
          <RenderPart editor={editor} video={video.id} />
        </>
      )}
      {asked &&
        (asked.check.needs_reason && !asked.check.errors.length && !asked.check.needs_permission ? (
          <ReasonDialog
            title={t.reasonTitle}
            uncovered={asked.check.uncovered}
            reasons={edits!.reasons}
            goTo={goTo}
            submit={(reason, note) => editor.answer({ reason, note })}
            onClose={() => editor.asked.value && editor.answer()}
          />
        ) : (
          <RefusedDialog check={asked.check} onClose={() => editor.answer()} />
        ))}
      {removing !== undefined &&
        (may("approve") && edits!.uncover ? (
          <ReasonDialog
            title={t.removeTitle}
            text={t.removeText(framesOf(editor, { type: "remove", from: editor.range()[0], to: editor.range()[1] }))}
            reasons={edits!.reasons}
            goTo={goTo}
            submit={(reason, note) => editor.remove(removing, reason, note)}
            onClose={() => {
              editor.removing.value = undefined;
            }}
          />
        ) : (
          <RefusedDialog
            check={{
              valid: false,
              errors: edits!.uncover ? [] : edits!.limits,
              uncovered: [],
              needs_reason: false,
              needs_second_person: false,
              ...(!may("approve") && { needs_permission: "approve" }),
            }}
            onClose={() => {
              editor.removing.value = undefined;
            }}
          />
        ))}
    </section>
  );
}

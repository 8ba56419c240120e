// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { number } from "../format";
import { texts } from "../i18n";
import { href } from "../route";
import type { Editor } from "./editor";

/** Starts rendering the corrections, and shows the progress and the result. */
export function RenderPart({ editor, video }: { editor: Editor; video: string }) {
  const t = texts.value.edit;
  const { pending, unconfirmed } = editor.edits.value!;
  const { render } = editor.rendering.renders.value;
  const finished = editor.rendering.finished.value;
  const active = render?.state === "waiting" || render?.state === "running";
  if (active) {
    const { frames, frames_total: total } = render;
    return (
      <div class="rendering">
        <progress max={total ?? 1} value={total ? frames : undefined} aria-label={t.render} />
        <span role="status">
          {render.state === "waiting" ? t.renderWaiting : t.renderRunning(number(frames), total ? number(total) : "")}
        </span>
        <button type="button" onClick={() => void editor.cancelRender()}>
          {texts.value.cancel}
        </button>
      </div>
    );
  }
  const wanted = pending || editor.queue.value.length > 0;
  return (
    <div class="rendering">
      {render?.state === "failed" && (
        <p class="error">
          {t.renderFailed} {render.message}
        </p>
      )}
      {render?.state === "canceled" && <p class="hint">{t.renderCanceled}</p>}
      {finished && (
        <p class="outcome" role="status">
          {t.finished(finished)} <a href={href(["videos", video, finished, "compare"])}>{t.compare}</a>{" "}
          <a href={href(["videos", video, finished])}>{texts.value.compare.review(finished)}</a>
        </p>
      )}
      <button
        type="button"
        class="primary"
        disabled={!wanted || unconfirmed.length > 0}
        onClick={() => void editor.render()}
      >
        {t.render}
      </button>
      <p class="hint">{unconfirmed.length ? t.waitsForSecond : wanted ? t.renderHelp : t.nothingToRender}</p>
    </div>
  );
}

// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { useState } from "preact/hooks";
import type { EditsCheck } from "../api";
import { number } from "../format";
import { texts } from "../i18n";
import { Dialog } from "../parts/dialog";

interface Props {
  title: string;
  text?: string;
  uncovered?: EditsCheck["uncovered"];
  reasons: readonly string[];
  goTo: (frame: number) => void;
  submit: (reason: string, note: string) => void;
  onClose: () => void;
}

/** Asks why something that was masked may be visible. */
export function ReasonDialog({ title, text, uncovered = [], reasons, goTo, submit, onClose }: Props) {
  const t = texts.value.edit;
  const [reason, setReason] = useState("");
  const [missing, setMissing] = useState(false);
  const [first] = uncovered;
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          const note = event.currentTarget.elements.namedItem("note") as HTMLTextAreaElement;
          if (!reason) setMissing(true);
          else if (note.validity.valid) submit(reason, note.value.trim());
          else note.focus();
        }}
      >
        {text && <p>{text}</p>}
        {first && (
          <>
            <p class="rest">{t.uncovered(uncovered.length, number(first.frame), number(first.pixels))}</p>
            <p>
              <button type="button" class="link" onClick={() => goTo(first.frame)}>
                {t.look(number(first.frame))}
              </button>
            </p>
          </>
        )}
        <fieldset class="reasons" aria-describedby={missing ? "reason-missing" : undefined}>
          <legend>{t.reason}</legend>
          {reasons.map((name) => (
            <label key={name}>
              <input
                type="radio"
                name="reason"
                value={name}
                required
                checked={reason === name}
                onChange={() => {
                  setReason(name);
                  setMissing(false);
                }}
              />
              {t.reasons[name] ?? name}
            </label>
          ))}
        </fieldset>
        {missing && (
          <p id="reason-missing" class="error" role="alert">
            {t.reasonMissing}
          </p>
        )}
        <label for="note">{reason === "other" ? texts.value.review.note : texts.value.review.noteOptional}</label>
        <textarea id="note" name="note" rows={2} maxLength={500} required={reason === "other"} />
        <div class="buttons">
          <button type="button" onClick={onClose}>
            {t.dropIt}
          </button>
          <button type="submit" class="danger">
            {t.confirmRemove}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** Explains why an operation is not possible. */
export function RefusedDialog({ check, onClose }: { check: EditsCheck; onClose: () => void }) {
  const t = texts.value.edit;
  return (
    <Dialog title={t.refusedTitle} onClose={onClose}>
      {check.needs_permission && <p>{check.needs_permission === "approve" ? t.roleMayNot : t.mayNot}</p>}
      {check.errors.map((error) => (
        <p key={error}>{error}</p>
      ))}
      <p class="hint">{t.refusedText}</p>
      <div class="buttons">
        <button type="button" class="primary" onClick={onClose}>
          {texts.value.close}
        </button>
      </div>
    </Dialog>
  );
}

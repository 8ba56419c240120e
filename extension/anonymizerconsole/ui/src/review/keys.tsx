// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { texts } from "../i18n";
import { Dialog } from "../parts/dialog";

const stored = "console.keys";

/** Keys without a modifier can be switched off, for users whose speech input or tremor triggers them (WCAG 2.1.4). */
export const singleKeys = signal(localStorage.getItem(stored) !== "off");

function switchKeys(on: boolean) {
  singleKeys.value = on;
  localStorage.setItem(stored, on ? "on" : "off");
}

/** The name of a pressed key, such as "n", "Shift ArrowLeft", or "Ctrl z". */
function nameOf(event: KeyboardEvent): string {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const modifiers = [
    (event.ctrlKey || event.metaKey) && "Ctrl",
    event.altKey && "Alt",
    event.shiftKey && event.key.length > 1 && "Shift",
  ];
  return [...modifiers.filter(Boolean), key].join(" ");
}

// Whether the focused element uses the key itself: text is typed, or the element is pressed or moved.
function taken(event: KeyboardEvent): boolean {
  const element = event.target as HTMLElement;
  if (element.closest("dialog, textarea, select, input:not([type=checkbox], [type=radio])")) return true;
  if (event.key.startsWith("Arrow") && element.matches("input") && !event.altKey) return true;
  return event.key === " " && element.closest("button, a, summary, input") !== null;
}

/** Binds keys to actions while the component is mounted. */
export function useKeys(actions: Record<string, () => void>) {
  const latest = useRef(actions);
  latest.current = actions;
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (taken(event)) return;
      if (!singleKeys.value && event.key !== "?" && !(event.ctrlKey || event.metaKey || event.altKey)) return;
      const action = latest.current[nameOf(event)];
      if (!action) return;
      event.preventDefault();
      action();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

export function KeysDialog({ onClose }: { onClose: () => void }) {
  const t = texts.value.keys;
  return (
    <Dialog title={t.title} onClose={onClose}>
      <dl class="keys">
        {t.list.map(([key, what]) => (
          <div key={key}>
            <dt>
              {key.split(/\s+/).map((part) => (
                <kbd key={part}>{part}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <label class="check">
        <input
          type="checkbox"
          checked={singleKeys.value}
          onChange={(event) => switchKeys(event.currentTarget.checked)}
        />
        {t.enabled}
      </label>
    </Dialog>
  );
}

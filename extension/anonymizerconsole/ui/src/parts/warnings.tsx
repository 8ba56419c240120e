// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { texts } from "../i18n";
import { Icon } from "./icons";

const serious = new Set(["output_changed", "output_missing", "uncovered", "approval_void"]);

/** What is unusual about a video, and what it means for the reviewer. */
export function Warnings({ warnings }: { warnings: string[] }) {
  if (!warnings.length) return null;
  return (
    <ul class="warnings">
      {warnings.map((warning) => {
        const [title, text] = texts.value.warnings[warning] ?? [warning, ""];
        return (
          <li key={warning} class={serious.has(warning) ? "bad" : ""}>
            <Icon name="warning" />
            <span>
              <strong>{title}.</strong> {text}
            </span>
          </li>
        );
      })}
    </ul>
  );
}

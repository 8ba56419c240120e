// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import type { State } from "../api";
import { texts } from "../i18n";
import { Icon } from "./icons";

export function Badge({ state }: { state: State }) {
  return (
    <span class={`badge ${state}`}>
      <Icon name={state} />
      {texts.value.states[state] ?? state}
    </span>
  );
}

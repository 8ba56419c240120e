// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import type { FrameTrace, Span } from "../api";
import { number } from "../format";
import { texts } from "../i18n";

function milliseconds(microseconds: number): string {
  return `${number(microseconds / 1000, microseconds < 10_000 ? 2 : 1)} ms`;
}

/** The depth of each span below the root. */
function depths(spans: readonly Span[]): Map<string, number> {
  const result = new Map<string, number>();
  for (const { span, parent } of spans) result.set(span, parent === undefined ? 0 : (result.get(parent) ?? 0) + 1);
  return result;
}

function Attributes({ span }: { span: Span }) {
  const entries = Object.entries(span.attributes ?? {});
  if (!entries.length) return <>{texts.value.system.stageNames[span.name] ?? span.name}</>;
  return (
    <details>
      <summary>{texts.value.system.stageNames[span.name] ?? span.name}</summary>
      <dl>
        {entries.map(([key, value]) => (
          <div key={key}>
            <dt>{key}</dt>
            <dd>{String(value)}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}

/** Where the time of a frame was spent: one bar per span. */
export function Waterfall({ trace }: { trace: FrameTrace }) {
  const t = texts.value.system;
  const total = Math.max(1, ...trace.spans.map(({ start_us, duration_us }) => start_us + duration_us));
  const depth = depths(trace.spans);
  return (
    <table class="waterfall">
      <thead>
        <tr>
          <th scope="col">{t.step}</th>
          <th scope="col" class="wide" aria-hidden="true" />
          <th scope="col">{t.duration}</th>
        </tr>
      </thead>
      <tbody>
        {trace.spans.map((span) => (
          <tr key={span.span} class={span.failed ? "failed" : undefined}>
            <th scope="row" style={{ paddingLeft: `${(depth.get(span.span) ?? 0) * 14 + 8}px` }}>
              <Attributes span={span} />
            </th>
            <td aria-hidden="true" class="wide">
              <span
                class={`bar ${span.name}`}
                style={{
                  marginLeft: `${(span.start_us / total) * 100}%`,
                  width: `max(2px, ${(span.duration_us / total) * 100}%)`,
                }}
              />
            </td>
            <td class="figure">
              {milliseconds(span.duration_us)}
              {span.failed && ` (${t.failed})`}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

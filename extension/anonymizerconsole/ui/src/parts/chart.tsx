// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { language, texts } from "../i18n";

export interface Series {
  name: string;
  /** The name of a color in app.css. */
  color: string;
  values: readonly number[];
}

interface Props {
  title: string;
  unit: string;
  /** Seconds since 1970, ascending. */
  times: readonly number[];
  series: readonly Series[];
  /** Stack each series on top of the previous ones. */
  stacked?: boolean;
  /** Values are counts, without ticks between whole numbers. */
  counted?: boolean;
  format: (value: number) => string;
}

const height = 170; // pixels

function stack(series: readonly Series[]): number[][] {
  const sums: number[][] = [];
  for (const { values } of series) sums.push(values.map((value, i) => value + (sums.at(-1)?.[i] ?? 0)));
  return sums;
}

function options(element: HTMLElement, { series, stacked, counted, format }: Props): uPlot.Options {
  const style = getComputedStyle(element);
  const color = (name: string) => style.getPropertyValue(`--${name}`);
  const time = (interval: number) =>
    new Intl.DateTimeFormat(language.value, {
      hour: "2-digit",
      minute: "2-digit",
      ...(interval < 60 && { second: "2-digit" }),
    });
  const axis = {
    stroke: color("muted"),
    grid: { stroke: color("line"), width: 1 },
    ticks: { show: false },
    font: "12px system-ui, sans-serif",
  };
  return {
    width: element.clientWidth,
    height,
    legend: { show: false },
    cursor: { show: false },
    scales: { y: { range: (_, __, max) => [0, Math.max(1, max * 1.1)] } },
    axes: [
      {
        ...axis,
        values: (_, ticks, __, ___, interval) => ticks.map((tick) => time(interval).format(tick * 1000)),
        space: 90,
        size: 28,
      },
      { ...axis, values: (_, ticks) => ticks.map(format), size: 56, ...(counted && { incrs: [1, 2, 5, 10, 50, 100] }) },
    ],
    series: [
      {},
      ...series
        .map(({ color: name }) => ({
          stroke: color(name),
          width: 2,
          points: { show: false },
          fill: stacked ? color(name) : `${color(name)}22`,
        }))
        .toReversed(),
    ],
  };
}

/** A line chart over time. Its latest values are shown below it as text. */
export function Chart(props: Props) {
  const { title, unit, times, series, stacked, format } = props;
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(null);
  const data = [
    times,
    ...(stacked ? stack(series) : series.map(({ values }) => values)).toReversed(),
  ] as uPlot.AlignedData;
  const latestData = useRef(data);
  latestData.current = data;
  const names = series.map(({ name }) => name).join();
  useEffect(() => {
    const element = place.current!;
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(element, props), latestData.current, element);
    };
    draw();
    const observer = new ResizeObserver(() => plot.current!.setSize({ width: element.clientWidth, height }));
    observer.observe(element);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", draw);
    return () => {
      observer.disconnect();
      scheme.removeEventListener("change", draw);
      plot.current?.destroy();
    };
  }, [names, language.value]);
  useEffect(() => plot.current!.setData(data), [times]);
  const latest = series.map(({ name, values }) => `${name} ${format(values.at(-1) ?? 0)} ${unit}`).join(", ");
  return (
    <figure class="card chart">
      <figcaption>{title}</figcaption>
      <div ref={place} role="img" aria-label={texts.value.system.chart(title, latest)} />
      <ul class="legend">
        {series.length > 1 &&
          series.map(({ name, color, values }) => (
            <li key={name}>
              <span class="swatch" style={{ background: `var(--${color})` }} />
              {name} {format(values.at(-1) ?? 0)} {unit}
            </li>
          ))}
      </ul>
    </figure>
  );
}

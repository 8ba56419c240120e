// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { useEffect, useRef } from "preact/hooks";
import type { FrameRange, Moment, Timeline } from "../api";
import { number, timecode } from "../format";
import { texts } from "../i18n";
import { upperBound } from "./frames";

interface Props {
  timeline: Timeline;
  moments: readonly Moment[];
  current: Moment | undefined;
  watched: readonly FrameRange[];
  frame: number;
  /** The time of the frame, in seconds from the first. */
  time: number;
  onFrame: (frame: number) => void;
}

const marks = 14; // pixels for the moments, at the top
const watchedBar = 6; // pixels, at the bottom

function paint(canvas: HTMLCanvasElement, { timeline, moments, current, watched, frame }: Props) {
  const style = getComputedStyle(canvas);
  const color = (name: string) => style.getPropertyValue(`--${name}`);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(width * devicePixelRatio);
  canvas.height = Math.round(height * devicePixelRatio);
  const context = canvas.getContext("2d")!;
  context.scale(devicePixelRatio, devicePixelRatio);
  const x = (n: number) => (n / Math.max(1, timeline.frames)) * width;
  const floor = height - watchedBar - 3;
  const most = Math.max(1, ...timeline.people);

  timeline.first_frame.forEach((first, i) => {
    const end = timeline.first_frame[i + 1] ?? timeline.frames;
    const tall = (timeline.people[i]! / most) * (floor - marks - 4);
    context.fillStyle = color(timeline.whole[i] ? "timeline-whole" : "timeline-people");
    const top = timeline.whole[i] ? marks + 4 : floor - tall;
    context.fillRect(x(first), top, Math.max(1, x(end) - x(first) + 0.3), floor - top);
  });
  context.fillStyle = color("line");
  context.fillRect(0, height - watchedBar, width, watchedBar);
  context.fillStyle = color("watched");
  for (const [from, to] of watched)
    context.fillRect(x(from), height - watchedBar, Math.max(1, x(to) - x(from)), watchedBar);
  for (const moment of moments) {
    context.fillStyle = color(
      moment === current ? "accent" : moment.reason === "uncovered" ? "bad" : "timeline-moment",
    );
    if (moment === current) {
      context.globalAlpha = 0.2;
      context.fillRect(x(moment.first_frame), 0, Math.max(2, x(moment.last_frame + 1) - x(moment.first_frame)), floor);
      context.globalAlpha = 1;
    }
    context.beginPath();
    context.moveTo(x(moment.frame) - 5, 1);
    context.lineTo(x(moment.frame) + 5, 1);
    context.lineTo(x(moment.frame), marks - 3);
    context.fill();
  }
  context.fillStyle = color("text");
  context.fillRect(x(frame + 0.5) - 1, 0, 2, height);
}

/** A slider over the whole video: people over time, weak moments above, watched frames below. */
export function TimelineStrip(props: Props) {
  const { timeline, frame, time, onFrame } = props;
  const t = texts.value.review;
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const draw = () => canvas.current && paint(canvas.current, props);
    draw();
    const observer = new ResizeObserver(draw);
    observer.observe(canvas.current!);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", draw);
    return () => {
      observer.disconnect();
      scheme.removeEventListener("change", draw);
    };
  });
  const pick = (event: PointerEvent) => {
    const box = canvas.current!.getBoundingClientRect();
    onFrame(((event.clientX - box.left) / box.width) * timeline.frames);
  };
  const keys: Record<string, () => number> = {
    Home: () => 0,
    End: () => timeline.frames - 1,
    PageUp: () => frameAt(timeline, time - 10),
    PageDown: () => frameAt(timeline, time + 10),
  };
  return (
    <div
      class="timeline"
      role="slider"
      tabIndex={0}
      aria-label={t.timeline}
      aria-valuemin={0}
      aria-valuemax={timeline.frames - 1}
      aria-valuenow={frame}
      aria-valuetext={`${timecode(time)}, ${t.frameOf(number(frame), number(timeline.frames - 1))}`}
      title={t.timelineHelp}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        pick(event);
      }}
      onPointerMove={(event) => event.buttons & 1 && pick(event)}
      onKeyDown={(event) => {
        const to = keys[event.key];
        if (!to) return;
        event.preventDefault();
        onFrame(to());
      }}
    >
      <canvas ref={canvas} />
    </div>
  );
}

/** The first frame of the part of a timeline that contains a time in seconds. */
function frameAt(timeline: Timeline, time: number): number {
  return timeline.first_frame[Math.max(0, upperBound(timeline.time_s, time) - 1)] ?? 0;
}

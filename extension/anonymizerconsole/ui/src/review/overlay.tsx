// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { useEffect, useRef } from "preact/hooks";
import type { Box, Frame, Mask } from "../api";
import { texts } from "../i18n";
import { number } from "../format";

// Colors and dashes of the outlines by origin: the same as in the preview video, and distinguishable without colors.
export const styles: Record<string, { color: string; dash: number[] }> = {
  pose: { color: "#ffffff", dash: [] },
  face: { color: "#00e5ff", dash: [] },
  box: { color: "#ffa726", dash: [8, 4] },
  interpolated: { color: "#64a8ff", dash: [3, 3] },
  held: { color: "#ff6bf0", dash: [10, 3, 2, 3] },
  screen: { color: "#a0ff5a", dash: [6, 2] },
  frame: { color: "#ffffff", dash: [2, 4] },
  added: { color: "#b8f35a", dash: [] },
  removed: { color: "#ff6b5e", dash: [5, 5] },
};

function trace(context: CanvasRenderingContext2D, { outline: o, box }: Mask, scale: number) {
  context.beginPath();
  if (o.shape === "polygon" && o.points) {
    for (const [x, y] of o.points) context.lineTo(x * scale, y * scale);
    context.closePath();
    return;
  }
  const x = (o.x ?? (box[0] + box[2]) / 2) * scale;
  const y = (o.y ?? (box[1] + box[3]) / 2) * scale;
  const rx = (o.rx ?? (box[2] - box[0]) / 2) * scale;
  const ry = (o.ry ?? (box[3] - box[1]) / 2) * scale;
  if (o.shape === "ellipse") context.ellipse(x, y, rx, ry, o.angle ?? 0, 0, 2 * Math.PI);
  else context.rect(x - rx, y - ry, 2 * rx, 2 * ry);
}

// Every line is drawn on top of a dark line, so that it is visible on any picture.
function stroke(context: CanvasRenderingContext2D, color: string, dash: number[], width: number) {
  context.setLineDash([]);
  context.strokeStyle = "rgba(0, 0, 0, 0.75)";
  context.lineWidth = width + 2;
  context.stroke();
  context.setLineDash(dash.map((length) => (length * width) / 2));
  context.strokeStyle = color;
  context.lineWidth = width;
  context.stroke();
}

interface Area {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

// If labels would overlap, only the first is drawn; the text beside the picture lists them all.
function label(context: CanvasRenderingContext2D, text: string, x: number, y: number, size: number, taken: Area[]) {
  context.font = `600 ${size}px system-ui, sans-serif`;
  const width = context.measureText(text).width;
  const left = Math.max(0, Math.min(x - width / 2, context.canvas.width - width - 6));
  const bottom = Math.max(size + 4, y);
  const area = { left, top: bottom - size - 4, right: left + width + 6, bottom: bottom + 1 };
  if (
    taken.some(
      (other) =>
        area.left < other.right && other.left < area.right && area.top < other.bottom && other.top < area.bottom,
    )
  )
    return;
  taken.push(area);
  context.fillStyle = "rgba(0, 0, 0, 0.7)";
  context.fillRect(area.left, area.top, area.right - area.left, area.bottom - area.top);
  context.fillStyle = "#fff";
  context.fillText(text, left + 3, bottom - 3);
}

interface Props {
  frame: Frame | undefined;
  /** The box of the current moment. */
  box: Box | undefined;
  masks: boolean;
  /** The size of a frame in pixels. */
  width: number;
  height: number;
  /** The magnification of the picture. */
  magnified: number;
  /** Also fill the masks, since the picture may not include them yet. */
  filled?: boolean;
}

/** The outlines of a frame's masks, drawn over the picture. The text beside it says the same. */
export function Overlay({ frame, box, masks, width, height, magnified, filled = false }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const element = canvas.current!;
    const draw = () => {
      const density = devicePixelRatio * magnified;
      element.width = Math.round(element.clientWidth * density);
      element.height = Math.round(element.clientHeight * density);
      const context = element.getContext("2d")!;
      const scale = element.width / width;
      const line = 2 * devicePixelRatio;
      const taken: Area[] = [];
      const shown = masks ? (frame?.masks ?? []) : [];
      for (const mask of shown) drawOutline(context, mask, scale, line, filled && mask.origin !== "removed");
      // Many origins as words would cover the picture; colors and dashes also show them.
      const words = shown.length <= 3 || magnified > 1;
      for (const mask of shown) {
        drawLabel(context, filled ? `${mask.track ?? ""}` : nameOf(mask, words), mask, scale, line, taken);
      }
      if (box) drawBox(context, box, scale, line);
    };
    draw();
    const observer = new ResizeObserver(draw);
    observer.observe(element);
    return () => observer.disconnect();
  }, [frame, box, masks, width, height, magnified, filled, texts.value]);
  return <canvas ref={canvas} class="overlay" aria-hidden="true" />;
}

function drawOutline(context: CanvasRenderingContext2D, mask: Mask, scale: number, line: number, filled: boolean) {
  const style = styles[mask.origin] ?? styles.pose!;
  trace(context, mask, scale);
  if (filled) {
    context.fillStyle = "rgba(0, 0, 0, 0.45)";
    context.fill();
  }
  stroke(context, style.color, style.dash, line);
}

const nameOf = ({ origin, score }: Mask, words: boolean) =>
  `${words ? `${texts.value.origins[origin] ?? origin} ` : ""}${number(score, 2)}`;

function drawLabel(
  context: CanvasRenderingContext2D,
  text: string,
  mask: Mask,
  scale: number,
  line: number,
  taken: Area[],
) {
  if (!text || ["frame", "added", "removed"].includes(mask.origin)) return;
  const top = (mask.outline.y ?? mask.box[1]) - (mask.outline.ry ?? 0);
  label(
    context,
    text,
    (mask.outline.x ?? (mask.box[0] + mask.box[2]) / 2) * scale,
    top * scale - line,
    line * 5.5,
    taken,
  );
}

// Draws corners around the moment's box, at a distance so that they do not hide the head, and within the picture.
function drawBox(context: CanvasRenderingContext2D, [left, top, right, bottom]: Box, scale: number, line: number) {
  const margin = Math.max(right - left, bottom - top) * 0.35;
  const { width, height } = context.canvas;
  const inside = (place: number, size: number) => Math.max(line, Math.min(size - line, place * scale));
  const [x0, y0] = [inside(left - margin, width), inside(top - margin, height)];
  const [x1, y1] = [inside(right + margin, width), inside(bottom + margin, height)];
  const [w, h] = [(x1 - x0) / 4, (y1 - y0) / 4];
  context.beginPath();
  for (const [x, y, dx, dy] of [
    [x0, y0, w, h],
    [x1, y0, -w, h],
    [x0, y1, w, -h],
    [x1, y1, -w, -h],
  ] as const) {
    context.moveTo(x + dx, y);
    context.lineTo(x, y);
    context.lineTo(x, y + dy);
  }
  stroke(context, "#ffe14d", [], line * 1.25);
}

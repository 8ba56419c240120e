// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { useRef, useState } from "preact/hooks";
import type { Editor, Shown } from "./editor";
import { ellipseOf, type Ellipse } from "./operations";

interface Point {
  x: number;
  y: number;
}

/** The position of a handle, in half axes from the center; [0, 0] rotates. */
type Grip = readonly [sx: number, sy: number];
const grips: Grip[] = [-1, 0, 1].flatMap((x) => [-1, 0, 1].map((y) => [x, y] as const)).filter(([x, y]) => x || y);

const click = 4; // screen pixels that the pointer moves at most during a click

const turned = ({ x, y }: Point, angle: number): Point => ({
  x: x * Math.cos(angle) - y * Math.sin(angle),
  y: x * Math.sin(angle) + y * Math.cos(angle),
});

/** An ellipse after its grip is dragged to a point: the opposite side stays in place. */
export function resized(e: Ellipse, [sx, sy]: Grip, to: Point): Ellipse {
  const local = turned({ x: to.x - e.x, y: to.y - e.y }, -e.angle);
  const side = (s: number, half: number, at: number) =>
    (s ? [Math.max(1, (at * s + half) / 2), s] : [half, 0]) as [number, number];
  const [rx, ox] = side(sx, e.rx, local.x);
  const [ry, oy] = side(sy, e.ry, local.y);
  const shift = turned({ x: ox * (rx - e.rx), y: oy * (ry - e.ry) }, e.angle);
  return { ...e, x: e.x + shift.x, y: e.y + shift.y, rx, ry };
}

const between = (a: Point, b: Point): Ellipse => ({
  x: (a.x + b.x) / 2,
  y: (a.y + b.y) / 2,
  rx: Math.max(1, Math.abs(a.x - b.x) / 2),
  ry: Math.max(1, Math.abs(a.y - b.y) / 2),
  angle: 0,
});

interface Props {
  editor: Editor;
  masks: readonly Shown[];
  width: number;
  height: number;
  /** The magnification of the picture. */
  magnified: number;
}

/**
 * Handles the pointer over the picture: draws, selects, moves, resizes, and rotates masks. Fields allow the same with
 * the keyboard.
 */
export function EditLayer({ editor, masks, width, height, magnified }: Props) {
  const layer = useRef<SVGSVGElement>(null);
  const [drag, setDrag] = useState<{ from: Point; start: Ellipse | undefined; grip?: Grip; turn?: boolean }>();
  // Frame pixels per screen pixel.
  const size = layer.current ? width / (layer.current.clientWidth * magnified) : 1;
  const placing = editor.placing.value;
  const chosen = placing ? undefined : masks.find((mask) => editor.isSelected(mask));
  const at = (event: PointerEvent): Point => {
    const box = layer.current!.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) / box.width) * width,
      y: ((event.clientY - box.top) / box.height) * height,
    };
  };
  const begin = (event: PointerEvent, how: { start: Ellipse | undefined; grip?: Grip; turn?: boolean }) => {
    if (event.button !== 0) return;
    event.preventDefault();
    event.stopPropagation();
    layer.current!.setPointerCapture(event.pointerId);
    setDrag({ from: at(event), ...how });
  };
  const move = (event: PointerEvent) => {
    if (!drag) return;
    const [to, { from, start, grip, turn }] = [at(event), drag];
    if (Math.hypot(to.x - from.x, to.y - from.y) < click * size && !editor.draft.value) return;
    if (!start) {
      if (Math.hypot(to.x - from.x, to.y - from.y) >= click * size) editor.put(between(from, to));
    } else if (turn) editor.put({ ...start, angle: Math.atan2(to.y - start.y, to.x - start.x) + Math.PI / 2 });
    else if (grip) editor.put(resized(start, grip, to));
    else editor.put({ ...start, x: start.x + to.x - from.x, y: start.y + to.y - from.y });
  };
  const end = (event: PointerEvent) => {
    if (!drag) return;
    setDrag(undefined);
    if (!placing) {
      void editor.settle();
      return;
    }
    const [to, draft] = [at(event), editor.draft.value];
    // A click puts the new mask there without changing its size.
    if (Math.hypot(to.x - drag.from.x, to.y - drag.from.y) < click * size && draft) editor.put({ ...draft, ...to });
    void editor.add();
  };
  return (
    <svg
      ref={layer}
      class={placing ? "edit-layer placing" : "edit-layer"}
      viewBox={`0 0 ${width} ${height}`}
      preserveAspectRatio="none"
      aria-hidden="true"
      onPointerDown={(event) => {
        if (placing) begin(event, { start: undefined });
        else if (event.button === 0) void editor.select(undefined);
      }}
      onPointerMove={move}
      onPointerUp={end}
      onPointerCancel={() => setDrag(undefined)}
    >
      {!placing &&
        masks.map((mask, index) => {
          if (!mask.selection || mask === chosen) return null;
          return (
            <Shape
              key={index}
              of={ellipseOf(mask)}
              class="mask"
              onPointerDown={(event) => {
                event.stopPropagation();
                event.preventDefault();
                void editor.select(mask.selection);
              }}
            />
          );
        })}
      {chosen && (
        <Chosen
          of={ellipseOf(chosen)}
          size={size}
          begin={(event, how) => begin(event, { start: ellipseOf(chosen), ...how })}
        />
      )}
    </svg>
  );
}

function Shape({ of: e, ...rest }: { of: Ellipse; class: string; onPointerDown: (event: PointerEvent) => void }) {
  const angle = (e.angle * 180) / Math.PI;
  return <ellipse cx={e.x} cy={e.y} rx={e.rx} ry={e.ry} transform={`rotate(${angle} ${e.x} ${e.y})`} {...rest} />;
}

function Chosen({
  of: e,
  size,
  begin,
}: {
  of: Ellipse;
  size: number;
  begin: (event: PointerEvent, how: { grip?: Grip; turn?: boolean }) => void;
}) {
  const knob = e.ry + 24 * size;
  return (
    <>
      <Shape of={e} class="mask chosen" onPointerDown={(event) => begin(event, {})} />
      <g transform={`translate(${e.x} ${e.y}) rotate(${(e.angle * 180) / Math.PI})`}>
        <line class="stem" y1={-e.ry} y2={-knob} />
        <circle class="grip" cy={-knob} r={7 * size} onPointerDown={(event) => begin(event, { turn: true })} />
        {grips.map(([x, y]) => (
          <rect
            key={`${x} ${y}`}
            class="grip"
            x={x * e.rx - 5.5 * size}
            y={y * e.ry - 5.5 * size}
            width={11 * size}
            height={11 * size}
            onPointerDown={(event) => begin(event, { grip: [x, y] })}
          />
        ))}
      </g>
    </>
  );
}

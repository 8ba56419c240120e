// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { useSignal, useSignalEffect } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { api, type Box, type Frame } from "../api";
import { number, percent } from "../format";
import { texts } from "../i18n";
import type { FrameTable } from "./frames";
import { Overlay, styles } from "./overlay";
import { boxAt } from "./ranges";
import type { Session } from "./session";

/** The frame on the screen, as soon as the table has it. */
export function useFrame(session: Session, tableOf: () => FrameTable = () => session.table): Frame | undefined {
  const frame = useSignal<Frame | undefined>(undefined);
  useSignalEffect(() => {
    const wanted = session.player.frame.value;
    const table = tableOf();
    const loaded = table.loaded(wanted);
    if (loaded) frame.value = loaded;
    else {
      void table
        .load(wanted)
        .then((found) => {
          if (session.player.frame.value === wanted) frame.value = found;
        })
        .catch(() => undefined);
    }
  });
  return frame.value;
}

/** The scale of the picture, and its shift as a fraction of its own size, that center a box. */
export function magnification(box: Box, width: number, height: number) {
  const size = Math.max((box[2] - box[0]) / width, (box[3] - box[1]) / height, 0.01);
  const scale = Math.max(1.5, Math.min(6, 0.3 / size));
  const shift = (from: number, to: number, length: number) =>
    Math.min(0, Math.max(1 - scale, 0.5 - ((from + to) / 2 / length) * scale));
  return { scale, x: shift(box[0], box[2], width), y: shift(box[1], box[3], height) };
}

interface Props {
  session: Session;
  frame: Frame | undefined;
  masks: boolean;
  zoom: boolean;
  /** The layer over the picture that corrects masks, given the magnification of the picture. */
  layer?: (magnified: number) => ComponentChildren;
}

/** Explains why the picture is not a playing video. */
function Caption({ session }: { session: Session }) {
  const t = texts.value.review;
  const { playback } = session.details.value;
  const { still, playable } = session.player;
  switch (playback.state) {
    case "needed":
    case "preparing":
      return <p class="caption">{t.preparing(percent(playback.progress ?? 0))}</p>;
    case "unavailable":
      return (
        <p class="caption" title={playback.message}>
          {t.stills}
        </p>
      );
    default:
      if (!playable.value) return <p class="caption">{t.cannotPlay}</p>;
      return still.value ? <p class="caption">{t.still}</p> : null;
  }
}

export function Stage({ session, frame, masks, zoom, layer }: Props) {
  const t = texts.value.review;
  const video = useRef<HTMLVideoElement>(null);
  const { player, details } = session;
  const { playback, width = 16, height = 9 } = details.value;
  const plays = playback.state === "direct" || playback.state === "ready";
  useEffect(() => {
    player.attach(plays ? video.current! : undefined);
    void player.goTo(player.frame.value);
  }, [plays]);
  const moment = session.moment.value;
  const box = moment && frame && boxAt(moment, frame.frame);
  const target = box ?? frame?.masks[0]?.box ?? moment?.box;
  const { scale, x, y } = zoom && target ? magnification(target, width, height) : { scale: 1, x: 0, y: 0 };
  return (
    <div class="stage">
      <div
        class="picture"
        style={{
          aspectRatio: `${width} / ${height}`,
          "--ratio": String(width / height),
          "--most": `${width * 2}px`,
        }}
      >
        <div class="layers" style={{ transform: `translate(${x * 100}%, ${y * 100}%) scale(${scale})` }}>
          {plays && (
            <video
              ref={video}
              src={api(`${session.path}/media`)}
              muted
              playsInline
              preload="auto"
              aria-label={t.player}
              tabIndex={-1}
              onClick={() => player.toggle()}
            />
          )}
          {player.still.value && <img class="still" src={player.still.value} alt={t.player} />}
          <Overlay
            frame={frame}
            box={box}
            masks={masks}
            width={width}
            height={height}
            magnified={scale}
            filled={layer !== undefined}
          />
          {layer?.(scale)}
        </div>
      </div>
      <Caption session={session} />
    </div>
  );
}

/** The meaning of the frame's outlines in words. */
export function FrameFacts({ frame }: { frame: Frame | undefined }) {
  const t = texts.value;
  if (!frame) return <p class="facts muted">{t.loading}</p>;
  return (
    <div class="facts">
      <h2 class="hidden">{t.review.masksHere}</h2>
      <span>{t.review.people(frame.people)}</span>
      {!frame.masks.length && <span>{t.review.noMasks}</span>}
      <ul>
        {frame.masks.map((mask, index) => {
          const style = styles[mask.origin] ?? styles.pose!;
          return (
            <li key={index}>
              <svg class="sample" viewBox="0 0 24 8" aria-hidden="true">
                <line class="under" x1="0" y1="4" x2="24" y2="4" />
                <line x1="0" y1="4" x2="24" y2="4" stroke={style.color} stroke-dasharray={style.dash.join(" ")} />
              </svg>
              {t.review.maskLine(t.origins[mask.origin] ?? mask.origin, number(mask.score, 2))}
            </li>
          );
        })}
      </ul>
      {frame.judged === false && <span class="muted">{t.review.notJudged}</span>}
      {frame.error && <span class="error">{frame.error}</span>}
    </div>
  );
}

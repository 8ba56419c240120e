// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { useState } from "preact/hooks";
import { number, timecode } from "../format";
import { texts } from "../i18n";
import { Icon, type IconName } from "../parts/icons";
import type { Session } from "./session";

export const rates = [0.25, 0.5, 1, 2, 4];

export function changeRate(session: Session, by: 1 | -1) {
  const next = rates[rates.indexOf(session.player.rate.value) + by];
  if (next) session.player.setRate(next);
}

interface Props {
  session: Session;
  /** The time of the frame on the screen, in seconds from the first. */
  time: number;
  masks: boolean;
  zoom?: boolean;
  toggleMasks: () => void;
  toggleZoom?: () => void;
  showKeys: () => void;
}

function Step({
  session,
  frames,
  icon,
  text,
  hint,
}: {
  session: Session;
  frames: number;
  icon: IconName;
  text: string;
  hint: string;
}) {
  return (
    <button type="button" aria-label={text} title={`${text} (${hint})`} onClick={() => session.player.step(frames)}>
      <Icon name={icon} />
    </button>
  );
}

/** The position within the moment: a slider whose range is the moment, however short. */
function MomentSlider({ session }: { session: Session }) {
  const moment = session.moment.value;
  const frame = session.player.frame.value;
  if (!moment || moment.last_frame === moment.first_frame) return null;
  const { first_frame: first, last_frame: last } = moment;
  return (
    <label class="in-moment">
      <span>{texts.value.review.inMoment}</span>
      <input
        type="range"
        min={first}
        max={last}
        value={Math.max(first, Math.min(last, frame))}
        onInput={(event) => void session.player.goTo(event.currentTarget.valueAsNumber)}
      />
    </label>
  );
}

/** The number of the frame, to read and to enter. While the user types, the text stays, whatever the screen shows. */
function FrameField({ session, time }: { session: Session; time: number }) {
  const t = texts.value.review;
  const { player, table } = session;
  const [typed, setTyped] = useState<string>();
  const go = (value: string) => {
    setTyped(undefined);
    void player.goTo(Number(value));
  };
  return (
    <label class="frame-number">
      <span class="time">{timecode(time)}</span>
      <span>{t.frame}</span>
      <input
        type="number"
        min={0}
        max={table.total - 1}
        value={typed ?? player.frame.value}
        onInput={(event) => setTyped(event.currentTarget.value)}
        onChange={(event) => go(event.currentTarget.value)}
        onBlur={() => setTyped(undefined)}
      />
      <span class="muted">/ {number(table.total - 1)}</span>
    </label>
  );
}

/** Buttons for everything that the keys do. */
export function Transport({ session, time, masks, zoom = false, toggleMasks, toggleZoom, showKeys }: Props) {
  const t = texts.value.review;
  const { player } = session;
  const playing = player.playing.value;
  return (
    <>
      <MomentSlider session={session} />
      <div class="transport">
        <div class="group">
          <Step session={session} frames={-10} icon="backTen" text={t.previousTen} hint="Shift ←" />
          <Step session={session} frames={-1} icon="back" text={t.previous} hint="←" />
          <button
            type="button"
            class="primary play"
            aria-label={playing ? t.pause : t.play}
            disabled={!player.playable.value}
            title={`${playing ? t.pause : t.play} (Space)`}
            onClick={() => player.toggle()}
          >
            <Icon name={playing ? "pause" : "play"} />
          </button>
          <Step session={session} frames={1} icon="on" text={t.next} hint="→" />
          <Step session={session} frames={10} icon="onTen" text={t.nextTen} hint="Shift →" />
        </div>
        <FrameField session={session} time={time} />
        <div class="group">
          <label>
            <span class="hidden">{t.speed}</span>
            <select
              value={String(player.rate.value)}
              title={`${t.speed} (+ −)`}
              onChange={(event) => player.setRate(Number(event.currentTarget.value))}
            >
              {rates.map((rate) => (
                <option key={rate} value={String(rate)}>
                  {number(rate, 2)}×
                </option>
              ))}
            </select>
          </label>
          <Toggle
            icon="loop"
            text={t.loop}
            hint="L"
            on={player.loop.value !== undefined}
            disabled={!session.moment.value}
            toggle={() => session.toggleLoop()}
          />
          <Toggle icon="masks" text={t.masks} hint="M" on={masks} toggle={toggleMasks} />
          {toggleZoom && <Toggle icon="zoom" text={t.zoom} hint="Z" on={zoom} toggle={toggleZoom} />}
          <button type="button" aria-label={t.keys} title={`${t.keys} (?)`} onClick={showKeys}>
            <Icon name="keys" />
          </button>
        </div>
      </div>
    </>
  );
}

function Toggle({
  icon,
  text,
  hint,
  on,
  toggle,
  disabled = false,
}: {
  icon: IconName;
  text: string;
  hint: string;
  on: boolean;
  toggle: () => void;
  disabled?: boolean;
}) {
  return (
    <button
      type="button"
      aria-pressed={on}
      aria-label={text}
      title={`${text} (${hint})`}
      disabled={disabled}
      onClick={toggle}
    >
      <Icon name={icon} />
    </button>
  );
}

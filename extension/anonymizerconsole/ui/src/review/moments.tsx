// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { useEffect, useRef } from "preact/hooks";
import { number, timecode } from "../format";
import { texts } from "../i18n";
import { Icon } from "../parts/icons";
import type { Session } from "./session";

function SecondLookLine({ session }: { session: Session }) {
  const t = texts.value.review.secondLook;
  const { state, frames, found } = session.moments.value.second_look;
  return <p class="hint">{state === "done" ? t.done(frames ?? 0, found ?? 0) : t[state]}</p>;
}

/** The weak moments, in the order in which to look at them. */
export function MomentList({ session }: { session: Session }) {
  const t = texts.value.review;
  const list = useRef<HTMLOListElement>(null);
  const { moments } = session.moments.value;
  const current = session.moment.value;
  const seen = new Set(session.watched.state.value.moments);
  const index = moments.findIndex(({ id }) => id === current?.id);
  useEffect(() => {
    const [box, item] = [list.current, list.current?.querySelector<HTMLElement>("[aria-current]")];
    if (!box || !item) return;
    if (item.offsetTop < box.scrollTop) box.scrollTop = item.offsetTop;
    const below = item.offsetTop + item.offsetHeight - box.clientHeight;
    if (below > box.scrollTop) box.scrollTop = below;
  }, [index]);
  return (
    <section class="card moments" aria-labelledby="moments-title">
      <div class="moments-head">
        <h2 id="moments-title">{t.moments}</h2>
        {moments.length > 0 && (
          <div class="pager">
            <button
              type="button"
              aria-label={t.previousMoment}
              title={`${t.previousMoment} (P)`}
              disabled={index <= 0}
              onClick={() => session.move(-1)}
            >
              <Icon name="back" />
            </button>
            <span>{index < 0 ? moments.length : `${index + 1} / ${moments.length}`}</span>
            <button
              type="button"
              aria-label={t.nextMoment}
              title={`${t.nextMoment} (N)`}
              disabled={index === moments.length - 1}
              onClick={() => session.move(1)}
            >
              <Icon name="on" />
            </button>
          </div>
        )}
      </div>
      {!moments.length && <p>{t.noMoments}</p>}
      <ol ref={list}>
        {moments.map((moment) => {
          const [name, help] = describe(moment.reason);
          return (
            <li key={moment.id}>
              <button
                type="button"
                aria-current={moment === current ? "true" : undefined}
                class={moment.reason === "uncovered" ? "moment bad" : "moment"}
                onClick={() => void session.show(moment)}
              >
                <span class="time">{timecode(moment.time_s, 1)}</span>
                <span class="reason">
                  {name}
                  {moment.score !== undefined && ["low_score", "uncovered"].includes(moment.reason) && (
                    <span class="muted"> {number(moment.score, 2)}</span>
                  )}
                </span>
                <span class={seen.has(moment.id) ? "seen" : "seen not"}>
                  {seen.has(moment.id) ? (
                    <>
                      <Icon name="approved" />
                      <span class="hidden">{t.seen}</span>
                    </>
                  ) : (
                    <span class="hidden">{t.notSeen}</span>
                  )}
                </span>
              </button>
              {moment.id === current?.id && <p class="help">{help}</p>}
            </li>
          );
        })}
      </ol>
      <SecondLookLine session={session} />
    </section>
  );
}

function describe(reason: string): [string, string] {
  return texts.value.reasons[reason] ?? [reason, ""];
}

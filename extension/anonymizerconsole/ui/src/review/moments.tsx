// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { useEffect, useRef } from "preact/hooks";
import type { Moment } from "../api";
import { number, timecode } from "../format";
import { texts } from "../i18n";
import { Icon } from "../parts/icons";
import type { Session } from "./session";

function SecondLookLine({ session }: { session: Session }) {
  const t = texts.value.review.secondLook;
  const { state, frames, found } = session.moments.value.second_look;
  return <p class="hint">{state === "done" ? t.done(frames ?? 0, found ?? 0) : t[state]}</p>;
}

function Item({ session, moment }: { session: Session; moment: Moment }) {
  const t = texts.value.review;
  const [name, help] = describe(moment.reason);
  const current = moment.id === session.moment.value?.id;
  const seen = session.watched.state.value.moments.includes(moment.id);
  const [sightings, score] = [moment.sightings?.length ?? 1, moment.score];
  return (
    <li>
      <button
        type="button"
        aria-current={current ? "true" : undefined}
        class={moment.reason === "uncovered" ? "moment bad" : "moment"}
        onClick={() => void session.show(moment)}
      >
        <span class="time">{timecode(moment.time_s, 1)}</span>
        <span class="reason">
          {name}
          {score !== undefined && ["low_score", "uncovered"].includes(moment.reason) && (
            <span class="muted"> {number(score, 2)}</span>
          )}
          {moment.duration_s >= 0.1 && <span class="muted length"> · {t.seconds(number(moment.duration_s, 1))}</span>}
        </span>
        <span class={seen ? "seen" : "seen not"}>
          {seen && <Icon name="approved" />}
          <span class="hidden">{seen ? t.seen : t.notSeen}</span>
        </span>
      </button>
      {current && (
        <p class="help">
          {help} {sightings > 1 && t.joined(sightings)}
        </p>
      )}
    </li>
  );
}

/** The weak moments, in review order; those that matter less are folded. */
export function MomentList({ session }: { session: Session }) {
  const t = texts.value.review;
  const list = useRef<HTMLDivElement>(null);
  const [first, rest] = [session.kept(false), session.kept(true)];
  const { listed } = session;
  const index = listed.findIndex(({ id }) => id === session.moment.value?.id);
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
        {listed.length > 0 && (
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
            <span>{index < 0 ? listed.length : `${index + 1} / ${listed.length}`}</span>
            <button
              type="button"
              aria-label={t.nextMoment}
              title={`${t.nextMoment} (N)`}
              disabled={index === listed.length - 1}
              onClick={() => session.move(1)}
            >
              <Icon name="on" />
            </button>
          </div>
        )}
      </div>
      {!first.length && <p>{t.noMoments}</p>}
      <div class="list" ref={list}>
        <ol>
          {first.map((moment) => (
            <Item key={moment.id} session={session} moment={moment} />
          ))}
        </ol>
        {rest.length > 0 && (
          <details
            open={session.unfolded.value}
            onToggle={(event) => {
              session.unfolded.value = event.currentTarget.open;
            }}
          >
            <summary>{t.alsoWeak(rest.length)}</summary>
            <p class="help">{t.alsoWeakHelp}</p>
            <ol>
              {rest.map((moment) => (
                <Item key={moment.id} session={session} moment={moment} />
              ))}
            </ol>
          </details>
        )}
      </div>
      <SecondLookLine session={session} />
    </section>
  );
}

function describe(reason: string): [string, string] {
  return texts.value.reasons[reason] ?? [reason, ""];
}

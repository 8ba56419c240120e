// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { useSignalEffect } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { get, type Edits, type FrameRange, type Video } from "../api";
import { number, timecode } from "../format";
import { texts } from "../i18n";
import { differences } from "../review/differences";
import { KeysDialog, useKeys } from "../review/keys";
import { rangeOf } from "../review/operations";
import { add } from "../review/ranges";
import { Session } from "../review/session";
import { Stage, useFrame } from "../review/stage";
import { changeRate, Transport } from "../review/transport";
import { href } from "../route";
import { explain, put, videos } from "../store";

interface Pair {
  before: Session;
  after: Session;
  spans: FrameRange[];
}

async function openPair(id: string, revision: string): Promise<Pair> {
  const video = videos.value.get(id) ?? (await get<Video>(`videos/${id}`));
  put(video);
  const all = video.revisions ?? [];
  const index = Math.max(
    1,
    all.findIndex((one) => one.id === revision),
  );
  const [before, after, edits] = await Promise.all([
    Session.open(id, all[index - 1]!.id),
    Session.open(id, all[index]!.id),
    get<Edits>(`videos/${id}/edits`),
  ]);
  const touched = edits.operations
    .map((o) => rangeOf(o.of === undefined ? o : edits.operations[o.of - 1]!, edits.frames))
    .reduce<FrameRange[]>(add, []);
  return { before, after, spans: await differences(before.table, after.table, touched) };
}

/** Synchronizes two videos: the first follows the second. */
function useTogether({ before, after }: Pair) {
  useSignalEffect(() => {
    const [frame, playing] = [after.player.frame.value, after.player.playing.value];
    if (playing !== before.player.playing.peek()) before.player.toggle();
    if (!playing) void before.player.goTo(frame);
  });
  useSignalEffect(() => before.player.setRate(after.player.rate.value));
}

function Room({ pair }: { pair: Pair }) {
  const t = texts.value.compare;
  const { before, after, spans } = pair;
  const [span, setSpan] = useState(0);
  const [masks, setMasks] = useState(false);
  const [keys, setKeys] = useState(false);
  const frames = [useFrame(before), useFrame(after)];
  useTogether(pair);
  const { player } = after;
  const go = (index: number) => {
    const to = spans[Math.max(0, Math.min(spans.length - 1, index))];
    if (!to) return;
    setSpan(spans.indexOf(to));
    for (const { player } of [before, after]) player.loop.value = [to[0], to[1] - 1];
    void player.goTo(to[0]);
  };
  useEffect(() => go(0), []);
  useKeys({
    " ": () => player.toggle(),
    ArrowLeft: () => player.step(-1),
    ArrowRight: () => player.step(1),
    "Shift ArrowLeft": () => player.step(-10),
    "Shift ArrowRight": () => player.step(10),
    n: () => go(span + 1),
    p: () => go(span - 1),
    m: () => setMasks(!masks),
    "+": () => changeRate(after, 1),
    "-": () => changeRate(after, -1),
    "?": () => setKeys(true),
  });
  return (
    <>
      <div class="compare">
        {[before, after].map((session, index) => (
          <figure key={session.path}>
            <figcaption>{(index ? t.after : t.before)(session.details.value.id)}</figcaption>
            <Stage session={session} frame={frames[index]} masks={masks} zoom={false} />
          </figure>
        ))}
      </div>
      <Transport
        session={after}
        time={frames[1]?.time_s ?? 0}
        masks={masks}
        toggleMasks={() => setMasks(!masks)}
        showKeys={() => setKeys(true)}
      />
      <section class="card spans" aria-labelledby="spans-title">
        <h2 id="spans-title">{t.spans}</h2>
        {!spans.length && <p>{t.none}</p>}
        <ol>
          {spans.map(([from, to], index) => (
            <li key={from}>
              <button type="button" aria-current={index === span ? "true" : undefined} onClick={() => go(index)}>
                {timecode(after.table.loaded(from)?.time_s ?? 0, 1)} ·{" "}
                {texts.value.edit.frames(number(from), number(to - 1))}
              </button>
            </li>
          ))}
        </ol>
      </section>
      {keys && <KeysDialog onClose={() => setKeys(false)} />}
    </>
  );
}

/** What a revision changed, side by side with the previous one. */
export function Compare({ video: id, revision }: { video: string; revision: string }) {
  const t = texts.value.compare;
  const [pair, setPair] = useState<Pair>();
  const [problem, setProblem] = useState<string>();
  useEffect(() => {
    let opened: Pair | undefined;
    let gone = false;
    const close = () => [opened?.before, opened?.after].forEach((session) => session?.close());
    openPair(id, revision)
      .then((found) => {
        opened = found;
        if (gone) close();
        else setPair(found);
      })
      .catch((error: unknown) => setProblem(explain(error)));
    return () => {
      gone = true;
      close();
    };
  }, []);
  return (
    <>
      <p class="crumb">
        <a href={href(["videos", id, revision])}>← {t.review(revision)}</a>
      </p>
      <div class="title">
        <h1 tabIndex={-1} class="name">
          {t.title}: {videos.value.get(id)?.name}
        </h1>
      </div>
      <p class="hint">{t.lead}</p>
      {problem !== undefined && (
        <p class="card error" role="alert">
          {problem}
        </p>
      )}
      {!pair && problem === undefined && <p>{t.finding}</p>}
      {pair && <Room pair={pair} />}
    </>
  );
}

// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { useSignalEffect } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { api, type Video } from "../api";
import { texts } from "../i18n";
import { Badge } from "../parts/badge";
import { Warnings } from "../parts/warnings";
import { DecisionCard, type Question } from "../review/decision";
import { KeysDialog, useKeys } from "../review/keys";
import { MomentList } from "../review/moments";
import { Session } from "../review/session";
import { FrameFacts, Stage, useFrame } from "../review/stage";
import { TimelineStrip } from "../review/timeline";
import { changeRate, Transport } from "../review/transport";
import { href, remember, route } from "../route";
import { explain, may, videos } from "../store";

/** Opens the review that the address names, where the address says it was. */
function useSession(video: string, revision: string): { session?: Session; problem?: string } {
  const [state, setState] = useState<{ session?: Session; problem?: string }>({});
  useEffect(() => {
    let session: Session | undefined;
    let gone = false;
    const { query } = route.value;
    Session.open(video, revision)
      .then((opened) => {
        if (gone) return;
        session = opened;
        const moment = opened.moments.value.moments.find(({ id }) => id === query.get("moment"));
        opened.select(moment);
        opened.player.frame.value = Number(query.get("frame") ?? moment?.frame ?? 0);
        setState({ session: opened });
      })
      .catch((error: unknown) => setState({ problem: explain(error) }));
    return () => {
      gone = true;
      session?.close();
    };
  }, []);
  return state;
}

/** Keeps the frame and the moment in the address, so that a reload goes on where one was. */
function useRememberedPlace(session: Session) {
  useSignalEffect(() => {
    const [frame, moment, playing] = [session.player.frame.value, session.moment.value, session.player.playing.value];
    if (playing) return undefined;
    const timer = setTimeout(() => remember({ ...(moment && { moment: moment.id }), frame: String(frame) }), 200);
    return () => clearTimeout(timer);
  });
}

function Room({ video, session }: { video: Video; session: Session }) {
  const [masks, setMasks] = useState(true);
  const [zoom, setZoom] = useState(false);
  const [keys, setKeys] = useState(false);
  const [question, ask] = useState<Question>();
  const frame = useFrame(session);
  useRememberedPlace(session);
  const { player } = session;
  const open = may("approve") && video.state !== "approved" && video.state !== "rejected";
  const looking = ["waiting", "running"].includes(session.moments.value.second_look.state);
  const toggleMasks = () => setMasks(!masks);
  const toggleZoom = () => setZoom(!zoom);
  useKeys({
    " ": () => player.toggle(),
    ArrowLeft: () => player.step(-1),
    ArrowRight: () => player.step(1),
    "Shift ArrowLeft": () => player.step(-10),
    "Shift ArrowRight": () => player.step(10),
    n: () => session.move(1),
    p: () => session.move(-1),
    l: () => session.toggleLoop(),
    m: toggleMasks,
    z: toggleZoom,
    "+": () => changeRate(session, 1),
    "-": () => changeRate(session, -1),
    y: () => open && !looking && ask("approved"),
    x: () => open && ask("rejected"),
    "?": () => setKeys(true),
  });
  const time = frame?.time_s ?? 0;
  return (
    <div class="room">
      <section class="watch" aria-label={texts.value.review.player}>
        <Stage session={session} frame={frame} masks={masks} zoom={zoom} />
        <TimelineStrip
          timeline={session.table.timeline}
          moments={session.listed}
          current={session.moment.value}
          watched={session.watched.state.value.ranges}
          frame={player.frame.value}
          time={time}
          onFrame={(to) => void player.goTo(Math.floor(to))}
        />
        <Transport
          session={session}
          time={time}
          masks={masks}
          zoom={zoom}
          toggleMasks={toggleMasks}
          toggleZoom={toggleZoom}
          showKeys={() => setKeys(true)}
        />
        <FrameFacts frame={frame} />
        <p class="hint">{texts.value.review.hint}</p>
      </section>
      <div class="aside">
        <MomentList session={session} />
        <DecisionCard video={video} session={session} question={question} ask={ask} />
      </div>
      {keys && <KeysDialog onClose={() => setKeys(false)} />}
    </div>
  );
}

/** Without a report nothing is known of the frames: there is the video alone. */
function PlainRoom({ video, session }: { video: Video; session: Session }) {
  const [question, ask] = useState<Question>();
  return (
    <div class="room">
      <section class="watch" aria-label={texts.value.review.player}>
        <video
          class="plain"
          src={api(`${session.path}/media`)}
          controls
          muted
          playsInline
          aria-label={texts.value.review.player}
        />
      </section>
      <div class="aside">
        <DecisionCard video={video} session={session} question={question} ask={ask} />
      </div>
    </div>
  );
}

export function Review({ video: id, revision }: { video: string; revision: string | undefined }) {
  const t = texts.value.review;
  const video = videos.value.get(id);
  const { session, problem } = useSession(id, revision ?? "r1");
  return (
    <>
      <p class="crumb">
        <a href={href(["videos"])}>← {t.crumb}</a>
      </p>
      <div class="title">
        <h1 tabIndex={-1} class="name">
          {video?.name ?? t.player}
        </h1>
        {video && <Badge state={video.state} />}
      </div>
      {problem !== undefined && (
        <p class="card error" role="alert">
          {problem}
        </p>
      )}
      {!session && problem === undefined && <p>{texts.value.loading}</p>}
      {session && <Warnings warnings={video?.warnings ?? session.details.value.warnings} />}
      {session &&
        video &&
        (session.table.total ? (
          <Room video={video} session={session} />
        ) : (
          <PlainRoom video={video} session={session} />
        ))}
    </>
  );
}

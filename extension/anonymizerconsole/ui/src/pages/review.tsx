// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { useSignalEffect } from "@preact/signals";
import { useEffect, useMemo, useState } from "preact/hooks";
import { api, type Frame, type Video } from "../api";
import { texts } from "../i18n";
import { Badge } from "../parts/badge";
import { Warnings } from "../parts/warnings";
import { DecisionCard, type Question } from "../review/decision";
import { EditLayer } from "../review/editlayer";
import { Editor } from "../review/editor";
import { KeysDialog, useKeys } from "../review/keys";
import { MomentList } from "../review/moments";
import { Session } from "../review/session";
import { FrameFacts, Stage, useFrame } from "../review/stage";
import { TimelineStrip } from "../review/timeline";
import { actionsOf, EditCard, proposed, ToolStrip } from "../review/tools";
import { boxAt } from "../review/ranges";
import { changeRate, Transport } from "../review/transport";
import { href, remember, route } from "../route";
import { explain, may, videos } from "../store";

/** Opens the review in the address, at the place that the address remembers. */
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

/** Keeps the frame and the moment in the address, so that a reload returns to the same place. */
function useRememberedPlace(session: Session) {
  useSignalEffect(() => {
    const [frame, moment, playing] = [session.player.frame.value, session.moment.value, session.player.playing.value];
    if (playing) return undefined;
    const timer = setTimeout(() => remember({ ...(moment && { moment: moment.id }), frame: String(frame) }), 200);
    return () => clearTimeout(timer);
  });
}

/** The editor of a review, which exists as long as the review is open. */
function useEditor(session: Session): Editor {
  const editor = useMemo(() => new Editor(session), []);
  useEffect(() => {
    if (may("edit")) void editor.begin();
    return () => editor.close();
  }, []);
  return editor;
}

/** The masks in the frame on the screen as they would be rendered, and the masks that were removed. */
function useEdited(session: Session, editor: Editor, report: Frame | undefined) {
  const open = editor.open.value && editor.edits.value !== undefined;
  const frame = useFrame(session, () => (editor.open.value ? editor.table.value : session.table));
  if (!open || !frame) return { masks: [], frame: report };
  const masks = editor.masksOf(frame);
  const tracks = new Set(masks.map(({ track }) => track));
  const removed = (report?.masks ?? [])
    .filter(({ track }) => track && !tracks.has(track))
    .map((mask) => ({ ...mask, origin: "removed" }));
  return { masks, frame: { ...frame, masks: [...masks, ...removed] } };
}

function Room({ video, session }: { video: Video; session: Session }) {
  const [masks, setMasks] = useState(true);
  const [zoom, setZoom] = useState(false);
  const [keys, setKeys] = useState(false);
  const [question, ask] = useState<Question>();
  const report = useFrame(session);
  const editor = useEditor(session);
  const { masks: editable, frame } = useEdited(session, editor, report);
  useRememberedPlace(session);
  const { player } = session;
  const { width = 16, height = 9, id } = session.details.value;
  const editing = editor.open.value;
  const newest = (video.revisions?.at(-1)?.id ?? id) === id;
  const pending = editor.edits.value?.pending || editor.queue.value.length > 0;
  const open = may("approve") && newest && !pending && video.state !== "approved" && video.state !== "rejected";
  const looking = ["waiting", "running"].includes(session.moments.value.second_look.state);
  const toggleMasks = () => setMasks(!masks);
  const toggleZoom = () => setZoom(!zoom);
  const toggleEdit = () => void editor.toggle();
  const mayEdit = may("edit") && (newest || editing);
  const moment = session.moment.value;
  const place = () => proposed(moment && boxAt(moment, player.frame.value), width, height);
  const tools = actionsOf({ editor, masks: editable }, place);
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
    ...(mayEdit && { e: toggleEdit, a: () => void editor.toggle(true).then(tools.a) }),
    ...(editing && tools),
    // Outside input fields, Enter adds the new mask where it is.
    ...(editing && editor.placing.value && { Enter: () => void editor.add() }),
  });
  const time = frame?.time_s ?? 0;
  return (
    <div class="room">
      <section class="watch" aria-label={texts.value.review.player}>
        <Stage
          session={session}
          frame={frame}
          masks={masks || editing}
          zoom={zoom}
          {...(editing &&
            editor.edits.value && {
              layer: (magnified: number) => (
                <EditLayer editor={editor} masks={editable} width={width} height={height} magnified={magnified} />
              ),
            })}
        />
        {mayEdit && (
          <div class="edit-strip">
            <button
              type="button"
              class="primary-soft"
              aria-pressed={editing}
              title={`${texts.value.edit.open} (E)`}
              onClick={toggleEdit}
            >
              {texts.value.edit.open} <kbd aria-hidden="true">E</kbd>
            </button>
            {editing && editor.edits.value && <ToolStrip editor={editor} masks={editable} actions={tools} />}
          </div>
        )}
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
        {editing && <EditCard editor={editor} masks={editable} video={video} goTo={(to) => void player.goTo(to)} />}
        <MomentList session={session} />
        <DecisionCard video={video} session={session} question={question} ask={ask} pending={pending} />
      </div>
      {keys && <KeysDialog onClose={() => setKeys(false)} />}
    </div>
  );
}

/** Without a report, nothing is known about the frames: this shows only the video. */
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

/** Links to the other revisions, and to what the latest of two changed. */
function Revisions({ video, current }: { video: Video; current: string }) {
  const all = video.revisions ?? [];
  if (all.length < 2) return null;
  const index = all.findIndex(({ id }) => id === current);
  return (
    <nav class="revisions" aria-label={texts.value.review.revisions}>
      {all.map(({ id }) => (
        <a key={id} href={href(["videos", video.id, id])} aria-current={id === current ? "page" : undefined}>
          {id}
          {id === all.at(-1)!.id && ` (${texts.value.review.newest})`}
        </a>
      ))}
      {index > 0 && <a href={href(["videos", video.id, current, "compare"])}>{texts.value.edit.compare}</a>}
    </nav>
  );
}

export function Review({ video: id, revision }: { video: string; revision: string | undefined }) {
  const t = texts.value.review;
  const video = videos.value.get(id);
  const { session, problem } = useSession(id, revision ?? video?.revisions?.at(-1)?.id ?? "r1");
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
        {video && session && <Revisions video={video} current={session.details.value.id} />}
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

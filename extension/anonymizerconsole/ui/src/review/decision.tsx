// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { api, APIError, post, type Video } from "../api";
import { bytes, instant, percent } from "../format";
import { texts } from "../i18n";
import { Dialog } from "../parts/dialog";
import { Warnings } from "../parts/warnings";
import { href } from "../route";
import { complain, may, put, tell } from "../store";
import type { Session } from "./session";

export type Question = "approved" | "rejected" | undefined;

interface Props {
  video: Video;
  session: Session;
  question: Question;
  ask: (question: Question) => void;
  /** Some corrections are not rendered yet. */
  pending?: boolean;
}

/** How much of the video has been watched. */
function progress(session: Session) {
  const { ranges, moments } = session.watched.state.value;
  const total = session.table.total;
  const all = session.kept(false);
  return {
    share: total ? ranges.reduce((sum, [from, to]) => sum + to - from, 0) / total : 0,
    moments: all.length,
    seen: all.filter(({ id }) => moments.includes(id)).length,
  };
}

async function decide(session: Session, decision: "approved" | "rejected" | "reopened", note?: string) {
  const t = texts.value.review;
  const { sha256, report_sha256 } = session.details.value;
  await session.watched.send(); // the decision records what was watched
  try {
    const body = { decision, sha256, report_sha256, ...(note && { note }) };
    put(await post<Video>(`${session.path}/decision`, body));
    tell(t.decided[decision]!);
  } catch (error) {
    const changed = error instanceof APIError && (error.status === 412 || error.code === "output_changed");
    if (changed) tell(t.changed, true);
    else complain(error);
  }
}

function DecisionDialog({
  session,
  question,
  onClose,
}: {
  session: Session;
  question: "approved" | "rejected";
  onClose: () => void;
}) {
  const t = texts.value.review;
  const approve = question === "approved";
  const { share, moments, seen } = progress(session);
  const { warnings } = session.details.value;
  const look = session.moments.value.second_look;
  const doubtful = approve && (look.state !== "done" || look.found !== 0);
  const needed = !approve || doubtful;
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const note = (event.currentTarget as HTMLFormElement).elements.namedItem("note") as HTMLTextAreaElement;
    onClose();
    void decide(session, question, note.value.trim());
  };
  return (
    <Dialog title={approve ? t.approveTitle : t.rejectTitle} onClose={onClose}>
      <form onSubmit={submit}>
        <p>{approve ? t.approveText : t.rejectText}</p>
        {approve && <Warnings warnings={warnings} />}
        {approve && (seen < moments || share < 1) && (
          <p class="rest">{t.approveRest(moments - seen, percent(1 - share))}</p>
        )}
        {doubtful && <p id="note-why">{t.approveDoubtful}</p>}
        <label for="note">{needed ? t.note : t.noteOptional}</label>
        <textarea
          id="note"
          name="note"
          rows={3}
          maxLength={2000}
          required={needed}
          aria-describedby={doubtful ? "note-why" : undefined}
        />
        <div class="buttons">
          <button type="button" onClick={onClose}>
            {texts.value.cancel}
          </button>
          <button type="submit" class={approve ? "primary" : "danger"}>
            {approve ? t.approveConfirm : t.rejectConfirm}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function Outcome({ video }: { video: Video }) {
  const t = texts.value.videos;
  const decision = video.review?.decision;
  if (!decision) return null;
  const text =
    decision.decision === "rejected"
      ? t.rejected(decision.by, instant(decision.at))
      : decision.valid === false
        ? t.approvedInvalid
        : t.approved(decision.by, instant(decision.at));
  return (
    <p class={`outcome ${decision.decision}`}>
      {text}
      {decision.note && <q>{decision.note}</q>}
    </p>
  );
}

export function DecisionCard({ video, session, question, ask, pending = false }: Props) {
  const t = texts.value.review;
  const { share, moments, seen } = progress(session);
  const decided = video.state === "approved" || video.state === "rejected";
  const look = session.moments.value.second_look.state;
  const looking = look === "waiting" || look === "running";
  const latest = video.revisions?.at(-1)?.id ?? session.details.value.id;
  const { has_report: report, has_sheet: sheet, size } = session.details.value;
  return (
    <section class="card decision" aria-labelledby="decision-title">
      <h2 id="decision-title">{t.decision}</h2>
      <div class="meter">
        <span>{t.watched}</span>
        <progress max={1} value={share} aria-label={t.watched} />
        <span>{percent(share)}</span>
      </div>
      {moments > 0 && <p class={seen === moments ? "all-seen" : ""}>{t.momentsSeen(seen, moments)}</p>}
      {decided && <Outcome video={video} />}
      {pending && <p class="rest">{t.notRendered}</p>}
      {latest !== session.details.value.id ? (
        <p class="rest">
          {t.notNewest(latest)} <a href={href(["videos", video.id, latest])}>{t.toNewest(latest)}</a>
        </p>
      ) : !may("approve") ? (
        <p class="hint">{t.mayNot}</p>
      ) : (
        <div class="buttons">
          {decided ? (
            <button type="button" onClick={() => void decide(session, "reopened")}>
              {t.reopen}
            </button>
          ) : (
            <>
              <button type="button" onClick={() => ask("rejected")}>
                {t.reject}
              </button>
              <button type="button" class="primary" disabled={looking || pending} onClick={() => ask("approved")}>
                {t.approve}
              </button>
            </>
          )}
        </div>
      )}
      {looking && !decided && <p class="hint">{t.approveLater}</p>}
      <p class="files">
        <a href={api(`${session.path}/media?download=true`)} download>
          {t.download}
        </a>{" "}
        <span class="muted">{bytes(size)}</span>
        {report && (
          <a href={api(`${session.path}/report`)} target="_blank" rel="noopener">
            {t.report}
          </a>
        )}
        {sheet && (
          <a href={api(`${session.path}/sheet`)} target="_blank" rel="noopener">
            {t.sheet}
          </a>
        )}
      </p>
      {question && <DecisionDialog session={session} question={question} onClose={() => ask(undefined)} />}
    </section>
  );
}

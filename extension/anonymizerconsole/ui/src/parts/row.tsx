// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { useState } from "preact/hooks";
import { post, type Video } from "../api";
import { instant, number, percent, span } from "../format";
import { texts } from "../i18n";
import { href } from "../route";
import { complain, may, put, tell } from "../store";
import { Badge } from "./badge";
import { Dialog } from "./dialog";
import { Icon, type IconName } from "./icons";
import { Warnings } from "./warnings";

type Action = "pause" | "resume" | "cancel" | "first" | "retry";

const actions: Partial<Record<Video["state"], Action[]>> = {
  waiting: ["first", "pause", "cancel"],
  working: ["pause", "cancel"],
  paused: ["resume", "cancel"],
  failed: ["retry"],
  canceled: ["retry"],
};

const icons: Record<Action, IconName> = {
  pause: "pause",
  resume: "play",
  cancel: "canceled",
  first: "first",
  retry: "retry",
};

/** Stops work on a video after asking for confirmation, since its progress is lost. */
function CancelDialog({ video, onClose, onConfirm }: { video: Video; onClose: () => void; onConfirm: () => void }) {
  const t = texts.value.videos;
  return (
    <Dialog title={t.stopTitle} onClose={onClose}>
      <p>
        <strong class="name">{video.name}</strong>
      </p>
      <p>{t.stopText}</p>
      <div class="buttons">
        <button type="button" onClick={onClose}>
          {t.keep}
        </button>
        <button type="button" class="danger" onClick={onConfirm}>
          {t.stopConfirm}
        </button>
      </div>
    </Dialog>
  );
}

function Controls({ video }: { video: Video }) {
  const t = texts.value.videos;
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const names: Record<Action, string> = {
    pause: t.pause,
    resume: t.resume,
    cancel: t.stop,
    first: t.first,
    retry: t.retry,
  };
  const act = async (action: Action) => {
    setAsking(false);
    setBusy(true);
    try {
      put(await post<Video>(`videos/${video.id}/${action}`));
      tell(`${video.name}: ${t.done[action]}`);
    } catch (error) {
      complain(error);
    }
    setBusy(false);
  };
  const possible = (actions[video.state] ?? []).filter((action) => action !== "first" || video.position !== undefined);
  if (!may("operate") || !possible.length) return null;
  return (
    <div class="controls" role="group" aria-label={t.actions(video.name)}>
      {possible.map((action) => (
        <button
          key={action}
          type="button"
          disabled={busy}
          onClick={() => (action === "cancel" ? setAsking(true) : void act(action))}
        >
          <Icon name={icons[action]} />
          {names[action]}
        </button>
      ))}
      {asking && <CancelDialog video={video} onClose={() => setAsking(false)} onConfirm={() => void act("cancel")} />}
    </div>
  );
}

function Working({ video }: { video: Video }) {
  const t = texts.value.videos;
  if (video.frames === 0 && video.state === "working") {
    return (
      <div class="progress">
        <progress aria-label={video.name} />
        <span>{t.examined}</span>
      </div>
    );
  }
  const left = video.eta_s === undefined ? "" : t.left(span(video.eta_s));
  const total = video.frames_total ? number(video.frames_total) : "";
  return (
    <div class="progress">
      <progress max={1} value={video.progress} aria-label={video.name} />
      <span class="percent">{percent(video.progress)}</span>
      <span>{t.progress(number(video.frames), total, left)}</span>
      {video.frames_per_s !== undefined && video.state === "working" && (
        <span class="muted">{t.rate(number(video.frames_per_s, 1))}</span>
      )}
    </div>
  );
}

function Failed({ video }: { video: Video }) {
  const t = texts.value;
  const failure = video.failure;
  if (!failure) return null;
  const [title, advice] = t.failures[failure.reason] ?? [failure.message, failure.advice];
  return (
    <>
      <p>
        <strong>{title}.</strong> {advice}
        {failure.will_retry && ` ${t.videos.willRetry}`}
      </p>
      {title !== failure.message && failure.message && (
        <details class="cause">
          <summary>{t.videos.cause}</summary>
          <code>{failure.message}</code>
        </details>
      )}
    </>
  );
}

function found(video: Video): string {
  return video.people_max === undefined ? "" : texts.value.videos.masked(video.people_max, video.masks ?? 0);
}

/** What happened to a video, in one sentence. */
function Story({ video }: { video: Video }) {
  const t = texts.value.videos;
  const review = video.review ?? { moments: 0, moments_seen: 0, watched: 0 };
  const decision = video.review?.decision;
  switch (video.state) {
    case "working":
      return <Working video={video} />;
    case "paused":
      return (
        <>
          <p>{t.paused}</p>
          {video.progress > 0 && <Working video={video} />}
        </>
      );
    case "failed":
      return <Failed video={video} />;
    case "canceled":
      return <p>{t.canceled}</p>;
    case "waiting": {
      const why = video.waiting_for && (t.waitingFor[video.waiting_for] ?? t.waitsAs(video.waiting_for));
      return (
        <>
          <p>{why || (video.position ? t.position(video.position) : t.waiting)}</p>
          <Failed video={video} />
        </>
      );
    }
    case "to_review":
      return (
        <p>
          {t.toReview(review.moments)} <span class="muted">{found(video)}</span>
        </p>
      );
    case "in_review":
      return (
        <p>
          {t.inReview(review.moments_seen, review.moments, percent(review.watched))}{" "}
          <span class="muted">{found(video)}</span>
        </p>
      );
    case "approved":
      return (
        <p>
          {decision && (decision.valid === false ? t.approvedInvalid : t.approved(decision.by, instant(decision.at)))}
        </p>
      );
    case "rejected":
      return (
        <p>
          {decision && t.rejected(decision.by, instant(decision.at))}
          {decision?.note && ` “${decision.note}”`}
        </p>
      );
  }
}

export function Row({ video }: { video: Video }) {
  const t = texts.value.videos;
  const latest = video.revisions?.at(-1);
  const address = latest && href(["videos", video.id, latest.id]);
  const pending = video.state === "to_review" || video.state === "in_review";
  return (
    <li class={`video ${video.state}`}>
      <div class="head">
        <Badge state={video.state} />
        <h2 class="name">{address ? <a href={address}>{video.name}</a> : video.name}</h2>
      </div>
      <div class="story">
        <Story video={video} />
        <Warnings warnings={video.warnings} />
      </div>
      <div class="side">
        {address && (
          <a
            class={pending ? "button primary" : "button"}
            href={address}
            aria-label={`${video.name}: ${t.open[pending ? "review" : "look"]}`}
          >
            {t.open[pending ? "review" : "look"]}
          </a>
        )}
        <Controls video={video} />
      </div>
    </li>
  );
}

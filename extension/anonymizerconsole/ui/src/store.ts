// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// The data of the page, kept up to date by the server's events.
import { batch, computed, signal } from "@preact/signals";
import { api, APIError, get, post, remove, type Counts, type Me, type State, type StatusNow, type Video } from "./api";
import { texts } from "./i18n";

/** undefined: not known yet; null: no user is signed in. */
export const me = signal<Me | null | undefined>(undefined);
export const starting = signal(false);
/** Machines share the work, so no videos are shown. */
export const shared = signal(false);
export const connected = signal(true);
export const videos = signal<ReadonlyMap<string, Video>>(new Map());
/** first: some are loaded; all: all are loaded. */
export const loaded = signal<"" | "first" | "all">("");
export const status = signal<StatusNow | undefined>(undefined);
/** The result of the latest action, on the screen and for screen readers. */
export const notice = signal<{ text: string; bad: boolean } | undefined>(undefined);

const serverCounts = signal<Counts>({});
export const counts = computed<Counts>(() => {
  if (loaded.value !== "all") return serverCounts.value;
  const result: Counts = {};
  for (const video of videos.value.values()) result[video.state] = (result[video.state] ?? 0) + 1;
  return result;
});

export const may = (permission: Me["permissions"][number]) => me.value?.permissions.includes(permission) ?? false;

let noticeTimer = 0;

export function tell(text: string, bad = false) {
  clearTimeout(noticeTimer);
  notice.value = { text, bad };
  if (!bad)
    noticeTimer = window.setTimeout(() => {
      notice.value = undefined;
    }, 6000);
}

/** The error as a text for users. */
export function explain(error: unknown): string {
  const t = texts.value.errors;
  if (!(error instanceof APIError)) return String(error);
  switch (error.code) {
    case "network":
      return t.network;
    case "forbidden":
      return t.forbidden;
    case "not_attached":
      return t.notAttached;
    case "shared":
      return t.shared;
    case "not_found":
      return t.notFound;
    default:
      return error.message;
  }
}

/** Shows an error. If the session has ended, shows the sign-in page instead. */
export function complain(error: unknown) {
  if (error instanceof APIError && error.status === 401) {
    signedOut();
    return;
  }
  tell(explain(error), true);
}

export function put(video: Video) {
  const next = new Map(videos.value);
  next.set(video.id, video);
  videos.value = next;
}

// Ranks of states: first the few in progress, then those that need attention.
const ranks: Record<State, number> = {
  working: 0,
  failed: 1,
  to_review: 2,
  in_review: 3,
  paused: 4,
  waiting: 5,
  rejected: 6,
  canceled: 7,
  approved: 8,
};

export function order(a: Video, b: Video): number {
  return (
    ranks[a.state] - ranks[b.state] ||
    (a.position ?? Infinity) - (b.position ?? Infinity) ||
    (a.state === "working" ? 0 : b.updated.localeCompare(a.updated)) ||
    a.name.localeCompare(b.name)
  );
}

interface Page {
  videos: Video[];
  counts: Counts;
  next?: string;
}

let loads = 0;
/** The videos found by the load in progress, which events that arrive in the meantime also change. */
let found = new Map<string, Video>();

/** Loads the first videos, to show them soon, and then the others. */
async function loadVideos() {
  const load = ++loads;
  found = new Map();
  for (let limit = 100, after = "", more = true; more; limit = 1000) {
    const query = new URLSearchParams({ limit: String(limit), ...(after && { after }) });
    const page = await get<Page>(`videos?${query}`);
    if (load !== loads) return;
    for (const video of page.videos) found.set(video.id, video);
    after = page.next ?? "";
    more = after !== "";
    batch(() => {
      // Only a complete list removes videos that no longer exist.
      videos.value = more ? new Map([...videos.value, ...found]) : new Map(found);
      serverCounts.value = page.counts;
      loaded.value = more ? loaded.value || "first" : "all";
    });
  }
}

let source: EventSource | undefined;
const changed = new Map<string, Video | undefined>();

// Many videos change at once when a folder is filled, so they are shown together.
function later(id: string, video?: Video) {
  if (!changed.size) window.setTimeout(showChanged, 50);
  changed.set(id, video);
}

function showChanged() {
  const next = new Map(videos.value);
  for (const [id, video] of changed) {
    for (const list of [next, found]) {
      if (video) list.set(id, video);
      else list.delete(id);
    }
  }
  changed.clear();
  videos.value = next;
}

/** Listens to events, and resolves once every further change will be received. */
function listen(): Promise<void> {
  source?.close();
  source = new EventSource(api("events"));
  const on = <T>(name: string, use: (data: T) => void) =>
    source!.addEventListener(name, (event) => use(JSON.parse((event as MessageEvent<string>).data || "null") as T));
  on<Video>("video", (video) => {
    later(video.id, video);
    if (!shared.value) return;
    shared.value = false; // a receiver outside the share was attached
    void resume();
  });
  on<{ id: string }>("removed", ({ id }) => later(id));
  on<StatusNow>("status", (now) => {
    status.value = now;
  });
  on("resync", () => void loadVideos().catch(complain));
  return new Promise((resolve) => {
    source!.onopen = () => {
      connected.value = true;
      resolve();
    };
    source!.onerror = () => {
      connected.value = false;
      // The browser reconnects by itself, unless the response was an error.
      if (source?.readyState === EventSource.CLOSED) window.setTimeout(() => void resume(), 3000);
      resolve();
    };
  });
}

/** Loads everything and listens for changes, as long as a user is signed in. */
export async function resume() {
  try {
    me.value = await get<Me>("me");
    await listen();
    await loadVideos();
    starting.value = shared.value = false;
  } catch (error) {
    const code = error instanceof APIError ? error.code : "";
    if (error instanceof APIError && error.status === 401) {
      signedOut();
    } else if (code === "shared") {
      starting.value = false;
      shared.value = true;
    } else {
      connected.value = code !== "network";
      starting.value = code === "not_attached";
      if (me.value === undefined && !starting.value) complain(error);
      window.setTimeout(() => void resume(), 3000);
    }
  }
}

/**
 * Exchanges a token for a session; without a token, uses the identity that the server finds in the request's headers.
 */
export async function signIn(token?: string) {
  me.value = await post<Me>("session", token === undefined ? {} : { token });
  await resume();
}

export async function signOut() {
  await remove("session").catch(() => undefined);
  signedOut();
}

function signedOut() {
  source?.close();
  loads++;
  batch(() => {
    me.value = null;
    videos.value = new Map();
    loaded.value = "";
    notice.value = undefined;
  });
}

/** Signs in with the token in the address, and removes it from there, or with the cookie of an earlier session. */
export async function begin() {
  const token = /^#token=([^&]+)/.exec(location.hash)?.[1];
  if (token !== undefined) {
    history.replaceState(null, "", "#/videos");
    dispatchEvent(new HashChangeEvent("hashchange"));
    try {
      await signIn(decodeURIComponent(token));
      return;
    } catch (error) {
      if (!(error instanceof APIError && error.status === 401)) complain(error);
    }
  }
  await resume();
  if (me.value === null) await signIn().catch(() => undefined); // by the configured authenticator, if any
}

// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// The API; see ../../openapi.yaml. Addresses are relative to the page's, so that it works under any path prefix.

export type State =
  "waiting" | "working" | "paused" | "failed" | "canceled" | "to_review" | "in_review" | "approved" | "rejected";
export type Permission = "view" | "review" | "edit" | "approve" | "operate";
export type Counts = Partial<Record<State, number>>;
/** The first frame, and the frame after the last one. */
export type FrameRange = [from: number, to: number];
/** Left, top, right, and bottom in pixels of the frame. */
export type Box = [number, number, number, number];

export interface Me {
  name: string;
  role: string;
  permissions: Permission[];
  upload: boolean;
}

export interface Failure {
  reason: string;
  message: string;
  advice: string;
  will_retry: boolean;
}

export interface Decision {
  decision: "approved" | "rejected";
  by: string;
  at: string;
  note?: string;
  valid?: boolean;
}

export interface ReviewState {
  moments: number;
  moments_seen: number;
  watched: number;
  decision?: Decision;
}

export interface Revision {
  id: string;
  name: string;
  created: string;
  size: number;
  sha256: string;
  report_sha256?: string;
}

export interface Video {
  id: string;
  name: string;
  receiver: string;
  state: State;
  frames: number;
  frames_total?: number;
  progress: number;
  frames_per_s?: number;
  eta_s?: number;
  position?: number;
  waiting_for?: string;
  size?: number;
  duration_s?: number;
  people_max?: number;
  masks?: number;
  updated: string;
  failure?: Failure;
  warnings: string[];
  review?: ReviewState;
  revisions?: Revision[];
  render?: RenderState;
}

export interface Playback {
  state: "direct" | "needed" | "preparing" | "ready" | "unavailable";
  progress?: number;
  message?: string;
}

export interface SecondLook {
  state: "off" | "waiting" | "running" | "done" | "failed";
  frames?: number;
  found?: number;
}

export interface RevisionDetails extends Revision {
  playback: Playback;
  frames: number;
  duration_s: number;
  width?: number;
  height?: number;
  begin_s?: number;
  has_report: boolean;
  has_sheet: boolean;
  second_look: SecondLook;
  warnings: string[];
  review: ReviewState;
}

export interface Sighting {
  reason: string;
  frame: number;
  first_frame: number;
  last_frame: number;
  box?: Box;
}

export interface Moment extends Sighting {
  id: string;
  at: string;
  time_s: number;
  duration_s: number;
  score?: number;
  seen: boolean;
  seen_by?: string;
  /** Other moments matter more: this one is not counted. */
  also_weak?: boolean;
  /** The sightings that were joined, if there are several. */
  sightings?: Sighting[];
}

export interface Moments {
  moments: Moment[];
  second_look: SecondLook;
}

export interface Outline {
  shape: "ellipse" | "rectangle" | "polygon";
  x?: number;
  y?: number;
  rx?: number;
  ry?: number;
  angle?: number;
  points?: [number, number][];
}

export interface Mask {
  box: Box;
  outline: Outline;
  origin: string;
  score: number;
  track?: number;
}

export interface Frame {
  frame: number;
  time_s: number;
  judged?: boolean;
  masked_whole?: boolean;
  error?: string;
  people: number;
  masks: Mask[];
}

export interface Timeline {
  frames: number;
  duration_s: number;
  first_frame: number[];
  time_s: number[];
  people: number[];
  masks: number[];
  score: number[];
  whole: boolean[];
}

export interface Watched {
  ranges: FrameRange[];
  share: number;
  moments: string[];
}

/** One keyframe of a mask that a reviewer drew. outside ends the mask before this frame. */
export interface Keyframe {
  frame: number;
  time_s: number;
  outside?: boolean;
  x?: number;
  y?: number;
  rx?: number;
  ry?: number;
  angle?: number;
}

/** A correction; see the receiver's edits.schema.json. Ranges of frames are half-open. */
export interface Operation {
  id?: number;
  type: "add" | "adjust" | "remove" | "whole_frame" | "revert" | "confirm";
  shape?: "ellipse" | "rectangle";
  keyframes?: Keyframe[];
  track?: number;
  from?: number;
  to?: number;
  dx?: number;
  dy?: number;
  scale_rx?: number;
  scale_ry?: number;
  rotate?: number;
  of?: number;
  reason?: string;
  note?: string;
  by?: string;
  at?: string;
}

export interface Edits {
  etag: string;
  frames: number;
  latest: string;
  rendered: number;
  pending: boolean;
  live: number[];
  unconfirmed: number[];
  uncover: boolean;
  adjust: boolean;
  limits: string[];
  reasons: string[];
  operations: Operation[];
}

export interface EditsCheck {
  valid: boolean;
  errors: string[];
  uncovered: { frame: number; pixels: number; box: Box }[];
  needs_reason: boolean;
  needs_permission?: Permission;
  needs_second_person: boolean;
}

export interface RenderState {
  state: "waiting" | "running" | "failed" | "canceled";
  by: string;
  frames: number;
  frames_total?: number;
  message?: string;
}

export interface Renders {
  render?: RenderState;
  revisions: Revision[];
}

export interface GPU {
  index: number;
  name: string;
  utilization?: number;
  memory_used?: number;
  memory_total?: number;
  temperature_c?: number;
  power_w?: number;
}

export interface StatusNow {
  time: string;
  frames_per_s: number;
  people: number;
  stages: { name: string; ms: number }[];
  counts: Counts;
  gpus: GPU[];
  share?: Share;
}

/** The activity of the machines that share the work. Videos are counts by their state in the share. */
export interface Share {
  machines: Machine[];
  videos: Record<string, number>;
}

export interface Machine {
  name: string;
  state: "works" | "drains" | "takes_nothing" | "silent" | "stopped";
  since: string;
  silent_s: number;
  problem?: string;
  doing: MachineTask[];
}

export interface MachineTask {
  task: "plan" | "unit" | "join" | "publish";
  video: string;
  unit?: number;
  since: string;
}

export interface History {
  interval_s: number;
  time: number[];
  frames_per_s: number[];
  people: number[];
  stages: Record<string, number[]>;
}

export interface Status extends StatusNow {
  version: string;
  started: string;
  receivers: string[];
  history: History;
  links: { jaeger?: string; grafana?: string };
}

export interface FrameTraceHead {
  trace: string;
  video: string;
  name: string;
  frame: number;
  start: string;
  duration_ms: number;
  people: number;
  failed?: boolean;
}

export interface Span {
  span: string;
  parent?: string;
  name: string;
  start_us: number;
  duration_us: number;
  failed?: boolean;
  attributes?: Record<string, unknown>;
}

export interface FrameTrace extends FrameTraceHead {
  spans: Span[];
}

export interface AuditEntry {
  seq: number;
  time: string;
  actor: string;
  role: string;
  action: string;
  video?: string;
  name?: string;
  revision?: string;
  note?: string;
  moments?: number;
  moments_seen?: number;
  watched?: number;
}

export interface Verification {
  ok: boolean;
  entries: number;
  bad_entry?: number;
  problem?: string;
  files?: number;
  changed?: string[];
}

/** A response that is not a success. status is 0 if there was no response. */
export class APIError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export const api = (path: string) => `api/v1/${path}`;
export const revisionPath = (video: string, revision: string) => `videos/${video}/revisions/${revision}`;

async function answer(path: string, init?: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(api(path), { credentials: "same-origin", ...init });
  } catch {
    throw new APIError(0, "network", "");
  }
  if (response.ok) return response;
  const error = (await response.json().catch(() => ({}))) as { code?: string; message?: string };
  throw new APIError(response.status, error.code ?? "internal", error.message ?? response.statusText);
}

export async function get<T>(path: string, init?: RequestInit): Promise<T> {
  return (await answer(path, init)).json() as Promise<T>;
}

export async function getText(path: string): Promise<string> {
  return (await answer(path)).text();
}

/** Sends body as JSON. With keepalive, the request is sent even while the page is being closed. */
export async function post<T>(path: string, body: unknown = {}, keepalive = false, etag = ""): Promise<T> {
  const headers = { "Content-Type": "application/json", ...(etag && { "If-Match": etag }) };
  return get<T>(path, { method: "POST", headers, body: JSON.stringify(body), keepalive });
}

export async function remove(path: string): Promise<void> {
  await answer(path, { method: "DELETE" });
}

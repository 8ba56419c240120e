// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { useEffect, useState } from "preact/hooks";
import {
  get,
  type FrameTrace,
  type FrameTraceHead,
  type GPU,
  type History,
  type Machine,
  type MachineTask,
  type Share,
  type Status,
  type StatusNow,
} from "../api";
import { bytes, exactInstant, number, percent, span } from "../format";
import { texts } from "../i18n";
import { Chart } from "../parts/chart";
import { Waterfall } from "../parts/waterfall";
import { remember, route } from "../route";
import { complain, shared, status, videos } from "../store";

const stages = ["decode", "person_detection", "pose_estimation", "visualization", "encode"];
const kept = 1000; // points of a chart

/** The history with the values of a status added. */
function extend(history: History, now: StatusNow): History {
  const time = Date.parse(now.time) / 1000;
  const last = history.time.at(-1);
  if (last !== undefined && time <= last) return history;
  const add = <T,>(values: T[], value: T) => [...values.slice(-kept + 1), value];
  const ms = (name: string) => now.stages.find((stage) => stage.name === name)?.ms ?? 0;
  return {
    interval_s: history.interval_s,
    time: add(history.time, time),
    frames_per_s: add(history.frames_per_s, now.frames_per_s),
    people: add(history.people, now.people),
    stages: Object.fromEntries(
      stages.map((name) => [name, add(history.stages[name] ?? history.time.map(() => 0), ms(name))]),
    ),
  };
}

function Tile({ name, value }: { name: string; value: string }) {
  return (
    <div class="card tile">
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function Now({ now }: { now: StatusNow }) {
  const t = texts.value.system;
  return (
    <section aria-labelledby="now">
      <h2 id="now">{t.now}</h2>
      <dl class="tiles">
        <Tile name={t.fps} value={number(now.frames_per_s, 1)} />
        <Tile name={t.people} value={number(now.people)} />
        <Tile name={t.working} value={number(now.counts.working ?? 0)} />
        <Tile name={t.waiting} value={number(now.counts.waiting ?? 0)} />
      </dl>
      {!now.counts.working && <p class="muted">{t.idle}</p>}
    </section>
  );
}

function Charts({ history }: { history: History }) {
  const t = texts.value.system;
  const values = (name: string) => history.stages[name] ?? history.time.map(() => 0);
  return (
    <section aria-labelledby="over-time">
      <h2 id="over-time">{t.overTime}</h2>
      <div class="charts">
        <Chart
          title={t.fps}
          unit=""
          times={history.time}
          format={(value) => number(value, 1)}
          series={[{ name: t.fps, color: "series-0", values: history.frames_per_s }]}
        />
        <Chart
          title={t.people}
          unit=""
          counted
          times={history.time}
          format={(value) => number(value)}
          series={[{ name: t.people, color: "series-3", values: history.people }]}
        />
        <Chart
          title={t.stages}
          unit="ms"
          stacked
          times={history.time}
          format={(value) => number(value, 1)}
          series={stages.map((name, i) => ({ name: t.stageNames[name]!, color: `series-${i}`, values: values(name) }))}
        />
      </div>
    </section>
  );
}

function GPUs({ gpus }: { gpus: GPU[] }) {
  const t = texts.value.system;
  if (!gpus.length) return null;
  return (
    <section aria-labelledby="gpus">
      <h2 id="gpus">{t.gpus}</h2>
      <ul class="gpus">
        {gpus.map((gpu) => (
          <li key={gpu.index} class="card">
            <h3>
              {gpu.index}: {gpu.name}
            </h3>
            <dl>
              {gpu.utilization !== undefined && (
                <div>
                  <dt>{t.gpuLoad}</dt>
                  <dd>
                    <progress max={1} value={gpu.utilization} aria-label={t.gpuLoad} /> {percent(gpu.utilization)}
                  </dd>
                </div>
              )}
              {gpu.memory_used !== undefined && (
                <div>
                  <dt>{t.gpuMemory}</dt>
                  <dd>
                    {bytes(gpu.memory_used)}
                    {gpu.memory_total && ` / ${bytes(gpu.memory_total)}`}
                  </dd>
                </div>
              )}
              {gpu.temperature_c !== undefined && (
                <div>
                  <dt>{t.gpuTemperature}</dt>
                  <dd>{number(gpu.temperature_c)} °C</dd>
                </div>
              )}
              {gpu.power_w !== undefined && (
                <div>
                  <dt>{t.gpuPower}</dt>
                  <dd>{number(gpu.power_w)} W</dd>
                </div>
              )}
            </dl>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Task({ task }: { task: MachineTask }) {
  const { tasks } = texts.value.system;
  const what = task.unit === undefined ? tasks[task.task]!(task.video) : tasks.unit!(task.video, number(task.unit));
  return (
    <li>
      {what} <span class="muted">({exactInstant(task.since)})</span>
    </li>
  );
}

function MachineRow({ machine }: { machine: Machine }) {
  const t = texts.value.system;
  return (
    <tr>
      <td class="name">{machine.name}</td>
      <td class={machine.state === "silent" || machine.problem ? "error" : undefined}>
        {machine.state === "silent" ? t.silentFor(span(machine.silent_s)) : t.machineStates[machine.state]}
      </td>
      <td class="time">{exactInstant(machine.since)}</td>
      <td>
        {machine.problem && <p>{machine.problem}</p>}
        <ul>
          {machine.doing.map((task) => (
            <Task key={`${task.video}/${task.unit}`} task={task} />
          ))}
        </ul>
      </td>
    </tr>
  );
}

/** The machines that share the work. */
function Machines({ share }: { share: Share }) {
  const t = texts.value.system;
  const counts = Object.entries(t.sharedVideos).filter(([state]) => share.videos[state]);
  return (
    <section aria-labelledby="machines">
      <h2 id="machines">{t.machines}</h2>
      <dl class="tiles">
        {counts.map(([state, name]) => (
          <Tile key={state} name={name} value={number(share.videos[state]!)} />
        ))}
      </dl>
      <div class="scroll card" tabIndex={0} role="group" aria-label={t.machines}>
        <table class="records">
          <thead>
            <tr>
              {Object.entries(t.machineColumns).map(([key, text]) => (
                <th key={key} scope="col">
                  {text}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {share.machines.map((machine) => (
              <MachineRow key={machine.name + machine.since} machine={machine} />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** The latest frames, and the waterfall of the selected one. */
function Frames() {
  const t = texts.value.system;
  const [heads, setHeads] = useState<FrameTraceHead[]>();
  const [trace, setTrace] = useState<FrameTrace>();
  const pick = (id: string) => {
    remember({ trace: id });
    get<FrameTrace>(`traces/frames/${id}`).then(setTrace).catch(complain);
  };
  const refresh = async () => {
    try {
      const { frames } = await get<{ frames: FrameTraceHead[] }>("traces/frames?limit=100");
      setHeads(frames);
      const wanted = route.value.query.get("trace");
      const first = frames.find(({ trace: id }) => id === wanted) ?? frames[0];
      if (first) pick(first.trace);
    } catch (error) {
      complain(error);
    }
  };
  // If there are none yet, look for them again as long as videos are in progress.
  const expected = heads?.length === 0 && (status.value?.frames_per_s ?? 0) > 0 ? status.value?.time : undefined;
  useEffect(() => void refresh(), [expected]);
  return (
    <section aria-labelledby="waterfall">
      <div class="title">
        <h2 id="waterfall">{t.waterfall}</h2>
        <button type="button" onClick={() => void refresh()}>
          {t.refresh}
        </button>
      </div>
      {heads && !heads.length ? (
        <p class="muted">{t.noTraces}</p>
      ) : (
        <>
          <p class="muted">{t.waterfallLead}</p>
          <div class="frames card">
            <ul aria-label={t.frames} tabIndex={0}>
              {heads?.map((head) => (
                <li key={head.trace}>
                  <button type="button" aria-pressed={head.trace === trace?.trace} onClick={() => pick(head.trace)}>
                    <span class="name">{videos.value.get(head.video)?.name ?? head.name}</span>
                    <span class={head.failed ? "error" : "muted"}>
                      {t.framePick(number(head.frame), `${number(head.duration_ms)} ms`)}
                      {head.failed && ` (${t.failed})`}
                    </span>
                  </button>
                </li>
              ))}
            </ul>
            <div class="scroll" tabIndex={0} role="group" aria-label={t.waterfall}>
              {trace && <Waterfall trace={trace} />}
            </div>
          </div>
        </>
      )}
    </section>
  );
}

export function System() {
  const t = texts.value.system;
  const [about, setAbout] = useState<Status>();
  const [history, setHistory] = useState<History>();
  const now = status.value ?? about;
  useEffect(() => {
    get<Status>("status")
      .then((got) => {
        setAbout(got);
        setHistory(got.history);
      })
      .catch(complain);
  }, []);
  useEffect(() => {
    if (status.value) setHistory((old) => old && extend(old, status.value!));
  }, [status.value]);
  const links = Object.entries(about?.links ?? {});
  return (
    <>
      <div class="title">
        <h1 tabIndex={-1}>{t.title}</h1>
        {about && <p class="muted">{t.started(exactInstant(about.started), about.version)}</p>}
        {links.map(([name, address]) => (
          <a key={name} class="button" href={address} rel="noreferrer">
            {name === "jaeger" ? "Jaeger" : "Grafana"}
          </a>
        ))}
      </div>
      {now?.share && <Machines share={now.share} />}
      {now && !shared.value && <Now now={now} />}
      {history && !shared.value && <Charts history={history} />}
      {now && <GPUs gpus={now.gpus} />}
      {!shared.value && <Frames />}
      {!now && <p>{texts.value.loading}</p>}
    </>
  );
}

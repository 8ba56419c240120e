// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { useEffect, useState } from "preact/hooks";
import { api, get, getText, type AuditEntry, type Verification } from "../api";
import { exactInstant, percent } from "../format";
import { texts } from "../i18n";
import { Icon } from "../parts/icons";
import { href } from "../route";
import { complain, videos } from "../store";

const limit = 1000;

function Verify() {
  const t = texts.value.audit;
  const [files, setFiles] = useState(false);
  const [result, setResult] = useState<Verification | "running">();
  const verify = async () => {
    setResult("running");
    try {
      setResult(await get<Verification>(`audit/verification?files=${files}`));
    } catch (error) {
      setResult(undefined);
      complain(error);
    }
  };
  return (
    <div class="verify card">
      <button type="button" class="primary" disabled={result === "running"} onClick={() => void verify()}>
        {t.verify}
      </button>
      <label class="check">
        <input type="checkbox" checked={files} onChange={(event) => setFiles(event.currentTarget.checked)} />
        {t.verifyFiles}
      </label>
      <div role="status" class="result">
        {result === "running" ? t.verifying : result && <Result result={result} />}
      </div>
    </div>
  );
}

function Result({ result }: { result: Verification }) {
  const t = texts.value.audit;
  if (result.ok)
    return (
      <p class="good">
        <Icon name="approved" />
        {t.good(result.entries, result.files)}
      </p>
    );
  return (
    <>
      {result.problem && (
        <p class="error">
          <Icon name="failed" />
          {t.bad(result.bad_entry, result.problem)}
        </p>
      )}
      {result.changed && result.changed.length > 0 && (
        <div class="error">
          <p>{t.changedFiles}</p>
          <ul>
            {result.changed.map((name) => (
              <li key={name}>{name}</li>
            ))}
          </ul>
        </div>
      )}
    </>
  );
}

function details(entry: AuditEntry): string {
  const t = texts.value.audit;
  return [
    entry.moments ? t.moments(entry.moments_seen ?? 0, entry.moments) : "",
    entry.watched === undefined ? "" : t.share(percent(entry.watched)),
    entry.note ?? "",
  ]
    .filter(Boolean)
    .join("; ");
}

function Entries({ entries }: { entries: AuditEntry[] }) {
  const { columns, actions } = texts.value.audit;
  return (
    <div class="scroll card" tabIndex={0} role="group" aria-label={texts.value.audit.title}>
      <table class="records">
        <thead>
          <tr>
            {Object.entries(columns).map(([key, text]) => (
              <th key={key} scope="col">
                {text}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {entries.map((entry) => (
            <tr key={entry.seq}>
              <td class="figure">{entry.seq}</td>
              <td class="time">{exactInstant(entry.time)}</td>
              <td>
                {entry.actor} <span class="muted">({entry.role})</span>
              </td>
              <td>{actions[entry.action] ?? entry.action}</td>
              <td class="name">
                {entry.video && entry.revision && videos.value.has(entry.video) ? (
                  <a href={href(["videos", entry.video, entry.revision])}>{entry.name}</a>
                ) : (
                  entry.name
                )}
              </td>
              <td>{details(entry)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function Audit() {
  const t = texts.value.audit;
  const [entries, setEntries] = useState<AuditEntry[]>();
  const [part, setPart] = useState("");
  const [action, setAction] = useState("");
  useEffect(() => {
    getText(`audit?limit=${limit}`)
      .then((lines) => {
        setEntries(
          lines
            .split("\n")
            .filter(Boolean)
            .map((line) => JSON.parse(line) as AuditEntry)
            .reverse(),
        );
      })
      .catch(complain);
  }, []);
  const matches = (entry: AuditEntry) =>
    (!action || entry.action === action) &&
    `${entry.actor} ${entry.name ?? ""} ${entry.note ?? ""}`.toLowerCase().includes(part.toLowerCase());
  const shown = entries?.filter(matches) ?? [];
  return (
    <>
      <div class="title">
        <h1 tabIndex={-1}>{t.title}</h1>
        <a class="button" href={api("audit?format=csv")} download="audit.csv">
          {t.exportCSV}
        </a>
        <a class="button" href={api("audit?format=ndjson")} download="audit.ndjson">
          {t.exportNDJSON}
        </a>
      </div>
      <p class="lead">{t.lead}</p>
      <Verify />
      {entries && entries.length > 0 && (
        <div class="audit-filter">
          <label class="search">
            <Icon name="search" />
            <span class="hidden">{t.filter}</span>
            <input
              type="search"
              placeholder={t.filter}
              value={part}
              onInput={(event) => setPart(event.currentTarget.value)}
            />
          </label>
          <label>
            <span class="hidden">{t.action}</span>
            <select value={action} onChange={(event) => setAction(event.currentTarget.value)}>
              <option value="">{t.everything}</option>
              {Object.entries(t.actions).map(([name, text]) => (
                <option key={name} value={name}>
                  {text}
                </option>
              ))}
            </select>
          </label>
        </div>
      )}
      {!entries ? (
        <p>{texts.value.loading}</p>
      ) : !entries.length ? (
        <p class="card none">{t.empty}</p>
      ) : !shown.length ? (
        <p class="card none">{t.noMatch}</p>
      ) : (
        <Entries entries={shown} />
      )}
      {entries?.length === limit && <p class="muted">{t.latest(limit)}</p>}
    </>
  );
}

// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { api } from "../api";
import { percent } from "../format";
import { texts } from "../i18n";
import { me, tell } from "../store";
import { Icon } from "./icons";

interface Sending {
  name: string;
  share: number;
  request: XMLHttpRequest;
}

const sending = signal<readonly Sending[]>([]);

/** Sends one file. fetch does not report progress, so this uses XMLHttpRequest. */
function send(file: File): Promise<void> {
  const request = new XMLHttpRequest();
  let entry: Sending = { name: file.name, share: 0, request };
  const replace = (next?: Sending) => {
    sending.value = sending.value.flatMap((old) => (old === entry ? (next ?? []) : [old]));
    if (next) entry = next;
  };
  sending.value = [...sending.value, entry];
  const done = new Promise<void>((resolve) => {
    request.upload.onprogress = ({ loaded, total }) => replace({ ...entry, share: total ? loaded / total : 0 });
    request.onabort =
      request.onerror =
      request.onload =
        ({ type }) => {
          const t = texts.value.upload;
          const answer = JSON.parse(request.responseText || "{}") as { name?: string; message?: string };
          if (request.status === 201) tell(t.sent(answer.name ?? file.name));
          else if (type !== "abort") tell(t.failed(file.name, answer.message ?? texts.value.errors.network), true);
          replace();
          resolve();
        };
  });
  request.open("POST", api(`uploads?${new URLSearchParams({ name: file.name })}`));
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.send(file);
  return done;
}

async function sendAll(files: Iterable<File>) {
  for (const file of files) await send(file); // one after another, so that work on the first starts soon
}

/** Sends files dropped anywhere on the page. Returns whether files are being dragged over it. */
export function useDrop(): boolean {
  const [over, setOver] = useState(false);
  useEffect(() => {
    if (!me.value?.upload) return undefined;
    const events = new AbortController();
    const on = (name: "dragover" | "dragleave" | "drop", use: (event: DragEvent) => void) =>
      addEventListener(name, use, { signal: events.signal });
    const files = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    on("dragover", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      setOver(true);
    });
    on("dragleave", (event) => event.relatedTarget ?? setOver(false));
    on("drop", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      setOver(false);
      void sendAll([...event.dataTransfer!.files]);
    });
    return () => events.abort();
  }, [me.value]);
  return over;
}

export function AddVideo() {
  const input = useRef<HTMLInputElement>(null);
  const text = texts.value.upload.add;
  return (
    <>
      <button type="button" onClick={() => input.current!.click()}>
        <Icon name="upload" />
        {text}
      </button>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        aria-label={text}
        onChange={(event) => {
          void sendAll([...event.currentTarget.files!]);
          event.currentTarget.value = "";
        }}
      />
    </>
  );
}

export function Uploads() {
  const t = texts.value.upload;
  if (!sending.value.length) return null;
  return (
    <ul class="uploads card">
      {sending.value.map(({ name, share, request }) => (
        <li key={name}>
          <progress max={1} value={share} aria-label={name} />
          <span>{t.sending(name, percent(share))}</span>
          <button type="button" class="quiet" aria-label={t.stop(name)} onClick={() => request.abort()}>
            ×
          </button>
        </li>
      ))}
    </ul>
  );
}

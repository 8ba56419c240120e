// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { computed, signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { State } from "../api";
import { number } from "../format";
import { texts } from "../i18n";
import { Icon } from "../parts/icons";
import { Row } from "../parts/row";
import { AddVideo, Uploads, useDrop } from "../parts/upload";
import { href, remember, route } from "../route";
import { counts, loaded, me, order, videos } from "../store";

const filters: { name: "all" | "review" | "work" | "failed" | "approved" | "rejected"; states: State[] }[] = [
  { name: "all", states: [] },
  { name: "review", states: ["to_review", "in_review"] },
  { name: "work", states: ["working", "waiting", "paused"] },
  { name: "failed", states: ["failed", "canceled"] },
  { name: "approved", states: ["approved"] },
  { name: "rejected", states: ["rejected"] },
];

const batchSize = 100;
const shown = signal(batchSize);
const search = signal("");
const filter = computed(() => filters.find(({ name }) => name === route.value.query.get("show")) ?? filters[0]!);

const matching = computed(() => {
  const { states } = filter.value;
  const part = search.value.toLowerCase();
  return [...videos.value.values()]
    .filter((video) => (!states.length || states.includes(video.state)) && video.name.toLowerCase().includes(part))
    .sort(order);
});

function sum(states: State[]): number {
  const of = states.length ? states : (Object.keys(counts.value) as State[]);
  return of.reduce((total, state) => total + (counts.value[state] ?? 0), 0);
}

function Filters() {
  const t = texts.value.filters;
  return (
    <nav class="filters" aria-label={t.label}>
      {filters.map(({ name, states }) => (
        <a
          key={name}
          href={href(["videos"], name === "all" ? {} : { show: name })}
          aria-current={filter.value.name === name ? "true" : undefined}
          onClick={() => {
            shown.value = batchSize;
          }}
        >
          {t[name]} <span class="number">{number(sum(states))}</span>
        </a>
      ))}
    </nav>
  );
}

function Search() {
  const t = texts.value.videos;
  return (
    <label class="search">
      <Icon name="search" />
      <span class="hidden">{t.search}</span>
      <input
        type="search"
        placeholder={t.search}
        value={search.value}
        onInput={(event) => {
          search.value = event.currentTarget.value;
          shown.value = batchSize;
        }}
      />
    </label>
  );
}

/** Explains the page if there is no video yet. */
function Empty() {
  const t = texts.value.videos;
  return (
    <section class="card empty">
      <h2>{t.emptyTitle}</h2>
      <p>{t.empty}</p>
      <ol class="steps">
        {t.steps.map(([title, text]) => (
          <li key={title}>
            <strong>{title}</strong>
            <span>{text}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}

function NoMatch() {
  const t = texts.value.videos;
  const clear = () => {
    search.value = "";
    remember({});
    dispatchEvent(new HashChangeEvent("hashchange"));
  };
  return (
    <p class="card none">
      {search.value ? t.noMatch : t.none}{" "}
      <button type="button" class="link" onClick={clear}>
        {t.clear}
      </button>
    </p>
  );
}

/** The rest of a long list, which appears when the user scrolls to it or presses the button. */
function More({ left }: { left: number }) {
  const place = useRef<HTMLButtonElement>(null);
  const more = () => {
    shown.value += batchSize;
  };
  useEffect(() => {
    const watcher = new IntersectionObserver(([entry]) => entry!.isIntersecting && more(), { rootMargin: "400px" });
    watcher.observe(place.current!);
    return () => watcher.disconnect();
  }, []);
  return (
    <button ref={place} type="button" class="more" onClick={more}>
      {texts.value.videos.more(Math.min(left, batchSize))}
    </button>
  );
}

export function Videos() {
  const t = texts.value.videos;
  const over = useDrop();
  const list = matching.value;
  const empty = loaded.value === "all" && videos.value.size === 0;
  return (
    <>
      <div class="title">
        <h1 tabIndex={-1}>{t.title}</h1>
        <Search />
        {me.value?.upload && <AddVideo />}
      </div>
      <Filters />
      <Uploads />
      <p class="hidden" role="status">
        {loaded.value ? t.shown(list.length) : texts.value.loading}
      </p>
      {empty ? (
        <Empty />
      ) : loaded.value && !list.length ? (
        <NoMatch />
      ) : (
        <ul class="videos">
          {list.slice(0, shown.value).map((video) => (
            <Row key={video.id} video={video} />
          ))}
        </ul>
      )}
      {list.length > shown.value && <More key={shown.value} left={list.length - shown.value} />}
      {loaded.value === "first" && <p class="muted">{t.loadingAll}</p>}
      {over && (
        <div class="drop">
          <p>{texts.value.upload.drop}</p>
        </div>
      )}
    </>
  );
}

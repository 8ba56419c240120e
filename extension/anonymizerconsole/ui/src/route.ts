// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { signal } from "@preact/signals";

/** The place in the page: #/videos, #/videos/ID/r1?frame=78, #/system, #/audit. */
export interface Route {
  path: string[];
  query: URLSearchParams;
}

export function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean).map(decodeURIComponent), query: new URLSearchParams(query) };
}

export const route = signal(parse(location.hash));

addEventListener("hashchange", () => {
  route.value = parse(location.hash);
});

export function href(path: string[], query: Record<string, string> = {}): string {
  const search = new URLSearchParams(query).toString();
  return `#/${path.map(encodeURIComponent).join("/")}${search ? `?${search}` : ""}`;
}

/** Remembers state in the address for a reload, without a new entry in the history. */
export function remember(query: Record<string, string>) {
  history.replaceState(null, "", href(parse(location.hash).path, query));
}

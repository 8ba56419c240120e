// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { computed, effect, signal } from "@preact/signals";
import { en, type Texts } from "./texts/en";
import { ja } from "./texts/ja";

export const languages: Record<string, Texts> = { en, ja };

const key = "console.language";

function preferred(): string {
  const wanted = [localStorage.getItem(key) ?? "", ...navigator.languages];
  return wanted.map((tag) => tag.slice(0, 2)).find((tag) => tag in languages) ?? "en";
}

export const language = signal(preferred());
export const texts = computed(() => languages[language.value]!);

export function choose(tag: string) {
  localStorage.setItem(key, tag);
  language.value = tag;
}

effect(() => {
  document.documentElement.lang = language.value;
});

// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { test } from "node:test";
import { en } from "../src/texts/en";
import { ja } from "../src/texts/ja";

/** The names of all texts in an object, such as "review.play". */
function names(texts: object, prefix = ""): string[] {
  return Object.entries(texts).flatMap(([key, text]) =>
    typeof text === "object" && !Array.isArray(text) ? names(text as object, `${prefix}${key}.`) : [prefix + key],
  );
}

// TypeScript detects missing texts, except those that are looked up by a word of the server.
test("Japanese has the same texts as English", () => assert.deepEqual(names(ja).sort(), names(en).sort()));

test("the same keys stand in both languages", () =>
  assert.deepEqual(
    ja.keys.list.map(([key]) => key),
    en.keys.list.map(([key]) => key),
  ));

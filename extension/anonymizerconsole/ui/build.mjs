// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Builds the page: node build.mjs [DIRECTORY], by default dist. The same sources always give the same bytes.
import * as esbuild from "esbuild";
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";

const source = join(import.meta.dirname, "src");
const out = process.argv[2] ?? join(import.meta.dirname, "dist");

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
await esbuild.build({
  absWorkingDir: import.meta.dirname,
  entryPoints: [join(source, "app.tsx"), join(source, "app.css")],
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "eof",
});
for (const file of ["index.html", "icon.svg"]) {
  copyFileSync(join(source, file), join(out, file));
}

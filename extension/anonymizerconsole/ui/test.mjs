// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Checks the types, and runs the tests that need no browser: node test.mjs
import * as esbuild from "esbuild";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const here = import.meta.dirname;
const out = mkdtempSync(join(tmpdir(), "console-ui-"));
try {
  await esbuild.build({
    absWorkingDir: here,
    entryPoints: readdirSync(join(here, "test")).map((file) => join(here, "test", file)),
    outdir: out,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    format: "esm",
    platform: "node",
  });
  const run = (command, ...args) => spawnSync(command, args, { cwd: here, stdio: "inherit" }).status;
  process.exitCode =
    run(process.execPath, join(here, "node_modules/typescript/bin/tsc"), "--noEmit") ||
    run(process.execPath, "--test", ...readdirSync(out).map((file) => join(out, file)));
} finally {
  rmSync(out, { recursive: true });
}

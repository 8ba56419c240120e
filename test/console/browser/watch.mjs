// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Shows a page of the console until interrupted: node watch.mjs "#/system"
import { browser, open } from "./support.mjs";

await open(process.argv[2]);
process.stdout.write(".");
process.once("SIGINT", () => void browser.close());
await new Promise((resolve) => browser.once("disconnected", resolve));
process.exit();

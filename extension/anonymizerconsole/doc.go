// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package anonymizerconsole is an extension that serves the console: a page and an API for watching the work of
// receivers that anonymize videos and for reviewing their outputs. Receivers attach themselves; see consoleapi.
package anonymizerconsole

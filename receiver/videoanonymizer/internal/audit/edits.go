// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package audit

// Actions concerning corrections. The note of an entry describes the operations.
const (
	Edited          = "edited"
	RenderStarted   = "render_started"
	RenderCanceled  = "render_canceled"
	RenderFailed    = "render_failed"
	RenderPublished = "render_published"
)

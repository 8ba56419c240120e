// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/edits"
)

func TestInvalidEdits(t *testing.T) {
	r := newRig(t, "mp4", h264, nil)
	for _, o := range []edits.Operation{
		{Type: edits.Adjust, Track: 1, From: 0, To: 9, DX: 30}, // uncovers
		{Type: edits.Remove, Track: 9, From: 0, To: 9, Reason: "picture"},
		{Type: edits.WholeFrame, From: 0, To: frames + 1},
	} {
		before := r.document
		r.edit(o)
		_, err := Run(t.Context(), r.request())
		require.ErrorIs(t, err, ErrInvalid, "%v", o)
		r.document = before
	}
}

// TestLongVideo renders 20 s of 5 minutes, and compares the time with that of making the output without any model. It
// runs with RENDER_LONG=1.
func TestLongVideo(t *testing.T) {
	if os.Getenv("RENDER_LONG") == "" {
		t.Skip("long")
	}
	start := time.Now()
	var made time.Duration
	r := newRig(t, "mp4", "walk.mp4 -c:v libx264 -preset ultrafast -g 250 -pix_fmt yuv420p "+
		"-vf loop=74:100,scale=1280:720 -t 300", func(*rig) { start = time.Now() })
	made = time.Since(start)
	from := r.frames / 2
	r.edit(edits.Operation{Type: edits.WholeFrame, From: from, To: from + 500})
	start = time.Now()
	result := r.render()
	took := time.Since(start)
	t.Logf("%d frames, output made in %s, %d frames rendered in %s", r.frames, made, result.Encoded, took)
	assert.Less(t, took, made/5)
}

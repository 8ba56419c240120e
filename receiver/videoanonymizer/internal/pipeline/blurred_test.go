// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// TestBlurredFrames checks that blurred frames are searched with the detector for blurred frames, if there is one.
func TestBlurredFrames(t *testing.T) {
	sharp, blurred := newFrame(0, false), newFrame(0, false)
	for i := range blurred.Planes[0].Data {
		sharp.Planes[0].Data[i], blurred.Planes[0].Data[i] = byte(i%2*99), byte(max(i%128-64, 64-i%128))
	}
	require.False(t, vision.Blurred(sharp))
	require.True(t, vision.Blurred(blurred))
	for name, tt := range map[string]struct {
		frame   *media.Frame
		blurred vision.Detector
		want    int
	}{
		"sharp":                          {sharp, people{tall}, 0},
		"blurred":                        {blurred, people{tall}, 1},
		"blurred, without a detector":    {blurred, nil, 0},
		"blurred, and nobody to be seen": {blurred, people(nil), 0},
	} {
		t.Run(name, func(t *testing.T) {
			opts := options(t, people(nil))
			opts.Quick.Blurred = tt.blurred
			heads, err := Search(t.Context(), tt.frame, opts)
			require.NoError(t, err)
			assert.Len(t, heads, tt.want)
		})
	}
}

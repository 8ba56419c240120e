// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// TestRunMasksOthers checks that what is found besides people is masked in every frame, and counted, and that each
// analyzed frame is searched for it once.
func TestRunMasksOthers(t *testing.T) {
	m := &models{detector: detector{seen: map[int]bool{}}}
	source := &clip{frames: 20}
	out := &sink{source: source}
	var screen []byte
	out.write = func(f *media.Frame) error {
		screen = append(screen, f.Planes[0].Data[155*width+35])
		return nil
	}
	opts := options(t, m)
	opts.PoseModel, opts.Others = m, others{m}
	require.NoError(t, Run(t.Context(), source, out, opts))
	for i, r := range out.records {
		assert.EqualValues(t, 16, screen[i], "frame %d", i)
		assert.EqualValues(t, gray, out.corner[i], "frame %d", i)
		assert.EqualValues(t, 16, out.middle[i], "frame %d", i)
		assert.Equal(t, 1, r.MasksByOrigin.Screen)
		assert.Equal(t, 2, r.Masks)
		assert.Equal(t, 1, r.People)
		if r.Analyzed {
			assert.Equal(t, 1, r.DetectionSteps.Batches)
		}
	}
	assert.Equal(t, 1, out.summary.MaxPeople)
}

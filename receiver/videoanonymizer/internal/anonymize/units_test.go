// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/plan"
)

func TestUnitsAtOnce(t *testing.T) {
	for _, tc := range []struct{ units, videos, cores, want int }{
		{0, 1, 2, 1},
		{0, 1, 15, 1},
		{0, 1, 16, 2},
		{0, 1, 64, 8},
		{0, 4, 64, 2},
		{0, 100, 64, 1},
		{3, 4, 2, 3},
	} {
		cfg := config.Default()
		cfg.MaxConcurrentUnits, cfg.MaxConcurrentVideos = tc.units, tc.videos
		assert.Equal(t, tc.want, unitsOf(cfg, tc.cores), "%+v", tc)
	}
	v := &video{Runner: &Runner{Config: config.Default()}}
	v.Config.MaxConcurrentUnits = 5
	assert.Equal(t, 1, v.unitsAtOnce(nil), "a video that is not divided")
	v.division.units = make([]plan.Unit, 3)
	assert.Equal(t, 3, v.unitsAtOnce(nil), "no more than there are")
	assert.Equal(t, 1, v.unitsAtOnce(&checkpoint{}), "a video that was begun in one piece")
	v.division.undivided = true
	assert.Equal(t, 1, v.unitsAtOnce(nil))
}

// TestUnitsShareMemory: the memory of frames whose analysis is under way does not grow with the units at once, but for
// one frame more for each of them.
func TestUnitsShareMemory(t *testing.T) {
	for _, sessions := range []int{1, 7, 16} {
		r := &Runner{Config: config.Default(), Models: &Models{}}
		r.Config.Inference.Sessions = sessions
		for _, units := range []int{1, 2, 3, 16} {
			o := r.pipelineOptions(units)
			assert.Positive(t, o.Workers)
			assert.LessOrEqual(t, int64(units)*o.QueueMemory, int64(queueMemory*(sessions+2*units)), "%d of %d", units, sessions)
			assert.EqualValues(t, frameMemory, o.FrameMemory, "it decides what is masked")
		}
	}
}

func TestDivisionCuts(t *testing.T) {
	d := division{units: []plan.Unit{{First: 0, End: 10}, {First: 10, End: 25}, {First: 25, End: 30}}}
	var cuts []int
	for i := range 31 {
		if d.cutsAt(i) {
			cuts = append(cuts, i)
		}
	}
	assert.Equal(t, []int{10, 25}, cuts)
	d.units = d.units[:1]
	assert.False(t, d.cutsAt(0))
	assert.False(t, new(division).cutsAt(0))
}

// TestUndividedIf: what a single pass over the video may do better leads to it, and nothing else does.
func TestUndividedIf(t *testing.T) {
	for err, again := range map[error]bool{
		media.ErrResume: true, media.ErrDamaged: true, media.ErrUnsupported: true, errUndivided: true,
		media.ErrNoSpace: false, media.ErrIO: false, media.ErrTool: false, errReserved: false,
	} {
		got := undividedIf(fmt.Errorf("a unit: %w", err))
		assert.Equal(t, again, errors.Is(got, errUndivided), err)
		assert.ErrorContains(t, got, err.Error())
		assert.False(t, media.Permanent(got) && again, "%v: what the single pass finds decides", err)
	}
	assert.NoError(t, undividedIf(nil))
}

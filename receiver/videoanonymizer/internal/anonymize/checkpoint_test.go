// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
)

// TestCheckBoundary: a mask that moved, changed shape, is missing or is new at the boundary fails the check. Two
// people in another order do not.
func TestCheckBoundary(t *testing.T) {
	head, other := mask.Head{X: 100, Y: 80, RX: 20, RY: 30}, mask.Head{X: 300, Y: 80, RX: 25, RY: 25}
	moved, larger, boxed, turned, round := head, head, head, head, other
	moved.X += 2
	turned.Angle += 0.1
	round.Angle += 1
	larger.RY += 3
	boxed.Box = true
	hair := head
	hair.X += 0.01
	for name, tc := range map[string]struct {
		heads []mask.Head
		whole bool
		same  bool
	}{
		"the same":         {heads: []mask.Head{head, other}, same: true},
		"in another order": {heads: []mask.Head{other, head}, same: true},
		"a hair":           {heads: []mask.Head{hair, other}, same: true},
		"a circle turned":  {heads: []mask.Head{head, round}, same: true},
		"turned":           {heads: []mask.Head{turned, other}},
		"moved":            {heads: []mask.Head{moved, other}},
		"larger":           {heads: []mask.Head{larger, other}},
		"boxed":            {heads: []mask.Head{boxed, other}},
		"missing":          {heads: []mask.Head{head}},
		"nobody":           {},
		"one twice":        {heads: []mask.Head{head, head}},
		"one more":         {heads: []mask.Head{head, other, moved}},
		"whole":            {heads: []mask.Head{head, other}, whole: true},
	} {
		c := checkpoint{Heads: []mask.Head{head, other}}
		err := c.checkBoundary(&record.Frame{Heads: tc.heads, WholeFrameMasked: tc.whole})
		if tc.same {
			assert.NoError(t, err, name)
		} else {
			assert.ErrorIs(t, err, media.ErrResume, name)
		}
	}
}

// TestResumeAt starts early enough before the boundary, at a frame that was analyzed.
func TestResumeAt(t *testing.T) {
	v := &video{Runner: &Runner{Config: config.Default()}}
	info := media.Info{TimeBase: media.Rational{Num: 1, Den: 25}}
	known := make([]int64, 1000)
	for i := range known {
		known[i] = int64(i)
	}
	assert.Equal(t, 873, v.resumeAt(known, info), "5 s before the last, and a multiple of 3")
	assert.Zero(t, v.resumeAt(known[:50], info))
}

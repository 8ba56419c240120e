// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"fmt"
	"image"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestUntil checks that the frames before the one at which a run stops are analyzed and masked as if it went on,
// whatever follows, and that no more is read than that takes.
func TestUntil(t *testing.T) {
	const frames = 160
	walking := func(i int) []image.Rectangle { return append(person(20+i, 40, 100), person((7*i)%300, 130, 30)...) }
	for name, tc := range map[string]struct {
		people func(int) []image.Rectangle
		change func(*Options)
		reach  int // maximum number of frames read after the last one written
	}{
		"people who walk": {people: walking, reach: 30 + 2*maxBlock + 2},
		"someone comes right after": {people: func(i int) []image.Rectangle {
			if i%100 < 52 {
				return nil
			}
			return person(100, 40, 100)
		}, reach: 30 + 2*maxBlock + 2},
		"a fixed distance": {people: walking, change: func(o *Options) { o.DetectEvery = 3 }, reach: 30 + 2*maxBlock + 2},
		"little memory": {people: walking, reach: 40, change: func(o *Options) {
			o.DetectEvery, o.FrameMemory = 3, 20*width*height*3/2
		}},
		"a short look-ahead": {people: walking, reach: 6 + 2*maxBlock + 2, change: func(o *Options) {
			o.Track.LookAhead = 200 * time.Millisecond
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "little memory" {
				t.Skip("analyzes hundreds of frames")
			}
			s := stage{frames: frames, people: tc.people}
			opts := func() Options {
				o := adaptive(t)
				if tc.change != nil {
					tc.change(&o)
				}
				return o
			}
			want, untils := play(t, s, opts()), []int{100}
			if name == "little memory" {
				untils = []int{1, 47, 60, frames - 1, frames}
			}
			for _, until := range untils {
				o := opts()
				o.Until = until
				source := &stageSource{stage: s}
				out := &sink{source: &source.clip}
				require.NoError(t, Run(t.Context(), source, out, o))
				require.Len(t, out.records, until)
				for i, rec := range out.records {
					was := want.records[i]
					require.Equal(t, [4]any{was.Look, was.LookCause, was.People, was.WholeFrameMasked},
						[4]any{rec.Look, rec.LookCause, rec.People, rec.WholeFrameMasked}, "frame %d of %d", i, until)
					require.Equal(t, was.Heads, rec.Heads, "frame %d of %d", i, until)
				}
				assert.LessOrEqual(t, source.next, until+tc.reach, fmt.Sprint(until))
			}
		})
	}
}

// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"errors"
	"image"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// numbered are views that begin at 0, 1, 2...
func numbered(n int) (all []view) {
	for i := range n {
		all = append(all, view{Rectangle: image.Rect(i, 0, i+1, 1)})
	}
	return all
}

// TestViewsAreSearchedAtOnce: as many views as allowed are searched at once, and what they show comes in their order.
func TestViewsAreSearchedAtOnce(t *testing.T) {
	for _, tc := range []struct{ views, parallel, most int }{
		{1, 4, 1}, {5, 0, 1}, {5, 1, 1}, {5, 2, 2}, {5, 8, 5},
	} {
		synctest.Test(t, func(t *testing.T) {
			var now, most atomic.Int64
			start := time.Now()
			found, steps, err := searchViews(numbered(tc.views), tc.parallel, func(v view, steps *Steps) ([]int, error) {
				most.Store(max(most.Load(), now.Add(1)))
				watch := newStopwatch(steps)
				time.Sleep(time.Duration(tc.views-v.Min.X) * time.Second) // the last ones are done first
				watch.inferred()
				now.Add(-1)
				return []int{v.Min.X, 10 * v.Min.X}, nil
			})
			require.NoError(t, err)
			var want []int
			for i := range tc.views {
				want = append(want, i, 10*i)
			}
			assert.Equal(t, want, found)
			assert.EqualValues(t, tc.most, most.Load())
			assert.Equal(t, tc.views, steps.Batches)
			assert.Equal(t, time.Duration(tc.views*(tc.views+1)/2)*time.Second, steps.InferenceBusy)
			assert.Equal(t, Interval{Start: start, End: time.Now()}, steps.Inference)
		})
	}
}

// TestFailedView: after an error no further view is searched, and a panic reaches the caller, who knows what to do.
func TestFailedView(t *testing.T) {
	broken := errors.New("broken")
	synctest.Test(t, func(t *testing.T) {
		var searched atomic.Int64
		_, _, err := searchViews(numbered(9), 2, func(v view, _ *Steps) ([]int, error) {
			searched.Add(1)
			if v.Min.X == 1 {
				return nil, broken
			}
			time.Sleep(time.Second)
			return []int{v.Min.X}, nil
		})
		require.ErrorIs(t, err, broken)
		assert.LessOrEqual(t, searched.Load(), int64(3), "the two at first, and one that began meanwhile at most")
	})
	assert.PanicsWithValue(t, "model", func() {
		_, _, _ = searchViews(numbered(3), 2, func(view, *Steps) ([]int, error) { panic("model") })
	})
}

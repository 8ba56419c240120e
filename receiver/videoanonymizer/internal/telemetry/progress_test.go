// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestProgress processes frames of 40 ms at a rate of one per 100 ms, after 5 s without a frame.
func TestProgress(t *testing.T) {
	const pace = 100 * time.Millisecond
	for _, tt := range []struct {
		name   string
		video  Video
		frames int
		done   float64
		rate   float64
		left   time.Duration
	}{
		{"nothing yet", testVideo, 0, 0, 0, -1},
		{"the first frame has no pace", testVideo, 1, 0.01, 0, -1},
		{"half", testVideo, 50, 0.5, 10, 5 * time.Second},
		{"all", testVideo, 100, 1, 10, 0},
		{"longer than announced", testVideo, 120, 1, 10, 0},
		{"length unknown", Video{FrameRate: 25}, 50, -1, 10, -1},
		{"absurd length", Video{FrameRate: 25, Duration: 1 << 62}, 50, 0, 10, maxRemaining},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, err := NewEmitter(testSettings(), testOptions(), Consumers{})
				require.NoError(t, err)
				s := e.VideoStarted(t.Context(), tt.video)
				time.Sleep(5 * time.Second)
				for i := range tt.frames {
					if i > 0 {
						time.Sleep(pace)
					}
					rec := frameRecord(time.Now(), i, 0, false)
					rec.PTS += time.Hour
					s.Frame(rec)
				}
				p := s.Progress()
				assert.Equal(t, tt.frames, p.Frames)
				assert.InDelta(t, tt.done, p.Done, 1e-6)
				assert.InDelta(t, tt.rate, p.Rate, 1e-6)
				assert.InDelta(t, tt.left, p.Remaining, float64(time.Microsecond))
				s.Finished(Result{})
				require.NoError(t, e.Shutdown(t.Context()))
			})
		})
	}
}

// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
)

func TestAllowForEdge(t *testing.T) {
	f := &frame{Observation: Observation{Width: 640, Height: 480}} // the diagonal is 800 pixels
	tests := map[string]struct {
		head mask.Head
		more float32 // pixels by which both half axes grow
	}{
		"inside":                 {mask.Head{X: 320, Y: 240, RX: 10, RY: 20}, 0},
		"cut by the left":        {mask.Head{X: 5, Y: 240, RX: 10, RY: 20}, 7},
		"cut by the top":         {mask.Head{X: 320, Y: 5, RX: 10, RY: 20}, 7},
		"cut by the right":       {mask.Head{X: 639, Y: 240, RX: 20, RY: 10}, 7},
		"cut by the bottom":      {mask.Head{X: 320, Y: 470, RX: 20, RY: 20}, 7},
		"in a corner":            {mask.Head{X: 0, Y: 0, RX: 20, RY: 20}, 7},
		"close to the edge":      {mask.Head{X: 17, Y: 240, RX: 10, RY: 20}, 7},
		"just far enough":        {mask.Head{X: 19, Y: 240, RX: 10, RY: 20}, 0},
		"lies, and reaches it":   {mask.Head{X: 25, Y: 240, RX: 10, RY: 20, Angle: 1.5708}, 7},
		"large: much of it seen": {mask.Head{X: 0, Y: 240, RX: 100, RY: 120}, 12},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tr := &track{enters: true}
			got := tr.allowForEdge(tt.head, f)
			assert.InDelta(t, tt.head.RX+tt.more, got.RX, 1e-3)
			assert.InDelta(t, tt.head.RY+tt.more, got.RY, 1e-3)
			assert.Equal(t, [3]float32{tt.head.X, tt.head.Y, tt.head.Angle}, [3]float32{got.X, got.Y, got.Angle})
		})
	}
}

// TestWhoEnters checks that heads do not grow if they were there when the scene began or came into view long ago.
func TestWhoEnters(t *testing.T) {
	head := mask.Head{X: 5, Y: 240, RX: 10, RY: 20}
	f := &frame{Observation: Observation{Time: 10 * time.Second, Width: 640, Height: 480}}
	for name, tt := range map[string]struct {
		track track
		grows bool
	}{
		"just came":        {track{enters: true, began: f.Time}, true},
		"found next":       {track{enters: true, began: f.Time + 100*time.Millisecond}, true},
		"came a while ago": {track{enters: true, began: f.Time - time.Second}, true},
		"came long ago":    {track{enters: true, began: f.Time - time.Second - time.Millisecond}, false},
		"was there":        {track{began: f.Time}, false},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tt.grows, tt.track.allowForEdge(head, f) != head)
		})
	}
}

// TestEnteringHeadIsMaskedLarger compares someone who comes into view at the edge with someone who stands there from
// the beginning of the scene.
func TestEnteringHeadIsMaskedLarger(t *testing.T) {
	at := func(from int) float32 {
		s := scenario{frames: 60, actors: []actor{{head: walk(0, 300, 0, 0), size: 20, present: [2]int{from, 60}}}}
		var largest float32
		for _, r := range s.run(1) {
			for _, h := range r.Heads {
				largest = max(largest, h.RX)
			}
		}
		return largest
	}
	assert.Greater(t, at(30), 1.2*at(0))
	assert.Less(t, at(10), 1.2*at(0), "within half a second")
}

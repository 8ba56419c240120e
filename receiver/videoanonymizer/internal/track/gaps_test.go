// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"testing"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
)

// TestGapIsNotFilledBySomeoneElse checks that what closes a gap is hardly larger than the smaller head next to it.
func TestGapIsNotFilledBySomeoneElse(t *testing.T) {
	small := mask.Head{X: 300, Y: 300, RX: 40, RY: 50, Origin: mask.OriginPose}
	large := mask.Head{X: 420, Y: 350, RX: 160, RY: 200, Origin: mask.OriginPose}
	added := closeGaps(nil, []mask.Head{small}, nil, []mask.Head{large})
	if len(added) != 1 || uncovered(small, large, added) {
		t.Fatalf("the gap is not closed: %+v", added)
	}
	if size(added[0]) > gapSize*size(small) {
		t.Errorf("the gap of a head of %v is filled by %+v", size(small), added[0])
	}
}

// TestClosedGapOpensNoOther checks that what closes a gap leaves none in the frame before.
func TestClosedGapOpensNoOther(t *testing.T) {
	at := func(x float32) mask.Head { return mask.Head{X: x, Y: 300, RX: 40, RY: 50, Origin: mask.OriginPose} }
	earlier, before, after := []mask.Head{at(350)}, []mask.Head{at(300)}, []mask.Head{at(330)}
	added := closeGaps(earlier, before, nil, after)
	if len(added) != 1 || uncovered(before[0], after[0], added) {
		t.Fatalf("the gap is not closed: %+v", added)
	}
	if opens(earlier[0], added[0], before) {
		t.Errorf("%+v leaves a gap in the frame before", added[0])
	}
}

// TestGapBetweenScreensIsOne checks that what closes a gap between two sightings of a screen is a screen, too, so that
// the painter's options do not shrink it, and that it is not between a screen and a head.
func TestGapBetweenScreensIsOne(t *testing.T) {
	screen := mask.Head{X: 300, Y: 300, RX: 60, RY: 40, Box: true, Origin: mask.OriginScreen}
	moved, larger, head := screen, screen, screen
	moved.X += 10
	larger.RX, larger.RY = 200, 150
	head.Box, head.Origin = false, mask.OriginPose
	for name, tt := range map[string]struct {
		before, after mask.Head
		want          mask.Origin
	}{
		"the same":         {screen, screen, mask.OriginScreen},
		"moved":            {screen, moved, mask.OriginScreen},
		"part of a larger": {larger, screen, mask.OriginScreen},
		"a head":           {head, head, mask.OriginInterpolated},
		"a screen, a head": {screen, head, mask.OriginInterpolated},
		"a head, a screen": {head, screen, mask.OriginInterpolated},
	} {
		t.Run(name, func(t *testing.T) {
			added := closeGaps(nil, []mask.Head{tt.before}, nil, []mask.Head{tt.after})
			if len(added) != 1 || uncovered(tt.before, tt.after, added) {
				t.Fatalf("the gap is not closed: %+v", added)
			}
			if added[0].Origin != tt.want {
				t.Errorf("origin %q, want %q", added[0].Origin, tt.want)
			}
		})
	}
}
